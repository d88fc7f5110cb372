import sys

import pytest
import torch

from coursekit.detector import FPN, level_for_box, merge_top_down
from coursekit.lessons.case_inputs import xyxy
from coursekit.show.pyramid import (
    changed_cells,
    explore_levels,
    level_picture,
    level_shares,
    object_sizes,
    scores_by_size,
    smallest_object,
    smoothing,
)

IMAGE = torch.full((3, 240, 320), 128, dtype=torch.uint8)
BOXES = torch.tensor([[0.0, 0, 20, 20], [30.0, 30, 100, 100], [10.0, 10, 200, 200]])


@pytest.fixture
def shown(monkeypatch):
    pictures = []
    module = sys.modules["coursekit.show.pyramid"]
    monkeypatch.setattr(module, "figure", lambda fig, alt: pictures.append((fig, alt)))
    return pictures


@pytest.mark.parametrize("corner", [(0, 0), (70, 40), (150, 110)])
def test_the_smallest_object_under_the_cells_of_each_level(shown, corner):
    x, y = corner
    image = torch.full((3, 120, 160), 128, dtype=torch.uint8)
    target = {"boxes": xyxy((0, 0, 99, 99), (x, y, x + 8, y + 16)), "labels": torch.tensor([1, 2])}
    smallest_object(image, target, ["cat", "dog"])
    [(fig, alt)] = shown
    assert "small dog" in alt
    assert "stride 8: 2.0 cells; stride 16: 0.5 cells; stride 32: 0.1 cells" in alt
    for axes in fig.axes[1:]:  # the object is in the part that is shown
        left, right, bottom, top = axes.images[0].get_extent()
        assert left <= x
        assert right >= min(x + 8, 160)
        assert top <= y
        assert bottom >= min(y + 16, 120)


def test_the_sizes_of_objects(shown, capsys):
    object_sizes(torch.tensor([10.0, 20, 50, 100]))
    assert capsys.readouterr().out.splitlines() == [
        "2 × 2 cells of C3, 16 px: 25% are smaller",
        "2 × 2 cells of C4, 32 px: 50% are smaller",
        "2 × 2 cells of C5, 64 px: 75% are smaller",
    ]
    assert "4 object sizes" in shown[0][1]


def test_upsampling_leaves_blocks_and_smoothing_removes_them(shown):
    smoothing(merge_top_down)
    [(fig, _)] = shown
    _, blocks, smooth = (axes.collections[0].get_array().reshape(-1) for axes in fig.axes)
    assert len(set(blocks.tolist())) < len(set(smooth.tolist()))


def test_a_change_in_the_coarsest_map_reaches_every_level(shown, capsys):
    torch.manual_seed(0)
    pyramid = FPN([2, 2, 2], 4)
    maps = [torch.randn(1, 2, side, side) for side in (16, 8, 4)]
    changed = [features.clone() for features in maps]
    changed[0][0, :, 3, 3] += 1
    with torch.no_grad():
        changed_cells(pyramid(maps), pyramid(changed))
    assert capsys.readouterr().out.splitlines() == [
        "P3: 3 × 3 of 16 × 16 cells change",
        "P4: 0 × 0 of 8 × 8 cells change",
        "P5: 0 × 0 of 4 × 4 cells change",
    ]
    assert len(shown[0][0].axes) == 3


def test_shares_of_the_objects_on_each_level(shown, capsys):
    level_shares(torch.tensor([20.0, 40, 70, 200]), level_for_box, (64, 224))
    assert capsys.readouterr().out.splitlines() == [
        "canonical scale 64: 50%, 25%, 25%",
        "canonical scale 224: 100%, 0%, 0%",
    ]
    assert [len(axes.patches) for axes in shown[0][0].axes] == [3, 3]


def test_designs_have_a_bar_for_the_mean_and_a_mark_for_each_seed(shown):
    runs = torch.tensor([[[0.2, 0.4, 0.6]] * 2, [[0.4, 0.6, 0.8]] * 2])
    scores_by_size({"one": runs, "other": 0 * runs}, guess=0.5)
    [(fig, alt)] = shown
    recall, ap50 = fig.axes
    assert [round(bar.get_height(), 2) for bar in recall.patches[:3]] == [0.3, 0.5, 0.7]
    assert len(recall.get_lines()) == 2 * (2 + 1)
    assert len(ap50.get_lines()) == 2 * (2 + 1) + 1
    assert "one: [0.3, 0.5, 0.7]; other: [0.0, 0.0, 0.0]" in alt


def test_each_box_is_on_the_level_that_it_reads_from():
    fig, alt = level_picture(IMAGE, BOXES)
    assert [len(axes.patches) for axes in fig.axes] == [1, 1, 1]
    assert alt.endswith("level 3: 1 box, level 4: 1 box, level 5: 1 box.")


def test_a_large_canonical_scale_sends_boxes_to_finer_levels():
    fig, _ = level_picture(IMAGE, BOXES, 224)
    assert [len(axes.patches) for axes in fig.axes] == [3, 0, 0]


def test_there_may_be_no_box_and_only_one_level():
    fig, alt = level_picture(IMAGE, BOXES[:0], 64, 4, 4)
    assert [len(axes.patches) for axes in fig.axes] == [0]
    assert "level 4: 0 boxes" in alt


def test_a_slider_redraws_with_the_given_function():
    seen = []

    def all_on_three(boxes, finest, coarsest, canonical_scale):
        seen.append(canonical_scale)
        return torch.full((len(boxes),), 3)

    box = explore_levels(IMAGE, BOXES, level_for_box=all_on_three)
    slider, picture = box.children
    before = picture.value
    slider.value = 128
    assert seen == [64, 128]
    assert picture.value != before
