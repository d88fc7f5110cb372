"""Classes: the 80 object categories of COCO 2017, and how the classes of two files are matched."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from coursekit.core.errors import DataError, did_you_mean
from coursekit.data.index import CocoIndex
from coursekit.data.records import Category
from coursekit.data.suspicious_annotations import duplicate_names

# COCO's ids run from 1 to 90, with gaps.
BY_SUPERCATEGORY: dict[str, dict[int, str]] = {
    "person": {1: "person"},
    "vehicle": {2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat"},
    "outdoor": {10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench"},
    "animal": {
        16: "bird",
        17: "cat",
        18: "dog",
        19: "horse",
        20: "sheep",
        21: "cow",
        22: "elephant",
        23: "bear",
        24: "zebra",
        25: "giraffe",
    },
    "accessory": {27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase"},
    "sports": {
        34: "frisbee",
        35: "skis",
        36: "snowboard",
        37: "sports ball",
        38: "kite",
        39: "baseball bat",
        40: "baseball glove",
        41: "skateboard",
        42: "surfboard",
        43: "tennis racket",
    },
    "kitchen": {44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl"},
    "food": {
        52: "banana",
        53: "apple",
        54: "sandwich",
        55: "orange",
        56: "broccoli",
        57: "carrot",
        58: "hot dog",
        59: "pizza",
        60: "donut",
        61: "cake",
    },
    "furniture": {62: "chair", 63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet"},
    "electronic": {72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard", 77: "cell phone"},
    "appliance": {78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator"},
    "indoor": {
        84: "book",
        85: "clock",
        86: "vase",
        87: "scissors",
        88: "teddy bear",
        89: "hair drier",
        90: "toothbrush",
    },
}

NAMES: dict[int, str] = {id_: name for group in BY_SUPERCATEGORY.values() for id_, name in group.items()}
IDS: dict[str, int] = {name: id_ for id_, name in NAMES.items()}


def match_classes(index: CocoIndex, categories: Sequence[Category]) -> CocoIndex:
    """Return an index with the classes that a detector is trained on, matched by name. Ids and order may differ.

    Args:
        index: may have only some of the classes.
        categories: the detector's, sorted by id; label 1 is the first.

    Returns:
        The same boxes with these categories and their ids. Classes that the file doesn't have are without boxes.

    Raises:
        DataError: the file has a class that the detector doesn't know, or classes of one name.
    """
    ids = {category.name.strip(): category.id for category in categories}
    check_names(index)
    unknown = [category.name for category in index.categories if category.name not in ids]
    if unknown:
        hints = [f"{name!r}{did_you_mean(name, ids)}" for name in unknown[:5]] + (["…"] if len(unknown) > 5 else [])
        raise DataError(
            f"{index.path}: the detector is trained on other classes: it doesn't know {', '.join(hints)}. Classes are "
            f"matched by name. The detector's {len(ids)}: {', '.join(map(repr, list(ids)[:10]))}"
            f"{', …' if len(ids) > 10 else ''}. Rename or remove the others."
        )
    ours = np.array([category.id for category in index.categories])
    theirs = np.array([ids[category.name] for category in index.categories])
    rows = np.searchsorted(ours, index.category_ids)
    return replace(index, categories=list(categories), category_ids=theirs[rows])


def check_names(index: CocoIndex) -> None:
    """Check that no two classes share a name, so that classes can be matched by name.

    Raises:
        DataError: two do.
    """
    if duplicates := duplicate_names([category.name for category in index.categories]):
        raise DataError(f"{index.path}: classes share a name: {duplicates}. Give each its own name, or merge them.")
