"""Check the files of a data set: each image is read as training reads it."""

import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.data.dataset import MOST_UNREADABLE, CocoDataset
from coursekit.data.file_names import files_below
from coursekit.data.folder_layouts import find_splits
from coursekit.data.load_by_name import Loaded, find_folder, load_split
from coursekit.data.source_options import Source
from coursekit.data.subsets.manifest import changes, read_manifest
from coursekit.data.train_and_val import record_problems


def verify(name_or_dir: str | Path | Source) -> list[str]:
    """Check a data set. Return one line per file that is missing, damaged, of another size, changed or in no record.

    Before these come the problems of the records, see `record_problems`.

    If there is a manifest, hashes are compared. Otherwise every image is decoded completely.

    Raises:
        DataError: the folder has no annotations, or the manifest is damaged.
    """
    source = Source.parse(name_or_dir)
    folder = find_folder(source)
    manifest = read_manifest(folder)
    if manifest is not None:
        return changes(folder, manifest)
    loaded = [load_split(source, split) for split in find_splits(folder, source)]
    problems = record_problems([each.dataset.index for each in loaded])
    problems += [
        f"{_relative(folder, each, name)}: missing{_hint(hint)}"
        for each in loaded
        for name, hint in each.absent.items()
    ]
    problems += [f"{file}: extra, no record names it" for file in _extra(folder, loaded)]
    problems += [problem for each in loaded for problem in _unreadable(folder, each)]
    return list(dict.fromkeys(problems))  # splits may share images


def warn_of_unreadable(dataset: CocoDataset) -> None:
    """Decode each image once, and name those that can't be used: better now than after the training.

    Raises:
        DataError: more images can't be used than a run can do without.
    """
    problems = []
    for index in tqdm(range(len(dataset)), desc="checking images", unit="img", leave=False, delay=2):
        try:
            dataset[index]
        except DataError as error:
            problems.append(str(error))
    if not problems:
        return
    message = f"{problems[0]} ({len(problems):,} of {len(dataset):,} images can't be used.)"
    if len(problems) > MOST_UNREADABLE * len(dataset):
        raise DataError(message)
    warnings.warn(f"{message} The others are used.", stacklevel=2)


def _hint(similar: str) -> str:
    return f", but {similar}" if similar else ""


def _relative(folder: Path, loaded: Loaded, name: str) -> str:
    path = loaded.dataset.image_folder / name
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _extra(folder: Path, loaded: list[Loaded]) -> list[str]:
    """Return the images in the image folders that no record names. Other files don't matter there."""
    known = {_relative(folder, each, name) for each in loaded for name in each.dataset.index.file_names.tolist()}
    kinds = Image.registered_extensions().keys()
    present = {
        _relative(folder, each, file)
        for each in loaded
        for file in files_below(each.dataset.image_folder)
        if Path(file).suffix.lower() in kinds
    }
    return sorted(present - known)


def _unreadable(folder: Path, loaded: Loaded) -> Iterator[str]:
    """Read all images but the absent ones, and yield what is wrong with those that can't be used."""
    dataset = loaded.dataset
    for index in tqdm(range(len(dataset)), desc="verifying", unit="img", leave=False, delay=2):
        if dataset.file_name(index) in loaded.absent:
            continue
        try:
            dataset.read(index)
        except DataError as error:
            problem = str(error).removeprefix(f"{dataset.path(index)}: ")
            yield f"{_relative(folder, loaded, dataset.file_name(index))}: {problem}"
