"""Data sets that aren't in COCO's format: recognize the format by its files, and say what to do."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from coursekit.data.not_coco_json import foreign

_DEPTHS = ("*", "*/*", "*/*/*")
_MOST_TRIED = 20
_YOLO_LINE = re.compile(r"\d+(\s+-?[\d.eE+-]+){4,}\s*")
_SUFFIXES = {
    ".csv": "its annotations seem to be in a CSV file",
    ".tfrecord": "its annotations seem to be in TFRecord files",
    ".jsonl": "its annotations seem to be in JSON Lines",
    ".ndjson": "its annotations seem to be in JSON Lines",
    ".parquet": "its annotations seem to be in a Parquet file",
}
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")
_CURE = "Export it in COCO's format, or convert it: coursekit data convert."
EXPECTED = (
    "no annotations in COCO's format. They are usually in annotations/instances_train2017.json, "
    "train/_annotations.coco.json, or one .json file beside a folder `images`."
)


def foreign_layout(folder: Path) -> str:
    """Return what a folder without an annotation file in COCO's format contains, and what to do; "" if unknown."""
    for pattern, recognize in (("*.xml", _voc), ("*.yaml", _yaml), ("*.txt", _yolo), ("*.json", _json)):
        for file in islice(_files(folder, pattern), _MOST_TRIED):
            if found := recognize(_start(file)):
                return f"this looks like {found} ({file.relative_to(folder).as_posix()}), not COCO's format. {_CURE}"
    for file in _files(folder, "*"):
        if file.suffix.lower() in _SUFFIXES:
            return (
                f"{_SUFFIXES[file.suffix.lower()]} ({file.name}), not in COCO's format. Export them in COCO's format."
            )
    archives = [file.name for file in _files(folder, "*") if file.suffix.lower() in _ARCHIVES]
    if archives:
        return f"{EXPECTED} There is an archive, {archives[0]}: unpack it."
    return ""


def format_of(file: Path) -> str:
    """Return the format of a label file in Pascal VOC's or YOLO's format; "" if it is neither."""
    start = _start(file)
    return _yolo(start) if file.suffix == ".txt" else _voc(start) if "<annotations" not in start else ""


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    for depth in _DEPTHS:
        parent = depth[:-1]
        yield from (file for file in sorted(folder.glob(f"{parent}{pattern}")) if file.is_file())


def _start(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(4096).decode("utf-8", errors="replace")


def _voc(start: str) -> str:
    if re.search(r"<annotation\b", start):
        return "Pascal VOC, with one .xml file per image"
    return "an XML export of CVAT" if re.search(r"<annotations\b", start) else ""


def _yaml(start: str) -> str:
    return "YOLO's format" if re.search(r"(?m)^(names|nc)\s*:", start) else ""


def _yolo(start: str) -> str:
    first = start.splitlines()[0] if start.splitlines() else ""
    return "YOLO's format, with one .txt file per image" if _YOLO_LINE.fullmatch(first) else ""


def _json(start: str) -> str:
    keys = dict.fromkeys(re.findall(r'"(\w+)"\s*:', start))
    parsed = [keys] if start.lstrip().startswith("[") else keys
    return foreign(parsed).removeprefix(" It looks like ").split(":")[0].removesuffix(".")
