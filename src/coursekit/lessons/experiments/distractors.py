"""Where are the things of `mini` that belong to no class? No annotation says so: the scenes are drawn once more."""

import torch
from torch import Tensor

from coursekit.data.subsets.recipe import find_recipe
from coursekit.data.synthetic.choose_objects import draw_split
from coursekit.lessons.experiments.cached_features import CachedFeatures


def distractor_boxes(cached: CachedFeatures, split: str = "val") -> list[Tensor]:
    """Return the boxes of the distractors in each cached image: (D, 4) xyxy in pixels of the cached square.

    Args:
        cached: features of the first images of a split of `mini`.
        split: that split.
    """
    scenes = draw_split(find_recipe("mini"), split, len(cached))
    boxes = []
    for scene, size in zip(scenes, cached.sizes, strict=True):
        corners = [(x, y, x + w, y + h) for x, y, w, h in (thing.xywh for thing in scene.things if thing.name is None)]
        boxes.append(torch.tensor(corners, dtype=torch.float32).reshape(-1, 4) * size[1] / scene.size[1])
    return boxes
