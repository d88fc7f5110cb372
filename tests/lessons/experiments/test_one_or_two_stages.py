import re
import time

import pytest
import torch

from coursekit.data import load
from coursekit.detector import FPN
from coursekit.detector.backbone import load_backbone
from coursekit.detector.one_stage import OneStage
from coursekit.lessons.experiments import stage_costs
from coursekit.lessons.experiments.cached_features import cache_features
from coursekit.lessons.experiments.one_or_two_stages import (
    compare_pairs,
    detect_on,
    one_stage_on,
    show_detections,
    steps_in,
    train,
    train_for_the_same_time,
    two_stages_on,
)

pytestmark = pytest.mark.slow
CLASSES, CHANNELS = 16, 16


@pytest.fixture(scope="module")
def cached():
    torch.manual_seed(0)
    return cache_features(load("mini", "val").head(12), load_backbone(pretrained=False).eval(), side=64, batch=4)


@pytest.fixture(scope="module")
def makers(cached):
    return {
        "two": lambda: two_stages_on(cached, FPN(cached.channels, CHANNELS), CHANNELS),
        "one": lambda: one_stage_on(cached, FPN(cached.channels, CHANNELS), OneStage(CHANNELS, CLASSES, 1)),
    }


@pytest.fixture(scope="module")
def runs(cached, makers):
    return train_for_the_same_time(makers, cached, cached, seconds=0.3, seeds=2)


def test_both_kinds_are_trained_with_each_seed(runs):
    assert {name: len(of_kind) for name, of_kind in runs.items()} == {"two": 2, "one": 2}
    assert all(run.images > 0 for of_kind in runs.values() for run in of_kind)
    weights = [next(run.detector.fpn.parameters()) for run in runs["one"]]
    assert not torch.equal(*weights)


def test_a_training_has_its_steps_and_changes_the_weights(cached, makers):
    detector = makers["one"]()
    before = next(detector.head.parameters()).clone()
    assert train(detector, cached, 4, seed=0) == 4 * 4
    assert not torch.equal(before, next(detector.head.parameters()))


def test_steps_are_counted_in_seconds_of_a_core_and_are_the_same_with_each_seed(cached, makers, runs, monkeypatch):
    assert all(len({run.images for run in of_kind}) == 1 for of_kind in runs.values())
    clock = iter(range(1000))
    monkeypatch.setattr(time, "thread_time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "perf_counter", None)  # what a clock says, waiting included, doesn't count
    assert steps_in(7, makers, cached) == {"two": 7, "one": 7}
    assert steps_in(0.1, makers, cached) == {"two": 1, "one": 1}


def test_detections_are_in_pixels_of_the_images(cached, makers):
    for make in makers.values():
        results = detect_on(make(), cached)
        assert {result["image_id"] for result in results} <= set(cached.dataset.image_ids)
        for result in results[:50]:
            height, width = cached.dataset.size(cached.dataset.image_ids.index(result["image_id"]))
            x, y, w, h = result["bbox"]
            assert x >= -0.01
            assert y >= -0.01
            assert x + w <= width + 0.01
            assert y + h <= height + 0.01


def test_pairs_are_compared_and_shown(cached, runs, capsys, monkeypatch):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    compare_pairs(runs["two"], runs["one"], cached.dataset, 0.1)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines[:3]] == ["seed 0", "seed 1", "mean: "]
    assert lines[2].endswith("you expected +0.100")
    assert lines[3].startswith("Short form")


def test_a_scene_is_shown_with_what_each_kind_finds(cached, runs, monkeypatch):
    shown = []
    monkeypatch.setitem(
        show_detections.__globals__["show"].image_row.__globals__, "figure", lambda *each: shown.append(each)
    )
    show_detections({name: of_kind[0] for name, of_kind in runs.items()}, cached.dataset, 1, 0.05)
    fig, alt = shown[0]
    assert len(fig.axes) == 3
    assert "ground truth" in alt


def test_costs_are_measured_with_the_backbone(cached, runs, capsys, monkeypatch):
    monkeypatch.setenv("COURSEKIT_FAST", "1")
    monkeypatch.setattr(stage_costs, "load_backbone", lambda: load_backbone(pretrained=False))
    detectors = {name: of_kind[0].detector for name, of_kind in runs.items()}
    stage_costs.speed_and_memory(detectors, cached.dataset, CHANNELS, 2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["trained", "two", "one", "one:"]
    assert all(re.search(r"\d \([\d.]+ to [\d.]+\)", line) for line in lines[1:4])
    assert lines[3].endswith("you said 2")
    assert lines[4].startswith("Short form")
    assert all(len(list(detector.backbone.parameters())) == 0 for detector in detectors.values())  # cached, as before
