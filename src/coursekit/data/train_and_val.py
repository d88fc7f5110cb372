"""A training and a validation set: whether they fit together, and how to hold out one from the other."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from coursekit.core.errors import DataError
from coursekit.data.categories import check_names, match_classes
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.record_checks import counted

SEED = 0
_IMAGE_COLUMNS = ("image_ids", "file_names", "urls", "widths", "heights", "licenses")
_BOX_COLUMNS = ("boxes", "areas", "category_ids", "annotation_ids", "is_crowd")


def hold_out(index: CocoIndex, share: float, split: str) -> CocoIndex:
    """Return the part of an index that is in `split`: this share of the images is "val", the others are "train".

    The images are chosen by a digest of their file names. So the choice is the same on every machine, and an image that
    is added to the file hardly moves the others.

    Raises:
        DataError: there is only one image.
    """
    if len(index) < 2:
        raise DataError(f"{index.path}: has only one image, so none can be held out for validation. Add images.")
    digests = [hashlib.sha256(f"{SEED} {name}".encode()).digest() for name in index.file_names.tolist()]
    count = min(max(1, round(share * len(index))), len(index) - 1)
    is_val = np.zeros(len(index), bool)
    is_val[sorted(range(len(index)), key=digests.__getitem__)[:count]] = True
    return take(index, np.flatnonzero(is_val == (split == "val")))


def take(index: CocoIndex, rows: Rows) -> CocoIndex:
    """Return an index of these rows, (K,) in increasing order, with their boxes."""
    is_taken = np.isin(index.image_rows, rows)
    columns = {name: getattr(index, name)[rows] for name in _IMAGE_COLUMNS}
    columns |= {name: getattr(index, name)[is_taken] for name in _BOX_COLUMNS}
    outlines = index.segmentations
    return replace(
        index,
        **columns,
        offsets=np.concatenate([[0], np.diff(index.offsets)[rows].cumsum()]),
        segmentations=None if outlines is None else [outlines[row] for row in np.flatnonzero(is_taken)],
    )


def check_splits(train: CocoIndex, val: CocoIndex | None = None) -> None:
    """Check that a detector can be trained on `train` and scored on `val`.

    Raises:
        DataError: one has no boxes, or their classes don't match.
    """
    if problems := split_problems([train] if val is None else [train, val]):
        raise DataError("\n".join(problems))


def split_problems(splits: Sequence[CocoIndex]) -> list[str]:
    """Return what keeps these splits from being used together, a sentence each. The first one is trained on."""
    checks: list[Callable[[], object]] = [partial(check_names, split) for split in splits[:1]]
    checks += [split.require_boxes for split in splits]
    checks += [partial(match_classes, split, splits[0].categories) for split in splits[1:]]
    problems: dict[str, None] = {}  # each once: splits may come from one file
    for check in checks:
        try:
            check()
        except DataError as error:
            problems[str(error)] = None
    return list(problems)


def record_problems(splits: Sequence[CocoIndex]) -> list[str]:
    """Return the problems of the records: as `split_problems`, and a sentence for each file with faulty records."""
    faulty = {split.path: split.faults for split in splits if split.faults}
    counts = [f"{path}: records that can't be used: {counted(faults)}" for path, faults in faulty.items()]
    return counts + split_problems(splits)
