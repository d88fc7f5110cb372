"""The whole one-stage detector: FCOS (Tian et al., 2019) on the same backbone and pyramid as the Faster R-CNN.

    images ── to_batch ──► batch
    batch ─── dense ─────► levels (backbone, FPN), class_logits, distances and centerness_logits (head)
    levels ── cells ─────► points, strides and ranges of the cells

    in training: head.losses ──► three losses
    otherwise:   postprocess_one_stage ──► detections, in pixels of the images

`one_stage` has the head, `cells` what it calls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.config import FCOS_KIND
from coursekit.core.device import to_device
from coursekit.data.boxes import Size, Target
from coursekit.data.padded_images import padded_side
from coursekit.detector.backbone import Backbone
from coursekit.detector.base import MAX_CACHED_SHAPES, Detector
from coursekit.detector.boxes import Part
from coursekit.detector.cells import cell_points
from coursekit.detector.choose_parts import choose_parts
from coursekit.detector.one_stage import Outputs
from coursekit.detector.padded_boxes import GroundTruth, pad_targets
from coursekit.detector.resize import resize_boxes, resized_size

RANGE_SCALE = 4.0  # upper limit of a level's range, in its strides; torchvision has 8, for images of 800 pixels


@dataclass(frozen=True)
class FCOSOptions:
    """A one-stage detector's options, named as in torchvision's FCOS.

    Attributes:
        num_classes: K, without the background; torchvision's num_classes is K + 1.
        strides: pixels per cell of each level of the pyramid.
        ranges: limits of each level in pixels: its cells answer for boxes whose farthest side is within; see
            `assign_cells`.
        min_size, max_size: pixels, see `resized_size`.
        score_thresh, nms_thresh, detections_per_img, topk_candidates: see `postprocess_one_stage`.
    """

    num_classes: int
    strides: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...]
    min_size: int = 320
    max_size: int = 320
    score_thresh: float = 0.05
    nms_thresh: float = 0.6
    detections_per_img: int = 100
    topk_candidates: int = 1000


@dataclass(frozen=True)
class Cells:
    """The cells of all levels, which are the same for all images of a batch.

    Attributes:
        points: (N, 2) x and y in pixels.
        strides: (N,) pixels per cell of each cell's level.
        ranges: (N, 2) limits of each cell's level, in pixels.
        level_sizes: how many of them are on each level.
    """

    points: Tensor
    strides: Tensor
    ranges: Tensor
    level_sizes: list[int]


def level_ranges(strides: Sequence[int], scale: float = RANGE_SCALE) -> tuple[tuple[float, float], ...]:
    """Return the range of distances for which each level's cells answer, in pixels.

    A level's range ends at `scale` of its strides, where the next one's begins. The first one begins at 0, and the last
    one has no end.

    >>> level_ranges([8, 16, 32])
    ((0.0, 32.0), (32.0, 64.0), (64.0, inf))
    """
    limits = [0.0, *(scale * stride for stride in strides[:-1]), float("inf")]
    return tuple(pairwise(limits))


class FCOS(Detector):
    """A one-stage detector, called like torchvision's; see `Detector`. In training, it returns three losses.

    Args:
        backbone: (B, 3, H, W) → maps, finest first.
        fpn: maps → levels, (B, C, H_i, W_i); there may be more levels than maps.
        head: see `OneStage`.
        options: the numbers. Its num_classes does not count the background; torchvision's does.
        parts: functions to use in place of ours, by name; see `choose_parts`. Those that the head calls, it was given.

    Attributes:
        parts: all functions by name.
        dense: batch → levels and the head's outputs. No shape in it depends on the data, so it can be compiled.
    """

    dense: Callable[[Tensor], tuple[list[Tensor], Outputs]]

    def __init__(
        self,
        backbone: Backbone,
        fpn: nn.Module,
        head: nn.Module,
        options: FCOSOptions,
        parts: Mapping[str, Part] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.fpn, self.options = backbone, fpn, options
        self.head: Any = head
        self.parts = choose_parts(parts, FCOS_KIND)
        self._cells: dict[object, Cells] = {}
        self.dense = self._dense

    def loss_counts(self, targets: Sequence[Target], sizes: Sequence[Size]) -> list[int]:
        """Return how many cells of each image answer for an object. Arguments as in `Detector.loss_counts`."""
        counts = []
        for target, before in zip(targets, sizes, strict=True):
            after = resized_size(before, self.options.min_size, self.options.max_size)
            boxes = resize_boxes(target["boxes"], before, after)
            height, width = padded_side(after[0]), padded_side(after[1])
            grids = tuple((-(-height // stride), -(-width // stride)) for stride in self.options.strides)
            cells = self._cells_of((height, width), grids, boxes)
            matches = self.parts.assign_cells(cells.points, cells.strides, cells.ranges, boxes)
            counts.append(int((matches >= 0).sum()))
        return counts

    def losses(
        self,
        batch: Tensor,
        sizes: Sequence[Size] | Tensor,
        targets: Sequence[Target] | GroundTruth,
        seeds: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the three losses of the head; see `OneStage.losses`. Nothing is sampled, so seeds change nothing.

        Arguments as in `Detector.losses`.
        """
        gt = targets if isinstance(targets, GroundTruth) else pad_targets(targets)
        levels, outputs = self.dense(batch)
        cells = self.cells(batch, levels)
        losses: dict[str, Tensor] = self.head.losses(
            outputs, cells.points, cells.strides, cells.ranges, gt.boxes, gt.labels
        )
        return losses

    def predict(self, batch: Tensor, sizes: Sequence[Size] | Tensor) -> list[dict[str, Tensor]]:
        """Return the detections of each image, in pixels of the batch. Arguments as in `losses`."""
        levels, outputs = self.dense(batch)
        cells, options = self.cells(batch, levels), self.options
        limits = options.score_thresh, options.nms_thresh, options.detections_per_img, options.topk_candidates
        return [
            self.parts.postprocess_one_stage(
                *(output[image] for output in outputs), cells.points, cells.strides, cells.level_sizes,
                (height, width), *limits,
            )
            for image, (height, width) in enumerate(torch.as_tensor(sizes).int().tolist())
        ]  # fmt: skip

    def _dense(self, batch: Tensor) -> tuple[list[Tensor], Outputs]:
        """Run the part without data-dependent shapes: backbone, FPN and head."""
        levels = self.fpn(self.backbone(batch))
        return levels, self.head(levels)

    def cells(self, batch: Tensor, levels: list[Tensor]) -> Cells:
        """Return the cells of all levels: the same for all images of a batch."""
        grids = tuple((level.shape[2], level.shape[3]) for level in levels)
        return self._cells_of((batch.shape[2], batch.shape[3]), grids, batch)

    def _cells_of(self, size: Size, grids: tuple[Size, ...], like: Tensor) -> Cells:
        """Return the cells of these grids, of a tensor's dtype and on its device; they are made once for each shape."""
        key = (size, grids, like.device, like.dtype)
        if key not in self._cells:
            if len(self._cells) >= MAX_CACHED_SHAPES:
                self._cells.clear()
            with torch.inference_mode(False):  # training may use what inference made, and backward needs it
                self._cells[key] = self._make_cells(size, grids, like)
        return self._cells[key]

    def _make_cells(self, size: Size, grids: tuple[Size, ...], like: Tensor) -> Cells:
        points, strides, ranges = [], [], []
        for grid, stride, limits in zip(grids, self.options.strides, self.options.ranges, strict=True):
            # A coarse level may have a row more than its stride says; then its cells are closer, as in torchvision.
            points.append(cell_points(grid, (size[0] // grid[0], size[1] // grid[1])))
            strides.append(torch.full((len(points[-1]),), float(stride)))
            ranges.append(torch.tensor([limits]).expand(len(points[-1]), 2))
        columns = [torch.cat(column).to(like.dtype) for column in (points, strides, ranges)]
        all_points, all_strides, all_ranges = (to_device(column, like.device) for column in columns)
        return Cells(all_points, all_strides, all_ranges, [len(of_level) for of_level in points])
