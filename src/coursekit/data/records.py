"""COCO's annotation file, read through typed records of just the fields we need."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from coursekit.errors import DataError


class Image(msgspec.Struct, frozen=True):
    """One photograph: `file_name` lies in the split's folder, `width` and `height` are in pixels."""

    id: int
    file_name: str
    width: int
    height: int


class Annotation(msgspec.Struct, frozen=True):
    """One object, or with `iscrowd` a region with many. `bbox` is (left, top, width, height) in pixels."""

    id: int
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: int = 0


class Category(msgspec.Struct, frozen=True):
    """A class. COCO's ids run from 1 to 90 with gaps, so they are no labels to train on."""

    id: int
    name: str


class Records(msgspec.Struct, frozen=True):
    """The whole file."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category]


def read_records(path: Path) -> Records:
    """Read a COCO annotation file and make sure that its ids fit together.

    Raises:
        DataError: the file is missing, is no JSON, lacks a field, has no image or no class, or holds an id twice or
            one that leads nowhere.
    """
    records = _decode(path)
    for name, items in (("images", records.images), ("categories", records.categories)):
        if not items:
            raise DataError(f"{path}: `{name}` is empty. A data set needs at least one of them.")
    _check_unique(path, "images", (image.id for image in records.images))
    _check_unique(path, "annotations", (annotation.id for annotation in records.annotations))
    _check_unique(path, "categories", (category.id for category in records.categories))
    _check_links(path, records)
    return records


def _decode(path: Path) -> Records:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Records)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such annotation file. A COCO folder has it at {path.parent.name}/{path.name}."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}).") from None
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: not COCO's format: {error}. Compare with COCO's instances_val2017.json.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: broken JSON: {error}. Fetch or export the file again.") from None


def _check_unique(path: Path, name: str, ids: Iterable[int]) -> None:
    twice = [id_ for id_, count in Counter(ids).items() if count > 1]
    if twice:
        raise DataError(f"{path}: `{name}`: id {twice[0]} stands there more than once ({len(twice)} such ids).")


def _check_links(path: Path, records: Records) -> None:
    image_ids = {image.id for image in records.images}
    category_ids = {category.id for category in records.categories}
    for position, annotation in enumerate(records.annotations):
        where = f"{path}: annotations[{position}] (id {annotation.id})"
        if annotation.image_id not in image_ids:
            raise DataError(
                f"{where}: image_id {annotation.image_id} is not among the images. Remove it or add the image."
            )
        if annotation.category_id not in category_ids:
            raise DataError(
                f"{where}: category_id {annotation.category_id} is not among the categories. Remove it or add it."
            )
