"""The records of COCO's annotation file: their types, with the fields that we need."""

import codecs
from math import nan
from typing import Annotated, Any

import msgspec

from coursekit.data.annotation_columns import Annotations
from coursekit.data.record_fields import LARGEST_ID, LARGEST_SIDE, MISSING
from coursekit.data.tolerant_records import Fault, Followers

BOM = codecs.BOM_UTF8  # many programs on Windows write it
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec raises for a file
Id = Annotated[int, msgspec.Meta(ge=-LARGEST_ID, le=LARGEST_ID)]
Pixels = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE)]


class Image(msgspec.Struct, frozen=True, gc=False):
    """One photograph: `file_name` is relative to the split's folder, `width` and `height` are in pixels."""

    id: Id
    file_name: str
    width: Pixels
    height: Pixels
    license: Any = None  # whatever it is, training doesn't need it
    coco_url: Any = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """One object, or a region with many if `iscrowd` is 1. `bbox` is (left, top, width, height) in pixels.

    An `area` that the file doesn't give is NaN, and an `id` MISSING.
    """

    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    id: Id = MISSING
    area: float = nan
    iscrowd: Annotated[int, msgspec.Meta(ge=0, le=1)] | bool = 0


class Segmented(Annotation, frozen=True, gc=False):
    """An annotation with its outline, as in the file: polygons, or a run-length encoding."""

    segmentation: msgspec.Raw = msgspec.Raw(b"[]")


class Category(msgspec.Struct, frozen=True):
    """A class. COCO's ids run from 1 to 90 with gaps, so they can't serve as labels for training."""

    id: Id
    name: str


class Grouped(Category, frozen=True):
    """A class with the group that it belongs to, as in the file."""

    supercategory: Any = None


class Records(msgspec.Struct):
    """The whole file. Faulty images and categories, listed in `faults`, are None so that positions stay the same.

    `followers` counts annotations that are left out because of their image or their class, by part and id of that.
    """

    images: list[Image | None]
    annotations: Annotations
    categories: list[Grouped | None]
    faults: list[Fault] = []
    followers: Followers = {}
