"""The layouts of data sets that people have: which annotation file is for which split, and where its images are."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.file_names import find_root, is_file
from coursekit.data.not_coco_folder import EXPECTED, foreign_layout
from coursekit.data.source_options import Source

DEFAULT_SHARE = 0.2  # of the images: held out as `val` if there is a single annotation file, for no split
NAMES = {  # what the splits are called in the names of files and folders
    "train": ("train", "training", "minitrain"),
    "val": ("val", "valid", "validation", "minival", "dev"),
    "test": ("test", "testing"),
}
_OTHER_TASKS = {"captions", "keypoints", "stuff", "panoptic", "info"}  # of COCO's annotation files
_IMAGE_FOLDERS = ("images", "data", "imgs", "img", "JPEGImages")
_LISTS = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_PEEK = 2**16  # bytes at both ends of a file: among them is the start of one of its three lists
_MOST_FILES = 200  # a folder with more has one .json per image, which isn't COCO's format
_MOST_TRIED = 20  # names per image folder


@dataclass(frozen=True)
class Split:
    """The files of one split.

    Attributes:
        name: "train", "val" or "test".
        annotation_file: in COCO's format.
        share: None if the file is for this split alone; else the share of its images that are `val`.
        is_default: whether nobody asked for that share.
    """

    name: str
    annotation_file: Path
    share: float | None = None
    is_default: bool = False


def find_splits(folder: Path, source: Source) -> dict[str, Split]:
    """Find the splits of a data set.

    Args:
        folder: of the data set.
        source: its options choose files; else the files are recognized by their names and contents.

    Raises:
        DataError: there is no annotation file in COCO's format, or it isn't clear which of several to use.
        ConfigError: a file that the options name doesn't exist, or a share is asked for that isn't needed.
    """
    files = _chosen_files(folder, source) or _standard_files(folder) or _recognized_files(folder)
    whole = files.pop("", None) or (files.get("train") if source.val_share else None)
    if whole and source.val_share and "val" in files:
        raise ConfigError(f"--val-share {source.val_share}: {folder} has a val split, {files['val']}. Leave it out.")
    if whole and ("val" not in files):
        share = source.val_share or DEFAULT_SHARE
        names = ("train", "val")
        shared = {name: Split(name, whole, share, is_default=source.val_share is None) for name in names}
        return shared | {name: Split(name, file) for name, file in files.items() if name not in names}
    if whole:
        files["train"] = whole
    return {name: Split(name, files[name]) for name in NAMES if name in files}


def _chosen_files(folder: Path, source: Source) -> dict[str, Path]:
    files = {}
    name = Path(source.name).expanduser()
    if name.is_file() and name.suffix.lower() == ".json":
        files[""] = name
    for split, chosen in (("train", source.train_json), ("val", source.val_json)):
        if chosen is not None:
            files[split] = chosen_path(folder, chosen, f"--{split}-json")
    if "train" in files and "val" not in files:
        files[""] = files.pop("train")  # some of it is held out
    return files


def chosen_path(folder: Path, chosen: str, option: str) -> Path:
    """Return a path that an option names, relative to here or to the folder of the data set.

    Raises:
        ConfigError: there is neither.
    """
    path = Path(chosen).expanduser()
    found = next((each for each in (path, folder / path) if each.exists()), None)
    if found is None:
        raise ConfigError(f"{option} {chosen}: no such file or folder, neither here nor in {folder}. Check the path.")
    return found


def _standard_files(folder: Path) -> dict[str, Path]:
    files = {split: folder / "annotations" / f"instances_{split}2017.json" for split in NAMES}
    return {split: file for split, file in files.items() if file.exists()}


def _recognized_files(folder: Path) -> dict[str, Path]:
    """Return the annotation file of each split, by names such as `train/_annotations.coco.json`; "" if for none."""
    found = list(islice(_json_files(folder), _MOST_FILES))
    candidates = [file for file in found if _looks_like_coco(file)]
    if not candidates and (other := foreign_layout(folder)):
        raise DataError(f"{folder}: {other}")
    candidates = candidates or found[: len(NAMES)]  # reading them tells what is wrong
    if not candidates:
        raise DataError(f"{folder}: {EXPECTED}")
    files = {}
    for split in (*NAMES, ""):
        of_split = [file for file in candidates if _split_of(file.relative_to(folder)) == split]
        if of_split and not (split == "" and "train" in files):
            files[split] = _best(folder, of_split, split)
    return files


def _json_files(folder: Path) -> Iterator[Path]:
    patterns = ("*.json", "*/*.json", "*/*/*.json")
    files = chain.from_iterable(sorted(folder.glob(pattern)) for pattern in patterns)
    return (file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def _looks_like_coco(file: Path) -> bool:
    with file.open("rb") as opened:
        start = opened.read(_PEEK)
        opened.seek(max(0, file.stat().st_size - _PEEK))
        text = start.replace(b"\0", b""), opened.read().replace(b"\0", b"")  # UTF-16 has a zero in each character
    return text[0].lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t").startswith(b"{") and any(map(_LISTS.search, text))


def _split_of(file: Path) -> str:
    """Return the split that a file's name, or else the nearest folder, stands for; "" if none or several."""
    for part in (file.stem, *(parent.name for parent in file.parents)):
        words = set(re.split(r"[^a-z]+", part.lower()))
        splits = [split for split, names in NAMES.items() if words & set(names)]
        if splits:
            return splits[0] if len(splits) == 1 else ""
    return ""


