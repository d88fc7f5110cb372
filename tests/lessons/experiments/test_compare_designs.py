from itertools import pairwise

import pytest
import torch

from coursekit.data import load
from coursekit.detector import FPN, make_anchors
from coursekit.detector import level_for_box as coursekit_level_for_box
from coursekit.detector.backbone import load_backbone
from coursekit.lessons.experiments.cached_features import cache_features
from coursekit.lessons.experiments.compare_designs import (
    EDGES,
    compare_anchor_orders,
    compare_designs,
    largest_spread,
    print_designs,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cached():
    torch.manual_seed(0)
    return cache_features(load("mini", "val").head(2), load_backbone(pretrained=False).eval(), side=64, batch=2)


def test_orders_are_compared_in_a_table(cached, capsys, monkeypatch):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    asked = []

    def by_columns(grid, stride, sizes, ratios):
        asked.append(grid)
        return make_anchors(grid, stride, sizes, ratios).reshape(*grid, -1, 4).transpose(0, 1).reshape(-1, 4)

    compare_anchor_orders({"rows": make_anchors, "columns": by_columns}, cached, cached, epochs=1, guess=0.1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["AP50", "rows", "columns", "100", "Your", "Short"]
    assert all(len(line.split()) == 5 for line in lines[1:3])
    assert (8, 8) in asked


def test_designs_are_run_with_several_seeds(cached, capsys):
    seen = []

    def level_for_box(boxes, finest, coarsest, canonical_scale):
        seen.append((finest, coarsest, canonical_scale))
        return coursekit_level_for_box(boxes, finest, coarsest, canonical_scale)

    designs = {"one": (FPN, (4,), [[14, 24]]), "three": (FPN, (3, 4, 5), [[14], [36], [90]])}
    measured = compare_designs(designs, cached, cached, 2, 1, level_for_box)
    assert {name: runs.shape for name, runs in measured.items()} == {"one": (2, 2, 3), "three": (2, 2, 3)}
    assert (3, 5, 64 * 64 / 320) in seen  # the features are those of a square of 64 pixels, not 320
    print_designs(measured)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["recall", "mean", "one", "three"]


def test_the_sizes_of_objects_are_those_in_the_original_image(cached):
    """At 64 pixels hardly an object is large, and in the original image, of 320 pixels, some are."""
    design = {"one": (FPN, (4,), [[14, 24]])}
    recall = compare_designs(design, cached, cached, 1, 1)["one"][0, 0]
    boxes = torch.cat([target["boxes"] for target in cached.targets])
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt() * 5
    assert recall.isnan().tolist() == [not ((low <= sides) & (sides < high)).any() for low, high in pairwise(EDGES)]


def test_a_design_without_objects_of_a_size_is_nan_in_the_table(capsys):
    print_designs({"one": torch.tensor([[[1.0, 0.5, torch.nan]] * 2, [[0.5, 0.5, torch.nan]] * 2])})
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last == ["one", "0.75", "0.50", "nan", "0.75", "0.50", "nan", "0.50", "0.00", "nan"]


def test_the_largest_spread_is_that_of_ap50_between_the_seeds_of_a_design():
    recall = [0.0, 1.0, 0.5]
    near = torch.tensor([[recall, [0.1, 0.2, torch.nan]], [recall[::-1], [0.1, 0.5, torch.nan]]])
    far = torch.tensor([[recall, [0.9, 0.9, torch.nan]], [recall, [0.9, 0.8, torch.nan]]])
    assert largest_spread({"near": near, "far": far}) == pytest.approx(0.3)
