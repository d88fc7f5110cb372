"""What the lessons need `mini` to be: they come out only if it is so."""

from collections import Counter

import numpy as np
import pytest

from coursekit.core.errors import ConfigError
from coursekit.core.files import shipped
from coursekit.data import scene
from coursekit.data.subsets.recipe import read_recipe
from coursekit.data.synthetic.drawing import Scene
from coursekit.data.synthetic.scenes import draw_split

RECIPE = read_recipe(shipped("data_subsets") / "mini.toml")


@pytest.fixture(scope="module")
def val() -> list[Scene]:
    return draw_split(RECIPE, "val")


def _singles(scenes):
    return [thing for one in scenes for thing in one.objects if not thing.is_crowd]


def test_classes_are_balanced_but_for_those_that_should_not_be(val):
    counts = Counter(thing.name for thing in _singles(val))
    assert "airplane" not in counts
    assert set(counts) == set(RECIPE.classes) - {"airplane"}
    assert min(counts.values()) >= 35


def test_the_rare_class_has_twelve_boxes_to_learn_from():
    counts = Counter(thing.name for thing in _singles(draw_split(RECIPE, "train")))
    assert counts["umbrella"] == 12
    assert min(count for name, count in counts.items() if name != "umbrella") > 80


def test_shapes_of_scenes(val):
    sizes = Counter(one.picture.size for one in val)
    assert len(val) == 120
    assert 0.6 < sizes[320, 240] / 120 < 0.8
    assert 0.12 < sizes[240, 320] / 120 < 0.28
    assert 120 - sizes[320, 240] - sizes[240, 320] >= 6


def test_sizes_of_objects_are_spread(val):
    side = np.array([thing.full_area**0.5 for thing in _singles(val)])
    shares, _ = np.histogram(np.log(side), np.log([9, 20, 40, 80, 165]))
    assert side.min() < 12
    assert side.max() > 140
    assert (shares / len(side) > 0.12).all()


def test_hidden_objects_crowds_empty_scenes_and_strangers(val):
    singles = _singles(val)
    hidden = [thing for thing in singles if 1 / 3 <= 1 - thing.area / thing.full_area <= 0.52]
    assert 0.10 < len(hidden) / len(singles) < 0.20
    crowds = [one for one in val if any(thing.is_crowd for thing in one.things)]
    assert len(crowds) == 8
    for one in crowds:
        name = next(thing.name for thing in one.things if thing.is_crowd)
        assert sum(thing.name == name and not thing.is_crowd for thing in one.things) >= 2
    assert sum(not one.objects for one in val) == 5
    assert all(sum(thing.name is None for thing in one.things) == 2 for one in val)


def test_masks_do_not_overlap_and_boxes_fit_them(val):
    for one in val[:20]:
        assert np.sum([thing.mask for thing in one.things], axis=0).max() <= 1
        for thing in one.objects:
            x, y, w, h = thing.xywh
            assert thing.mask[y : y + h, x : x + w].sum() == thing.area
            assert thing.mask[y].any()
            assert thing.mask[:, x + w - 1].any()


def test_the_same_seed_draws_the_same_pixels(val):
    again = draw_split(RECIPE, "val")
    assert all(a.picture.tobytes() == b.picture.tobytes() for a, b in zip(val, again, strict=True))


def test_a_scene_on_demand():
    drawn = scene("🐕 🚗🍎🌵")
    assert [thing.name for thing in drawn.objects] == ["dog", "car", "apple"]
    assert drawn.picture.size == (320, 240)


def test_many_glyphs_still_fit():
    assert len(scene("🐕🚗🍎🧸🦒🛑🐈🐎" * 3).things) == 24


@pytest.mark.parametrize("glyphs", ["", "  ", "🐕\U0010fffd"])
def test_what_cannot_be_drawn_is_said(glyphs):
    with pytest.raises(ConfigError, match="scene"):
        scene(glyphs)
