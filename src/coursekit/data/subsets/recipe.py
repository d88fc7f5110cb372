"""Recipes: which scenes or photographs make up a data set. Each is a TOML file, whose fields are checked."""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from coursekit.core.errors import ConfigError, DataError, did_you_mean
from coursekit.core.files import shipped
from coursekit.data import categories
from coursekit.data.record_checks import is_safe_name

LARGEST_FILE = 1_000_000  # bytes; a recipe has about 500
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


def names() -> list[str]:
    """Return the names of the recipes that come with the course."""
    return sorted(path.stem for path in shipped("data_subsets").glob("*.toml"))


def find_recipe(name_or_file: str) -> Recipe:
    """Return a recipe by its name, or from a .toml file.

    Raises:
        DataError: there is no recipe of that name, or the file can't be read.
        ConfigError: see `read_recipe`.
    """
    if name_or_file.endswith(".toml"):
        return read_recipe(Path(name_or_file))
    if name_or_file not in names():
        hint = did_you_mean(name_or_file, names())
        raise DataError(
            f"{name_or_file}: no recipe of that name{hint}. Choose from {', '.join(names())}, or pass a .toml file."
        )
    return read_recipe(shipped("data_subsets") / f"{name_or_file}.toml")


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        DataError: the file is missing or not TOML; or a field is missing, unknown or of the wrong type.
        ConfigError: a value can't be used.
    """
    content = _read(path)
    try:
        values = tomllib.loads(content.decode("utf-8-sig"))  # editors on Windows write a byte order mark
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, UnicodeDecodeError, a number of 5,000 digits
        raise DataError(f"{path}: not a recipe: {error}. data_subsets/README.md lists the fields.") from None
    _check_fields(path, values)
    try:
        recipe = msgspec.convert(values, Recipe)
    except (msgspec.ValidationError, OverflowError) as error:
        raise DataError(f"{path}: not a recipe: {error}. data_subsets/README.md lists the fields.") from None
    check_recipe(recipe, str(path))
    return recipe


def check_recipe(recipe: Recipe, name: str) -> None:
    """Check the values of a recipe. Errors begin with `name`, which is a file or the name of the recipe.

    Raises:
        ConfigError: a value can't be used.
    """
    problem = next(problems(recipe), None)
    if problem:
        raise ConfigError(f"{name}: {problem}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    if len(content) > LARGEST_FILE:
        raise DataError(f"{path}: not a recipe: it has more than {LARGEST_FILE:,} bytes. Check the path.")
    return content


def _check_fields(path: Path, values: dict[str, object]) -> None:
    fields = Recipe.__struct_fields__
    unknown = next((field for field in values if field not in fields), None)
    if unknown is not None:
        hint = did_you_mean(unknown[:80], fields)
        raise DataError(f"{path}: a recipe has no field {shown(unknown)}{hint}. Its fields: {', '.join(fields)}.")


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
