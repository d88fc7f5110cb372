"""What to say about annotations that can be used, but perhaps don't mean what they seem to; and why no box is left."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.data.record_checks import is_repeated
from coursekit.data.record_fields import MISSING
from coursekit.data.tolerant_records import Fault

SMALLEST_IMAGE = 16  # pixels: in smaller ones, boxes below a pixel may be meant
NORMALIZED_SHARE = 0.05  # of the boxes: hardly any real box is that small and in that corner
CORNER_SHARE = 0.95  # of the boxes that would be sound as corners
BEYOND_SHARE = 0.1  # of the boxes that leave their image as width and height
MARGIN = 0.02  # of the image: annotators often draw a little beyond the edge
MOST_SHOWN = 5


def complete(columns: dict[str, Any]) -> list[str]:
    """Fill in areas and ids that the file doesn't give, in place. Return a sentence about each kind."""
    areas, ids, boxes = columns["areas"], columns["annotation_ids"], columns["boxes"]
    remarks = []
    unknown = np.isnan(areas) | (areas < 0)  # pycocotools ignores a box with a negative area
    if unknown.any():
        columns["areas"] = np.where(unknown, boxes[:, 2] * boxes[:, 3], areas)
        remarks.append(
            f"{unknown.sum():,} of {len(ids):,} annotations have no usable `area`: width × height is taken. AP by size "
            "(small, medium, large) rests on it."
        )
    zero = (areas == 0) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    if zero.any():
        remarks.append(
            f"{zero.sum():,} of {len(ids):,} boxes have `area` 0, but a width and a height. They are kept, and count "
            "as small in AP by size. Remove `area` to have width × height taken."
        )
    return remarks + _number(columns)


def _number(columns: dict[str, Any]) -> list[str]:
    """Give new ids to annotations without an id, with id 0, or with the id of an earlier one."""
    ids = columns["annotation_ids"]
    absent, zero = ids == MISSING, ids == 0
    repeated = is_repeated(ids) & ~absent & ~zero
    unusable = absent | zero | repeated
    if not unusable.any():
        return []
    first = max(0, int(ids.max())) + 1
    columns["annotation_ids"] = ids.copy()
    columns["annotation_ids"][unusable] = first + np.arange(unusable.sum())
    kinds = {"without an id": absent, "with id 0": zero, "with the id of an earlier one": repeated}
    shown = ", ".join(f"{which.sum():,} {kind}" for kind, which in kinds.items() if which.any())
    return [f"annotations get new ids, from {first}: {shown}. (pycocotools takes the id 0 for no match.)"]


def conventions(boxes: NDArray[np.float64], widths: NDArray[np.int64], heights: NDArray[np.int64]) -> list[str]:
    """Return a sentence about boxes that look normalized, or like corners; none if they look sound.

    Args:
        boxes: (N, 4) left, top, width, height in pixels.
        widths, heights: (N,) of the image of each box.
    """
    return [*_normalized(boxes, widths, heights), *_corners(boxes, widths, heights)]


def _normalized(boxes: NDArray[np.float64], widths: NDArray[np.int64], heights: NDArray[np.int64]) -> list[str]:
    """Look for boxes with all numbers in 0 to 1."""
    is_thin = boxes[:, 2] <= 1
    if not is_thin.any() or is_thin.mean() < NORMALIZED_SHARE:  # the rest takes longer
        return []
    is_large = np.minimum(widths, heights) >= SMALLEST_IMAGE
    inside = is_large & (boxes <= 1).all(axis=1) & (boxes >= 0).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    if not inside.any() or inside.mean() < NORMALIZED_SHARE:
        return []
    return [
        f"{inside.sum():,} of {inside.size:,} boxes look normalized: all four numbers are between 0 and 1. COCO's bbox "
        "is (left, top, width, height) in pixels: multiply by the image's width and height."
    ]


def _corners(boxes: NDArray[np.float64], widths: NDArray[np.int64], heights: NDArray[np.int64]) -> list[str]:
    """Look for boxes that leave their image, and would fit if their last two numbers were right and bottom."""
    left, top, width, height = boxes.T
    x_limit, y_limit = (size * (1 + MARGIN) + 1 for size in (widths, heights))
    beyond = (left + width > x_limit) | (top + height > y_limit)
    if not beyond.any() or beyond.mean() < BEYOND_SHARE:
        return []
    as_corners = (width > left) & (height > top) & (width <= x_limit) & (height <= y_limit)
    if as_corners.mean() < CORNER_SHARE:
        return []
    return [
        f"{beyond.sum():,} of {beyond.size:,} boxes leave their image, and would fit as corners: they look like (left, "
        "top, right, bottom). COCO's bbox is (left, top, width, height): subtract left and top."
    ]


def names(classes: Sequence[str], files: Sequence[str]) -> list[str]:
    """Return a sentence about classes that share a name, and one about images that share a file."""
    remarks = []
    if duplicates := duplicate_names(classes):
        remarks.append(f"classes share a name: {duplicates}. Training matches classes by name: give each its own.")
    if len(set(files)) < len(files):
        remarks.append(
            f"images share a file: {duplicate_names(files)}. If their boxes differ, each is trained without "
            "those of the other: merge the records."
        )
    return remarks


def shortage(path: Path, faults: Iterable[Fault], unused: Mapping[str, int]) -> str:
    """Return why a file has no box to train on or to score.

    Args:
        path: the file.
        faults: its faulty records.
        unused: reason → number of boxes that are sound records, but can't be trained on.
    """
    reasons = Counter(unused)
    for fault in faults:
        reasons["its image or class can't be used"] += fault.annotations
        reasons[fault.reason] += fault.part == "annotations"
    reasons = +reasons  # without zeros
    if not reasons:
        return f"{path}: no box to train on or to score: the list `annotations` is empty."
    shown = "; ".join(f"{count:,} × {reason}" for reason, count in reasons.most_common(MOST_SHOWN))
    more = "; …" if len(reasons) > MOST_SHOWN else ""
    return (
        f"{path}: no box to train on or to score: none of {reasons.total():,} annotations is usable ({shown}{more}). "
        "Correct the file, or export it again."
    )


def duplicate_names(values: Sequence[str]) -> str:
    """Return the values that occur more than once, the first few; an empty text if none does."""
    duplicates = [value for value, count in Counter(values).items() if count > 1]
    shown = ", ".join(map(repr, duplicates[:MOST_SHOWN]))
    return f"{shown}, …" if len(duplicates) > MOST_SHOWN else shown
