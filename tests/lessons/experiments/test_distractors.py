import torch

from coursekit.data import load
from coursekit.data.subsets.recipe import find_recipe
from coursekit.data.synthetic.choose_objects import draw_split
from coursekit.lessons.experiments.cached_features import CachedFeatures
from coursekit.lessons.experiments.distractors import distractor_boxes

COUNT = 3


def test_the_scenes_drawn_again_are_those_of_the_data_set():
    val_set = load("mini", "val")
    for number, scene in enumerate(draw_split(find_recipe("mini"), "val", COUNT)):
        assert scene.size == val_set.size(number)
        corners = {(x, y) for x, y, _, _ in (thing.xywh for thing in scene.objects if not thing.is_crowd)}
        assert {tuple(corner) for corner in val_set.target(number)["boxes"][:, :2].tolist()} == corners


def test_distractors_are_scaled_to_the_cached_square():
    scenes = draw_split(find_recipe("mini"), "val", COUNT)
    sizes = [scene.size for scene in scenes]
    halves = [(height // 2, width / 2) for height, width in sizes]
    full, half = (distractor_boxes(CachedFeatures(None, [], [], 320, each, [])) for each in (sizes, halves))
    assert [len(boxes) for boxes in full] == [2] * COUNT
    for large, small in zip(full, half, strict=True):
        assert torch.equal(large, 2 * small)
        assert (large[:, 2:] > large[:, :2]).all()
