"""Which values a recipe may have. Each problem is one sentence with the field, its value and the allowed range."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from coursekit.core.errors import did_you_mean
from coursekit.data import categories
from coursekit.data.record_checks import is_safe_name
from coursekit.data.subsets.recipe_fields import Recipe

SPLITS = ("train", "val")
COCO_IMAGES = {"train2017": 118_287, "val2017": 5_000}  # number of images
MOST_SCENES = 2_000  # per split: all of them are in memory while they are drawn, about 1 MB each
MOST_BOXES = 10_000  # of a rare class
LARGEST_SEED = 2**32 - 1
LONG_SIDES = (32, 4_096)  # pixels
SMALLEST_BOXES = (0, 4_096)  # pixels
OBJECT_SIZES = (4, 320)  # pixels; the long side of a scene has 320
LICENSES = (1, 8)
LONGEST_NAME = 80
LONGEST_VALUE = 60  # characters of a value in a message


def problems(recipe: Recipe) -> Iterator[str]:
    """Yield the problems of a recipe. The first one is enough to refuse it."""
    yield from _name(recipe.name)
    yield from _range("seed", recipe.seed, 0, LARGEST_SEED)
    yield from _splits(recipe)
    yield from _classes("classes", recipe.classes, categories.IDS)
    yield from _unique("licenses", recipe.licenses)
    for number in recipe.licenses:
        yield from _range("licenses", number, *LICENSES)
    yield from _range("smallest_box", recipe.smallest_box, *SMALLEST_BOXES)
    if recipe.long_side:
        yield from _range("long_side", recipe.long_side, *LONG_SIDES, note=", or 0 for the original files")
    if recipe.source == "scenes":
        yield from _scenes(recipe)


def shown(value: object) -> str:
    """Return a value for a message. A long one is cut off."""
    if isinstance(value, int) and abs(value) >= 10**LONGEST_VALUE:
        return f"a number of more than {LONGEST_VALUE} digits"  # Python refuses to print one of 5,000
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} …"


def _name(name: str) -> Iterator[str]:
    fits = re.fullmatch(r"[A-Za-z0-9_](.*[^. ])?", name) and name.isascii() and len(name) <= LONGEST_NAME
    if not fits or not is_safe_name(name):
        yield (
            f"`name`: {shown(name)} can't be the name of a folder. Use letters, digits and hyphens, at most "
            f"{LONGEST_NAME}."
        )


def _range(field: str, value: float, low: float, high: float, *, note: str = "") -> Iterator[str]:
    if not low <= value <= high:  # also true for NaN
        yield f"`{field}`: {shown(value)} is out of range. Use {low:,} to {high:,}{note}."


def _unique(field: str, values: Sequence[object]) -> Iterator[str]:
    repeated = [value for position, value in enumerate(values) if value in values[:position]]
    if repeated:
        yield f"`{field}`: {shown(repeated[0])} is there twice. Name it once."


def _classes(field: str, names: Sequence[str], known: Mapping[str, int] | Sequence[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            whose = "COCO has" if known is categories.IDS else "`classes` has"
            yield f"`{field}`: {whose} no class {shown(name)}{did_you_mean(name[:LONGEST_VALUE], known)}."
    yield from _unique(field, names)


def _splits(recipe: Recipe) -> Iterator[str]:
    if not recipe.images or set(recipe.images) - set(SPLITS):
        names = shown(list(recipe.images))
        yield f"`images`: {names} are not its splits. Set a number for {' and '.join(SPLITS)}, or for one of them."
    for split, count in recipe.images.items():
        if recipe.source == "scenes":
            yield from _range(f"images.{split}", count, 1, MOST_SCENES)
            continue
        source = recipe.split_of.get(split)
        if source not in COCO_IMAGES or set(recipe.split_of) - set(SPLITS):
            yield f"`split_of`: {shown(recipe.split_of)}. Choose train2017 or val2017 for each of {', '.join(SPLITS)}."
            return
        yield from _range(f"images.{split}", count, 0, COCO_IMAGES[source], note=f" (0 means all of {source})")


def _scenes(recipe: Recipe) -> Iterator[str]:
    """Yield the problems of the fields that only drawn recipes have."""
    if not recipe.classes:
        yield "`classes` is empty. Name at least one of COCO's classes."
    low, high = recipe.object_size
    if not (all(map(math.isfinite, (low, high))) and OBJECT_SIZES[0] <= low <= high <= OBJECT_SIZES[1]):
        yield (
            f"`object_size`: {shown([low, high])} is out of range. Use two numbers of pixels, the smaller first, "
            f"{OBJECT_SIZES[0]} to {OBJECT_SIZES[1]}."
        )
    yield from _classes("rare", list(recipe.rare), recipe.classes)
    yield from _classes("absent_from_val", recipe.absent_from_val, recipe.classes)
    if not set(recipe.classes) - set(recipe.rare) - set(recipe.absent_from_val):
        yield "`classes`: all of them are in `rare` or `absent_from_val`. Leave at least one that is in neither."
    for name, boxes in recipe.rare.items():
        yield from _range(f'rare."{name}"', boxes, 1, MOST_BOXES)
    for split, crowds in recipe.scenes_with_a_crowd.items():
        if split not in recipe.images:
            yield f"`scenes_with_a_crowd`: {shown(split)} is not in `images`."
        else:
            yield from _range(f"scenes_with_a_crowd.{split}", crowds, 0, recipe.images[split])
