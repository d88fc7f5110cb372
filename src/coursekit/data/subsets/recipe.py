"""Recipes: which scenes or photographs make up a data set. Each is a TOML file."""

import tomllib
from pathlib import Path

import msgspec

from coursekit.core.errors import ConfigError, DataError, did_you_mean
from coursekit.core.files import shipped
from coursekit.data.subsets.recipe_checks import problems, shown
from coursekit.data.subsets.recipe_fields import Recipe as Recipe

LARGEST_FILE = 1_000_000  # bytes; a recipe has about 500


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
