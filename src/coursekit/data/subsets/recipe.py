"""Recipes: which scenes or photographs make up a subset, in one TOML file each."""

from pathlib import Path
from typing import Literal

import msgspec

from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import shipped
from coursekit.data import categories
from coursekit.data.index import is_safe_name, nearest

SPLITS = ("train", "val")


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subset. Which fields matter depends on the source; see `data_subsets/README.md`.

    Attributes:
        name: also of the file. source: "scenes" are drawn here, "coco" is downloaded. seed: of every choice.
        classes: COCO's names; for "coco" an empty list means all 80.
        images: how many a split; 0 means all there are.
        split_of: for "coco", from which of COCO's splits each is taken.
        balanced: prefer images with the classes that are rarest so far.
        smallest_box: √(width · height) in pixels of the original, under which a box is left out.
        crowds: "keep" them as regions to ignore, or "avoid" images that have any.
        licences: COCO's numbers, 1 to 8; an empty list means any.
        long_side: images are stored with this long side in pixels; 0 keeps the original files.
        rare, absent_from_val, object_size, scenes_with_a_crowd: of "scenes", see mini.toml.
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
    licences: list[int] = []
    long_side: int = 0
    object_size: tuple[float, float] = (10.0, 160.0)
    rare: dict[str, int] = {}
    absent_from_val: list[str] = []
    scenes_with_a_crowd: dict[str, int] = {}


def names() -> list[str]:
    """The recipes that come with the course."""
    return sorted(path.stem for path in shipped("data_subsets").glob("*.toml"))


def find_recipe(name_or_file: str) -> Recipe:
    """A recipe by its name, or from a file that ends in .toml.

    Raises:
        DataError, ConfigError: see `read_recipe`; there is none of that name.
    """
    if name_or_file.endswith(".toml"):
        return read_recipe(Path(name_or_file))
    if name_or_file not in names():
        hint = nearest(name_or_file, names())
        raise DataError(
            f"{name_or_file}: no recipe of that name{hint}. There is {', '.join(names())}, or give a .toml file."
        )
    return read_recipe(shipped("data_subsets") / f"{name_or_file}.toml")


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        DataError: the file is missing or not TOML, a field is missing, unknown or of the wrong type.
        ConfigError: a value can't be used.
    """
    try:
        recipe = msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}).") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a recipe: {error}.") from None
    problem = _problem(recipe)
    if problem:
        raise ConfigError(f"{path}: {problem}")
    return recipe


def _problem(recipe: Recipe) -> str | None:
    """The first thing about a recipe that can't be used."""
    for name in recipe.classes:
        if name not in categories.IDS:
            return f"`classes`: COCO has no class {name!r}{nearest(name, categories.IDS)}."
    if not is_safe_name(recipe.name) or not recipe.name.isascii():
        return f"`name`: {recipe.name!r} can't be the name of a folder. Use letters, digits and hyphens."
    if recipe.source == "scenes" and not recipe.classes:
        return "`classes` is empty. Name at least one of COCO's classes."
    if not recipe.images or set(recipe.images) - set(SPLITS) or min(recipe.images.values()) < 0:
        return f"`images`: give a number, 0 or more, for each of {' and '.join(SPLITS)}, or for one of them."
    if set(recipe.split_of.values()) - {"train2017", "val2017"} or set(recipe.images) - set(recipe.split_of):
        return "`split_of`: name train2017 or val2017 for each split."
    if recipe.long_side < 0 or 0 < recipe.long_side < 32:
        return f"`long_side`: {recipe.long_side} pixels are too few; take 32 or more, or 0 for the original files."
    return None
