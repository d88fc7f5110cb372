"""The properties of `mini` that the lessons rely on."""

from collections import Counter

import msgspec
import numpy as np
import pytest

from coursekit.core.errors import ConfigError
from coursekit.core.files import shipped
from coursekit.data import load, scene
from coursekit.data.subsets.recipe import read_recipe
from coursekit.data.synthetic.choose_objects import draw_split
from coursekit.data.synthetic.scene import Scene

RECIPE = read_recipe(shipped("data_subsets") / "mini.toml")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def val() -> list[Scene]:
    return draw_split(RECIPE, "val")


def _singles(scenes):
    return [thing for scene in scenes for thing in scene.objects if not thing.is_crowd]


def test_classes_are_balanced_except_the_absent_one(val):
    counts = Counter(thing.name for thing in _singles(val))
    assert "airplane" not in counts
    assert set(counts) == set(RECIPE.classes) - {"airplane"}
    assert min(counts.values()) >= 35


def test_rare_class_has_twelve_boxes_in_train():
    dataset = load("mini", "train")  # which CI has built already; drawing it again takes long
    labels = [label for index in range(len(dataset)) for label in dataset.target(index)["labels"].tolist()]
    counts = Counter(dataset.classes[label - 1] for label in labels)
    assert counts["umbrella"] == 12
    assert min(count for name, count in counts.items() if name != "umbrella") > 80


def test_sizes_of_scenes(val):
    sizes = Counter(drawn.size for drawn in val)
    assert len(val) == 120
    assert 0.6 < sizes[240, 320] / 120 < 0.8
    assert 0.12 < sizes[320, 240] / 120 < 0.28
    assert 120 - sizes[240, 320] - sizes[320, 240] >= 6


def test_sizes_of_objects_are_spread(val):
    side = np.array([thing.full_area**0.5 for thing in _singles(val)])
    shares, _ = np.histogram(np.log(side), np.log([9, 20, 40, 80, 165]))
    assert side.min() < 12
    assert side.max() > 140
    assert (shares / len(side) > 0.12).all()


def test_hidden_objects_crowds_empty_scenes_and_distractors(val):
    singles = _singles(val)
    hidden = [thing for thing in singles if 1 / 3 <= 1 - thing.area / thing.full_area <= 0.52]
    assert 0.10 < len(hidden) / len(singles) < 0.20
    crowded = [drawn for drawn in val if any(thing.is_crowd for thing in drawn.things)]
    assert len(crowded) == 8
    for drawn in crowded:
        name = next(thing.name for thing in drawn.things if thing.is_crowd)
        assert sum(thing.name == name and not thing.is_crowd for thing in drawn.things) >= 2
    assert sum(not drawn.objects for drawn in val) == 5
    assert all(sum(thing.name is None for thing in drawn.things) == 2 for drawn in val)


def test_masks_do_not_overlap_and_boxes_fit_them(val):
    for drawn in val[:20]:
        assert np.sum([thing.mask for thing in drawn.things], axis=0).max() <= 1
        for thing in drawn.objects:
            x, y, w, h = thing.xywh
            assert thing.mask[y : y + h, x : x + w].sum() == thing.area
            assert thing.mask[y].any()
            assert thing.mask[:, x + w - 1].any()


def test_same_seed_draws_same_pixels():
    small = msgspec.structs.replace(RECIPE, images={"train": 15, "val": 15})
    first, again = draw_split(small, "val"), draw_split(small, "val")
    assert all(a.picture.tobytes() == b.picture.tobytes() for a, b in zip(first, again, strict=True))


def test_scene_on_demand():
    drawn = scene("🐕 🚗🍎🌵")
    assert [thing.name for thing in drawn.objects] == ["dog", "car", "apple"]
    assert drawn.size == (240, 320)


def test_many_glyphs_still_fit():
    assert len(scene("🐕🚗🍎🧸🦒🛑🐈🐎" * 3).things) == 24


@pytest.mark.parametrize("glyphs", ["", "  ", "🐕\U0010fffd"])
def test_nothing_to_draw_is_an_error(glyphs):
    with pytest.raises(ConfigError, match="scene"):
        scene(glyphs)
