"""Recipes: which scenes or images make up a subset, in one TOML file each."""

from pathlib import Path
from typing import Literal

import msgspec

from coursekit.data import categories
from coursekit.errors import DataError, SettingError
from coursekit.files import shipped


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A set of rendered scenes. Counts are per split; `object_size` is the range of √area in pixels."""

    name: str
    source: Literal["scenes"]
    seed: int
    classes: list[str]
    images: dict[str, int]
    object_size: tuple[float, float] = (10, 160)
    rare: dict[str, int] = {}
    absent_from_val: list[str] = []
    scenes_with_a_crowd: dict[str, int] = {}


def names() -> list[str]:
    """The recipes that come with the course."""
    return sorted(path.stem for path in shipped("data_subsets").glob("*.toml"))


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        DataError: the file is missing or not TOML, a field is missing, unknown or of the wrong type.
        SettingError: the list of classes is empty or names one that COCO does not have.
    """
    try:
        recipe = msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}).") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a recipe: {error}.") from None
    if not recipe.classes:
        raise SettingError(f"{path}: `classes` is empty. Name at least one of COCO's classes.")
    unknown = [name for name in recipe.classes if name not in categories.IDS]
    if unknown:
        raise SettingError(f"{path}: `classes`: COCO has no class {unknown[0]!r}.")
    return recipe
