"""Convert data sets in Pascal VOC's and YOLO's formats to COCO's, with the package supervision."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import make_folder
from coursekit.data.not_coco_folder import format_of

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
IMAGES = {"labels": "images", "annotations": "JPEGImages"}  # folder of labels → folder of images
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Part:
    """A part of a data set: its split, "" if there is only one, and its folders of images and labels."""

    split: str
    images: Path
    labels: Path


def convert(folder: Path, out: Path) -> list[Path]:
    """Convert a data set to COCO's format. The test split, which has no use here, is left out.

    Args:
        folder: a data set with one .xml file (Pascal VOC) or one .txt file (YOLO) for each image.
        out: a new folder, which gets an annotation file and copies of the images for each split.

    Returns:
        The annotation files.

    Raises:
        ConfigError: supervision is not installed, or `out` exists.
        DataError: the folder has neither format, or it can't be converted.
    """
    supervision = _supervision()
    if out.exists():
        raise ConfigError(f"{out}: exists already. Choose another --out, or remove it.")
    parts = [part for part in find_parts(folder) if part.split != "test"]
    if not parts:
        raise DataError(f"{folder}: no labels in Pascal VOC's or YOLO's format, with images of the same names, found.")
    make_folder(out)
    return [_convert_part(supervision, folder, part, out) for part in parts]


def find_parts(folder: Path) -> Iterator[Part]:
    """Find the parts of a data set in Pascal VOC's or YOLO's format."""
    files = sorted(file for suffix in ("*.xml", "*.txt") for file in folder.rglob(suffix) if format_of(file))
    for labels in dict.fromkeys(file.parent for file in files):
        stems = {file.stem for file in files if file.parent == labels}
        images = next((place for place in _places(labels) if _has_images(place, stems)), None)
        if images:
            names = [part.lower() for part in labels.relative_to(folder).parts]
            yield Part(next((SPLITS[name] for name in names if name in SPLITS), ""), images, labels)


def _places(labels: Path) -> Iterator[Path]:
    """Yield the folders in which the images of a folder of labels may be."""
    yield labels
    for above in (labels, *labels.parents):
        name = IMAGES.get(above.name.lower())
        if name:
            yield from (above.parent / folder / labels.relative_to(above) for folder in (name, "images"))


def _has_images(folder: Path, stems: set[str]) -> bool:
    files = folder.iterdir() if folder.is_dir() else ()
    return any(file.suffix.lower() in SUFFIXES and file.stem in stems for file in files)


def _convert_part(supervision: Any, folder: Path, part: Part, out: Path) -> Path:
    target = out / f"{part.split or 'annotations'}.json"
    try:
        data = _reader(supervision, folder, part)()
        data.as_coco(str(out / "images" / part.split), str(target))
    except Exception as error:  # whatever the files do to the library
        raise DataError(f"{part.labels}: can't be converted ({type(error).__name__}: {error}).") from error
    return target


def _reader(supervision: Any, folder: Path, part: Part) -> Callable[[], Any]:
    """Return the function that reads a part."""
    images, labels = str(part.images), str(part.labels)
    if any(part.labels.glob("*.xml")):
        return lambda: supervision.DetectionDataset.from_pascal_voc(images, labels)
    yaml = next((file for pattern in ("*.yaml", "*.yml") for file in sorted(folder.glob(pattern))), None)
    if yaml is None:
        raise DataError(f"{folder}: no .yaml file, which names the classes in YOLO's format. Add `names: [cat, dog]`.")
    return lambda: supervision.DetectionDataset.from_yolo(images, labels, str(yaml))


def _supervision() -> Any:
    try:
        import supervision
    except ImportError:
        raise ConfigError(
            "Converting needs the package supervision, which is not installed with the course: pip install supervision"
        ) from None
    return supervision
