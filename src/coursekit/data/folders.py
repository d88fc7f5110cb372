"""From a name to a data set: a folder in COCO's layout, a recipe, or the set `damaged`."""

from pathlib import Path

import numpy as np

from coursekit.core.errors import DataError
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex, nearest
from coursekit.data.subsets import recipe as recipes
from coursekit.data.subsets.build import subset_folder
from coursekit.data.synthetic.damaged import build_damaged
from coursekit.data.synthetic.render import build_scenes


def load(name_or_dir: str | Path, split: str) -> CocoDataset:
    """One split of a data set: a recipe's name such as "mini" or its .toml file, or a folder laid out as COCO is.

    Args:
        name_or_dir: a folder holds `annotations/instances_{split}2017.json` and the images in `{split}2017/`.
        split: "train" or "val".

    Raises:
        DataError: the folder, the annotation file or an image is missing, or the file is not sound.
    """
    folder = find_folder(name_or_dir)
    index = CocoIndex.load(folder / "annotations" / f"instances_{split}2017.json")
    image_folder = folder / f"{split}2017"
    _check_files(index, image_folder)
    return CocoDataset(str(name_or_dir), index, np.arange(len(index)), image_folder)


def find_folder(name_or_dir: str | Path) -> Path:
    """The folder of a data set. What is drawn here is drawn now; what must be downloaded has to be built before.

    Raises:
        DataError: there is none.
    """

    name, folder = str(name_or_dir), Path(name_or_dir).expanduser()
    if folder.is_dir():
        return folder
    if name == "damaged":
        return build_damaged()
    if name not in recipes.names() and not name.endswith(".toml"):
        hint = nearest(name, [*recipes.names(), "damaged"])
        known = ", ".join([*recipes.names(), "damaged"])
        raise DataError(f"{name}: no such folder, and no recipe of that name{hint}. Recipes: {known}.")
    recipe = recipes.find_recipe(name)
    if recipe.source == "scenes":
        return build_scenes(recipe)
    if not subset_folder(recipe).exists():
        raise DataError(f"{name}: not built on this machine yet. Build it: coursekit data build {name}")
    return subset_folder(recipe)


def _check_files(index: CocoIndex, image_folder: Path) -> None:
    if not image_folder.is_dir():
        raise DataError(f"{image_folder}: no such folder. The images of {index.path.name} belong there.")
    present = {path.name for path in image_folder.iterdir()}
    missing = [name for name in index.file_names.tolist() if name not in present]
    if missing:
        raise DataError(
            f"{image_folder / missing[0]}: the image is missing (with {len(missing) - 1} more of {len(index)}). "
            f"Fetch what {index.path.name} lists, or remove the records."
        )
