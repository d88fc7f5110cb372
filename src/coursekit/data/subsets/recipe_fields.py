"""The fields of a recipe."""

from typing import Literal

import msgspec


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recipe. Which fields matter depends on the source; see `data_subsets/README.md`.

    Attributes:
        name: also the name of the file.
        source: "scenes" are drawn, "coco" is downloaded.
        seed: seed of every random choice.
        images: number of images per split; 0 means all there are.
        classes: COCO's names. For "coco", an empty list means all 80.
        split_of: for "coco", which of COCO's splits each split is taken from.
        balanced: choose images one by one, each for the class that is in the fewest images so far.
        smallest_box: √(width · height) in pixels of the original. Smaller boxes are left out.
        crowds: "keep" them as regions to ignore, or "avoid" images that have any.
        licenses: COCO's numbers, 1 to 8; an empty list means any.
        long_side: the longer side of stored images in pixels; 0 keeps the original files.
        object_size: for "scenes", range of √area in pixels.
        rare: for "scenes", class → number of boxes in train.
        absent_from_val: for "scenes", classes that val doesn't have.
        scenes_with_a_crowd: for "scenes", number per split.
    """

    name: str
    source: Literal["scenes", "coco"]
    seed: int
    images: dict[str, int]
    classes: list[str] = []
    split_of: dict[str, str] = msgspec.field(default_factory=lambda: {"train": "train2017", "val": "val2017"})
    balanced: bool = False
    smallest_box: float = 0.0
    crowds: Literal["keep", "avoid"] = "keep"
    licenses: list[int] = []
    long_side: int = 0
    object_size: tuple[float, float] = (10.0, 160.0)
    rare: dict[str, int] = {}
    absent_from_val: list[str] = []
    scenes_with_a_crowd: dict[str, int] = {}
