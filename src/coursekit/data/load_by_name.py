"""From a name to a data set: a folder in one of the usual layouts, a recipe, or the set `damaged`."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coursekit.core.errors import DataError, did_you_mean
from coursekit.data.dataset import MOST_UNREADABLE, CocoDataset
from coursekit.data.file_names import locate
from coursekit.data.folder_layouts import Split, find_image_folder, find_splits
from coursekit.data.index import CocoIndex
from coursekit.data.source_options import Source
from coursekit.data.subsets import recipe as recipes
from coursekit.data.subsets.footprint import subset_folder
from coursekit.data.subsets.unfinished_builds import refuse_unbuilt, refuse_unfinished
from coursekit.data.synthetic.damaged import build_damaged
from coursekit.data.synthetic.write_coco_folder import build_scenes
from coursekit.data.train_and_val import hold_out


@dataclass(frozen=True)
class Loaded:
    """One split of a data set.

    Attributes:
        dataset: its samples. One whose image is absent can't be read.
        absent: the file names that no file has → which similar file there is; often empty.
    """

    dataset: CocoDataset
    absent: dict[str, str]


def load(name_or_dir: str | Path | Source, split: str) -> CocoDataset:
    """Load one split of a data set.

    Args:
        name_or_dir: the name of a recipe such as "mini", a recipe file (.toml), a folder in a layout that
            `find_splits` knows, an annotation file, or a `Source`.
        split: "train" or "val".

    Raises:
        DataError: the folder, the annotation file or too many of the images are missing, or the file can't be used.
        ConfigError: an option of the source can't be used.
    """
    loaded = load_split(name_or_dir, split)
    _check_absent(loaded)
    return loaded.dataset


def load_split(name_or_dir: str | Path | Source, split: str) -> Loaded:
    """Load one split as `load` does, however many images are missing."""
    source = Source.parse(name_or_dir)
    folder = find_folder(source)
    chosen = find_splits(folder, source).get(split)
    if chosen is None:
        raise DataError(_no_such_split(folder, source, split))
    index = load_index(chosen)
    image_folder = find_image_folder(folder, chosen, index.file_names.tolist(), source)
    located = locate(image_folder, index.file_names.tolist())
    index = replace(index, file_names=np.array(located.names))
    return Loaded(CocoDataset(str(source), index, np.arange(len(index)), image_folder), located.absent)


def load_index(split: Split) -> CocoIndex:
    """Load the records of a split, without the images.

    Raises:
        DataError: the annotation file can't be used, or has too few images to hold one out.
    """
    index = CocoIndex.load(split.annotation_file)
    if split.share is None:
        return index
    if split.is_default:
        warnings.warn(
            f"{split.annotation_file}: one file for all images, so {split.share:.0%} of them are held out as val. "
            "--val-share changes that.",
            stacklevel=3,
        )
    return hold_out(index, split.share, split.name)


def find_folder(name_or_dir: str | Path | Source) -> Path:
    """Return the folder of a data set. Drawn sets are drawn if needed; sets to download must have been built before.

    Raises:
        DataError: there is no such data set.
    """
    name = Source.parse(name_or_dir).name
    path = Path(name).expanduser()
    if path.is_dir():
        return refuse_unfinished(path)
    if path.is_file() and path.suffix.lower() == ".json":
        return path.parent
    if name == "damaged":
        return build_damaged()
    known = [*recipes.names(), "damaged"]
    if path.is_file() and path.suffix != ".toml":
        raise DataError(f"{name}: a file, not a folder. Unpack an archive first, or pass a folder, or a .json file.")
    if name not in known and not name.endswith(".toml"):
        hint = did_you_mean(name, known)
        raise DataError(f"{name}: no such folder, and no recipe of that name{hint}. Recipes: {', '.join(known)}.")
    recipe = recipes.find_recipe(name)
    if recipe.source == "scenes":
        return build_scenes(recipe)
    return refuse_unbuilt(subset_folder(recipe), name)


def _no_such_split(folder: Path, source: Source, split: str) -> str:
    files = {name: each.annotation_file for name, each in find_splits(folder, source).items()}
    found = ", ".join(
        f"{name} ({file.relative_to(folder) if file.is_relative_to(folder) else file})" for name, file in files.items()
    )
    cure = f"Name its annotation file with --{split}-json" if split in ("train", "val") else "Choose one of these"
    share = ", or hold out some of the training images: --val-share 0.2" if split == "val" and "train" in files else ""
    return f"{folder}: no {split} split, only {found}. {cure}{share}."


def _check_absent(loaded: Loaded) -> None:
    """Name the absent images. Refuse a data set if so many are that no run over it could end well."""
    folder, file = loaded.dataset.image_folder, loaded.dataset.annotation_file.name
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Put the images of {file} there.")
    if len(loaded.absent) > MOST_UNREADABLE * len(loaded.dataset):
        raise DataError(f"{absent_note(loaded)} Add the images that {file} lists, or remove their records.")
    if loaded.absent:
        warnings.warn(f"{absent_note(loaded)} The others are used.", stacklevel=3)


def absent_note(loaded: Loaded) -> str:
    """Return a sentence on the first absent image and the number of the others; an empty text if there is none."""
    if not loaded.absent:
        return ""
    name, similar = next(iter(loaded.absent.items()))
    count, total = len(loaded.absent), len(loaded.dataset)
    verb = "is" if count == 1 else "are"
    sentence = f"{loaded.dataset.image_folder / name}: the image is missing ({count:,} of {total:,} images {verb})."
    return f"{sentence} {similar}." if similar else sentence