def _is_of_another_split(folder: Path, split: Split) -> bool:
    """Return whether a folder has the images of another split, which may be other files of the same names."""
    return split.share is None and _split_of(folder) not in ("", split.name)


def _best(folder: Path, files: list[Path], split: str) -> Path:
    """Return the file with boxes: COCO's folder has others for captions and keypoints."""

    def rank(file: Path) -> tuple[bool, bool]:
        words = set(re.split(r"[^a-z]+", file.stem.lower()))
        return bool(words & _OTHER_TASKS), "instances" not in words

    best = [file for file in files if rank(file) == min(map(rank, files))]
    if len(best) > 1:
        names = ", ".join(file.relative_to(folder).as_posix() for file in best[:5])
        what = f"several annotation files for {split}" if split else "several annotation files, not named after splits"
        raise DataError(f"{folder}: {what}: {names}. Choose with --train-json FILE and --val-json FILE.")
    return best[0]


def find_image_folder(folder: Path, split: Split, names: Sequence[str], source: Source) -> Path:
    """Return the folder that has the files of these names, or where they usually are if there is no such folder.

    Raises:
        ConfigError: the folder that `--images` names doesn't exist.
    """
    if source.images is not None:
        return chosen_path(folder, source.images, "--images")
    tried = names[:: max(1, len(names) // _MOST_TRIED)]
    candidates = _image_folders(folder, split)
    existing = [path for path in candidates if path.is_dir()]
    found = {path: sum(is_file(path / name) for name in tried) for path in existing}
    if any(found.values()):
        return max(found, key=lambda path: found[path])  # the first of the best
    if split.annotation_file in _standard_files(folder).values():
        return candidates[0]
    roots = (path for path in find_root(folder, tried) if not _is_of_another_split(path.relative_to(folder), split))
    return next(roots, existing[0])


def _image_folders(folder: Path, split: Split) -> list[Path]:
    """Return where a split's images may be, the most usual first."""
    beside = split.annotation_file.parent
    own = [f"{split.name}2017", *NAMES[split.name]] if split.share is None else []
    bases = dict.fromkeys([folder, beside, *([beside.parent] if beside != folder else [])])
    inside = [base / middle / name for base in bases for middle in (".", *_IMAGE_FOLDERS) for name in own]
    deeper = [base / name / inner for base in bases for name in own for inner in _IMAGE_FOLDERS]
    shared = [base / name for base in bases for name in _IMAGE_FOLDERS]
    others = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    others = [path for path in others if not _is_of_another_split(Path(path.name), split)]
    return list(dict.fromkeys([*inside, *deeper, *shared, beside, *bases, *others]))
