"""Hold out some images of one annotation file as a validation set."""

import hashlib
from dataclasses import replace

import numpy as np

from coursekit.core.errors import DataError
from coursekit.data.index import CocoIndex, Rows

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
