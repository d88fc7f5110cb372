"""Recipes: which scenes or photographs make up a data set. Each is a TOML file."""

from pathlib import Path
from typing import Literal

import msgspec

from coursekit.core.errors import ConfigError, DataError, did_you_mean
from coursekit.core.files import shipped
from coursekit.data import categories
from coursekit.data.record_checks import is_safe_name

SPLITS = ("train", "val")


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
    try:
        recipe = msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}). Check the path.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a recipe: {error}. data_subsets/README.md lists the fields.") from None
    problem = _problem(recipe)
    if problem:
        raise ConfigError(f"{path}: {problem}")
    return recipe


def _problem(recipe: Recipe) -> str | None:
    """Return the first problem of a recipe, None if it has none."""
    for name in recipe.classes:
        if name not in categories.IDS:
            return f"`classes`: COCO has no class {name!r}{did_you_mean(name, categories.IDS)}."
    if not is_safe_name(recipe.name) or not recipe.name.isascii():
        return f"`name`: {recipe.name!r} can't be the name of a folder. Use letters, digits and hyphens."
    if recipe.source == "scenes" and not recipe.classes:
        return "`classes` is empty. Name at least one of COCO's classes."
    if not recipe.images or set(recipe.images) - set(SPLITS) or min(recipe.images.values()) < 0:
        return f"`images`: set a number, 0 or more, for {' and '.join(SPLITS)}, or for one of them."
    if set(recipe.split_of.values()) - {"train2017", "val2017"} or set(recipe.images) - set(recipe.split_of):
        return "`split_of`: choose train2017 or val2017 for each split."
    if recipe.long_side < 0 or 0 < recipe.long_side < 32:
        return f"`long_side`: {recipe.long_side} pixels are too few. Use 32 or more, or 0 for the original files."
    return None
