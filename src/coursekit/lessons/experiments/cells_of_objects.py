"""The cells of a pyramid, and how many of them each object has. Lesson 11."""

import math
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import Tensor

from coursekit.data import CocoDataset
from coursekit.data.boxes import Size
from coursekit.detector.cells import cell_points
from coursekit.detector.fcos import level_ranges
from coursekit.lessons.notebooks.short_form import short_form

SIZES = {"small": 32**2, "medium": 96**2, "large": math.inf}  # areas below this, in pixels, as in COCO


def cells_of(size: Size, strides: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells of all levels for an image of this (height, width) in pixels, finest level first.

    Returns:
        points (N, 2), x and y in pixels; strides (N,); and ranges (N, 2), limits in pixels: see `level_ranges`.
    """
    points = [cell_points((math.ceil(size[0] / stride), math.ceil(size[1] / stride)), stride) for stride in strides]
    counts = torch.tensor([len(of_level) for of_level in points])
    by_level = torch.tensor(strides, dtype=torch.float32), torch.tensor(level_ranges(strides))
    of_cells, ranges = (values.repeat_interleave(counts, 0) for values in by_level)
    return torch.cat(points), of_cells, ranges


def objects_without_a_cell(
    dataset: CocoDataset, assign_cells: Callable[..., Tensor], strides: Sequence[int], guess: int
) -> None:
    """Print how many objects of a data set have no cell, by size, and how many cells the others have.

    Args:
        dataset: its images are taken in their own size.
        assign_cells: the function to use, such as your own.
        strides: of the levels.
        guess: how many of 1,000 objects the reader expects to have none.
    """
    cells: dict[str, list[int]] = {size: [] for size in SIZES}
    for index in range(len(dataset)):
        boxes = dataset.target(index)["boxes"]
        matches = assign_cells(*cells_of(dataset.size(index), strides), boxes)
        counts = torch.bincount(matches[matches >= 0], minlength=len(boxes)).tolist()
        for area, count in zip((boxes[:, 2:] - boxes[:, :2]).prod(1).tolist(), counts, strict=True):
            cells[next(size for size, limit in SIZES.items() if area < limit)].append(count)
    for size, counts in cells.items():
        typical = median(filter(None, counts)) if any(counts) else 0
        without = f"{counts.count(0):3} without a cell"
        print(f"{size:7} {len(counts):5,} objects, {without}; the others typically have {typical:g}")
    counts = [count for of_size in cells.values() for count in of_size]
    print(f"{1000 * counts.count(0) / max(1, len(counts)):.0f} of 1,000 have no cell; you guessed {guess}")
    print(short_form(), end="")
