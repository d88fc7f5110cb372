"""The targets of a data set, computed for all images at once.

One by one, a dozen small operations per image would take a third as long as decoding a JPEG of 320 pixels.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from coursekit.data.boxes import Target, xywh_to_xyxy
from coursekit.data.index import CocoIndex, Rows


class Targets:
    """Targets by position, as flat arrays: all workers share them without a copy.

    Args:
        index: the records.
        rows: (len,) the rows of the index whose targets are wanted.

    Attributes:
        image_ids: (len,) COCO's ids.
        offsets: (2 * len + 1,). The boxes of image i are those from `offsets[2 * i]`, its crowds from
            `offsets[2 * i + 1]` to `offsets[2 * i + 2]`.
        boxes: (N, 4) float32, xyxy, clipped to their image. Those without area in it are left out.
        labels: (N,) int64, from 1.
    """

    def __init__(self, index: CocoIndex, rows: Rows) -> None:
        images, records = _boxes_of(index, rows)
        boxes, keep = _clipped(index, index.boxes[records], rows[images])
        parts = 2 * images + index.is_crowd[records]
        order = np.argsort(parts, kind="stable")
        order = order[keep[order]]
        ids = np.array([category.id for category in index.categories])
        self.image_ids = index.image_ids[rows]
        self.offsets = np.concatenate([[0], np.bincount(parts[order], minlength=2 * len(rows)).cumsum()])
        self.boxes = boxes[order]
        self.labels = (np.searchsorted(ids, index.category_ids[records[order]]) + 1).astype(np.int64)

    def __getitem__(self, position: int) -> Target:
        """Return a target. Its tensors are copies: augmentation may write to them."""
        image_id = int(self.image_ids[position])
        first = 2 * (position % len(self.image_ids))
        start, crowds, end = self.offsets[first : first + 3].tolist()
        return {
            "boxes": torch.from_numpy(self.boxes[start:crowds].copy()),
            "labels": torch.from_numpy(self.labels[start:crowds].copy()),
            "crowd_boxes": torch.from_numpy(self.boxes[crowds:end].copy()),
            "image_id": image_id,
        }


def _boxes_of(index: CocoIndex, rows: Rows) -> tuple[NDArray[np.int64], Rows]:
    """Return for each box of these images the position of its image in `rows`, and its own row: (N,) and (N,)."""
    counts = np.diff(index.offsets)[rows]
    images = np.repeat(np.arange(len(rows)), counts)
    first = index.offsets[rows] - (counts.cumsum() - counts)
    return images, np.arange(len(images)) + first[images]


def _clipped(index: CocoIndex, boxes: NDArray[np.float64], rows: Rows) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Clip boxes as `clean_boxes` does, each to its own image: (N, 4) xyxy, and (N,) whether it can be used."""
    with np.errstate(over="ignore", invalid="ignore"):  # such a box can't be used
        corners = xywh_to_xyxy(torch.from_numpy(boxes.astype(np.float32)))
    sides = np.stack([index.widths[rows], index.heights[rows]], axis=1).astype(np.float32)
    clipped = torch.minimum(corners.clamp(min=0), torch.from_numpy(np.tile(sides, 2)))
    keep = corners.isfinite().all(1) & (clipped[:, 2:] > clipped[:, :2]).all(1)
    return clipped.numpy(), keep.numpy()
