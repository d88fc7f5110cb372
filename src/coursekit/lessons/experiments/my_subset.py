"""Build the subset of lesson 10 from a recipe in the notebook, and look at it."""

from pathlib import Path

import coursekit.show as show
from coursekit.core.files import write_text
from coursekit.data.info import summarize
from coursekit.data.load_by_name import find_folder
from coursekit.data.subsets.build import build_subset
from coursekit.data.subsets.recipe import read_recipe
from coursekit.show.data_picture import data_picture


def build_here(name: str, recipe: str, data: str) -> tuple[Path, Path]:
    """Write a recipe beside the notebook, and build it from data on this machine.

    Args:
        name: of the recipe, and of its file. In the file, the data's name is added to it, because the same recipe built
            from other data is another subset.
        recipe: all other fields, as TOML.
        data: what to take images from: a recipe that was built, or a folder in COCO's layout.

    Returns:
        The recipe's file, and the folder of the subset.

    Raises:
        DataError, ConfigError: the recipe can't be used; the message names the field.
    """
    file, source = Path(f"{name}.toml"), find_folder(data)
    write_text(file, f'name = "{name}-{source.name}"\n{recipe.lstrip()}')
    folder, manifest = build_subset(read_recipe(file), annotations=str(source), images=str(source))
    print(f"{file}: {len(manifest.files)} images, {len(manifest.missing)} missing")
    return file, folder


def look_at(folder: Path) -> None:
    """Show classes and sizes of a subset, and print how many boxes there are to train on and to test on."""
    train, val = summarize(folder)[:2]
    show.figure(data_picture([train, val]), f"The subset. train: {train.headline}; val: {val.headline}.")
    print(f"{'class':14} boxes to train on, to test on")
    tested = {name: boxes for name, boxes, _ in val.classes}
    for name, boxes, _ in train.classes:
        print(f"{name:14} {boxes:6} {tested[name]:14}")
