"""From a name to a data set: a folder in COCO's layout, a recipe, or the set `damaged`."""

from pathlib import Path

import numpy as np

from coursekit.core.errors import DataError, did_you_mean
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex
from coursekit.data.subsets import recipe as recipes
from coursekit.data.subsets.build import subset_folder
from coursekit.data.synthetic.damaged import build_damaged
from coursekit.data.synthetic.render import build_scenes


def load(name_or_dir: str | Path, split: str) -> CocoDataset:
    """Load one split of a data set.

    Args:
        name_or_dir: the name of a recipe such as "mini", a recipe file (.toml), or a folder laid out like COCO, with
            `annotations/instances_{split}2017.json` and the images in `{split}2017/`.
        split: "train" or "val".

    Raises:
        DataError: the folder, the annotation file or an image is missing, or the file can't be used.
    """
    folder = find_folder(name_or_dir)
    index = CocoIndex.load(folder / "annotations" / f"instances_{split}2017.json")
    image_folder = folder / f"{split}2017"
    _check_files(index, image_folder)
    return CocoDataset(str(name_or_dir), index, np.arange(len(index)), image_folder)


def find_folder(name_or_dir: str | Path) -> Path:
    """Return the folder of a data set. Drawn sets are drawn if needed; sets to download must have been built before.

    Raises:
        DataError: there is no such data set.
    """
    name, folder = str(name_or_dir), Path(name_or_dir).expanduser()
    if folder.is_dir():
        return folder
    if name == "damaged":
        return build_damaged()
    known = [*recipes.names(), "damaged"]
    if name not in known and not name.endswith(".toml"):
        hint = did_you_mean(name, known)
        raise DataError(f"{name}: no such folder, and no recipe of that name{hint}. Recipes: {', '.join(known)}.")
    recipe = recipes.find_recipe(name)
    if recipe.source == "scenes":
        return build_scenes(recipe)
    if not subset_folder(recipe).exists():
        raise DataError(f"{name}: not built on this machine yet. Build it: coursekit data build {name}")
    return subset_folder(recipe)


def _check_files(index: CocoIndex, image_folder: Path) -> None:
    if not image_folder.is_dir():
        raise DataError(f"{image_folder}: no such folder. Put the images of {index.path.name} there.")
    present = {path.name for path in image_folder.iterdir()}
    missing = [name for name in index.file_names.tolist() if name not in present]
    if missing:
        raise DataError(
            f"{image_folder / missing[0]}: the image is missing ({len(missing)} of {len(index)} images are). "
            f"Add the images that {index.path.name} lists, or remove their records."
        )
