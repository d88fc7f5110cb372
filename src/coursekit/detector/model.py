"""The whole detector: Faster R-CNN (Ren et al., 2015) on a feature pyramid (Lin et al., 2017).

    images ── to_batch ──► batch
    batch ─── dense ─────► levels (backbone, FPN), logits and deltas (RPN head)  ┐
    levels ── anchors ───► anchors                                               │ first_stage
    logits, deltas, anchors ── propose ──► proposals                             ┘

    in training: proposals ── sample_rois ──► RoIs ──┐
    otherwise:   every proposal is an RoI ───────────┴─ box_branch ──► class_logits, box_deltas

    in training: rpn_losses and detection_losses ──► four losses
    otherwise:   postprocess ──► detections, in pixels of the images

`coursekit.detector` explains the shapes and names.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coursekit.core.device import to_device
from coursekit.data.boxes import Size, Target
from coursekit.detector.backbone import Backbone
from coursekit.detector.base import MAX_CACHED_SHAPES, Detector
from coursekit.detector.batch_matching import anchor_ids, random_keys
from coursekit.detector.batched_or_per_image import choose_stages
from coursekit.detector.boxes import Part
from coursekit.detector.choose_parts import choose_parts, part_names
from coursekit.detector.padded_boxes import Anchors, Boxes, GroundTruth, pad_targets

ANCHOR_SCALES = (1.5, 2.5, 4.0)  # sides of an anchor, in strides of its level


@dataclass(frozen=True)
class Options:
    """A detector's options, named as in torchvision's FasterRCNN.

    The defaults are for small images and short training runs; torchvision's are larger. In a pair, the first number is
    for training and the second for inference.
    """

    num_classes: int  # K, without the background; torchvision's num_classes is K + 1
    anchor_sizes: tuple[Sequence[float], ...]  # for each level, in pixels
    ratios: Sequence[float] = (0.5, 1.0, 2.0)  # height / width of the anchors
    min_size: int = 320  # pixels, see `resized_size`
    max_size: int = 320
    rpn_batch_size_per_image: int = 256  # anchors sampled for the losses of the RPN
    rpn_pre_nms_top_n: tuple[int, int] = (500, 500)  # per level
    rpn_post_nms_top_n: tuple[int, int] = (300, 200)
    rpn_nms_thresh: float = 0.7
    rpn_score_thresh: float = 0.0
    box_batch_size_per_image: int = 64  # RoIs sampled for the losses of the second stage
    canonical_scale: float = 64  # pixels, see `level_for_box`
    box_score_thresh: float = 0.05
    box_nms_thresh: float = 0.5
    box_detections_per_img: int = 100


class FasterRCNN(Detector):
    """A two-stage detector, called like torchvision's.

    In training, images and targets → a dict of four losses. In eval mode, images → for each image a dict of "boxes"
    (D, 4) xyxy in pixels of that image, "labels" (D,) int64 from 1 to K, and "scores" (D,), best first. See
    `Detector.forward`.

    Args:
        backbone: (B, 3, H, W) → maps, finest first.
        fpn: maps → levels, (B, C, H_i, W_i); there may be more levels than maps.
        rpn_head: levels → logits (B, N) and deltas (B, N, 4).
        box_head: patches (R, C, 7, 7) → class_logits (R, K + 1) and box_deltas (R, K + 1, 4).
        options: the numbers. Its num_classes does not count the background; torchvision's does.
        parts: functions to use in place of ours, by name; see `choose_parts`.
        checked: names of those in `parts` that are known to give our results. The others run image by image.

    Attributes:
        parts: all functions by name.
        stages: the steps after the dense part, for a whole batch; see `choose_stages`.
        dense: batch → levels, logits, deltas. No shape in it depends on the data, so it can be compiled:
            `detector.dense = torch.compile(detector.dense)`.
    """

    dense: Callable[[Tensor], tuple[list[Tensor], Tensor, Tensor]]

    def __init__(
        self,
        backbone: Backbone,
        fpn: nn.Module,
        rpn_head: nn.Module,
        box_head: nn.Module,
        options: Options,
        parts: Mapping[str, Part] | None = None,
        checked: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options, self.parts = options, choose_parts(parts)
        self.stages = choose_stages(self.parts, part_names(parts or {}) - part_names(checked))
        self._anchors: dict[object, Anchors] = {}
        self.dense = self._dense

    def losses(
        self,
        batch: Tensor,
        sizes: Sequence[Size] | Tensor,
        targets: Sequence[Target] | GroundTruth,
        seeds: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute four losses: two of the RPN, two of the second stage.

        Args:
            batch: (B, 3, H, W) float, normalized and padded.
            sizes: (height, width) of each image in the batch, without padding; a list, or a tensor (B, 2).
            targets: the ground truth of each image, in pixels of the batch; a list, or padded.
            seeds: (B,) int64 from 0 to 2³² − 1, see `forward`; by default they are drawn from torch's generator.
        """
        stages, options = self.stages, self.options
        gt = targets if isinstance(targets, GroundTruth) else pad_targets(targets)
        seeds = to_device(torch.randint(2**32, (len(batch),)), batch.device) if seeds is None else seeds
        sizes = to_device(torch.as_tensor(sizes, dtype=torch.float32), batch.device)
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        counts = proposals.boxes.shape[1], gt.boxes.shape[1]
        anchor_keys, roi_keys = random_keys(seeds, anchors.ids, *counts)
        count = options.rpn_batch_size_per_image
        rpn_losses = stages.rpn_losses(logits, deltas, anchors.boxes, gt, anchor_keys, count)
        rois = stages.sample_rois(proposals, gt, roi_keys, options.box_batch_size_per_image)
        box_losses = stages.detection_losses(*self.box_branch(levels, rois), rois)
        return {**box_losses, **rpn_losses}

    def predict(self, batch: Tensor, sizes: Sequence[Size] | Tensor) -> list[dict[str, Tensor]]:
        """Return the detections of each image, in pixels of the batch. Arguments as in `losses`."""
        sizes = to_device(torch.as_tensor(sizes, dtype=torch.float32), batch.device)
        levels, *_, proposals = self.first_stage(batch, sizes)
        return self.detections(*self.box_branch(levels, proposals), proposals, sizes)

    def detections(
        self, class_logits: Tensor, box_deltas: Tensor, proposals: Boxes, sizes: Tensor
    ) -> list[dict[str, Tensor]]:
        """Turn what `box_branch` returned into the detections of each image, in pixels of the batch."""
        limits = self.options.box_score_thresh, self.options.box_nms_thresh, self.options.box_detections_per_img
        return self.stages.postprocess(class_logits, box_deltas, proposals, sizes, *limits)

    def first_stage(self, batch: Tensor, sizes: Tensor) -> tuple[list[Tensor], Tensor, Tensor, Anchors, Boxes]:
        """Run the detector up to the proposals; training, inference and cached features share this.

        Args:
            batch: (B, 3, H, W) float, normalized and padded.
            sizes: (B, 2) float, height and width of each image in the batch, without padding.

        Returns:
            The levels, (B, C, H_i, W_i); logits (B, N) and deltas (B, N, 4) of the RPN; the anchors of all levels; and
            the proposals of each image. Boxes are in pixels of the batch.
        """
        options, mode = self.options, 0 if self.training else 1
        levels, logits, deltas = self.dense(batch)
        anchors = self.anchors(batch, levels)
        limits = options.rpn_pre_nms_top_n[mode], options.rpn_post_nms_top_n[mode]
        proposals = self.stages.propose(
            logits, deltas, anchors.boxes, anchors.level_sizes, sizes, *limits, options.rpn_nms_thresh,
            options.rpn_score_thresh,
        )  # fmt: skip
        return levels, logits, deltas, anchors, proposals

    def _dense(self, batch: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Run the part without data-dependent shapes: backbone, FPN and RPN head."""
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        return levels, logits, deltas

    def anchors(self, batch: Tensor, levels: list[Tensor]) -> Anchors:
        """Return the anchors of all levels: the same for all images of a batch, and computed once for each shape."""
        grids = tuple((level.shape[2], level.shape[3]) for level in levels)
        key = (tuple(batch.shape[2:]), grids, batch.device, batch.dtype)
        if key not in self._anchors:
            if len(self._anchors) >= MAX_CACHED_SHAPES:
                self._anchors.clear()
            self._anchors[key] = self._make_anchors(batch, grids)
        return self._anchors[key]

    def _make_anchors(self, batch: Tensor, grids: tuple[Size, ...]) -> Anchors:
        boxes = []
        for grid, sizes in zip(grids, self.options.anchor_sizes, strict=True):
            stride = (batch.shape[2] // grid[0], batch.shape[3] // grid[1])
            boxes.append(self.parts.make_anchors(grid, stride, sizes, self.options.ratios))
        level_sizes = [len(of_level) for of_level in boxes]
        ids = anchor_ids(grids, level_sizes).to(batch.device)
        return Anchors(torch.cat(boxes).to(batch.device, batch.dtype), level_sizes, ids)

    def box_branch(self, levels: list[Tensor], boxes: Boxes) -> tuple[Tensor, Tensor]:
        """Run the second stage on boxes of each image.

        Returns:
            class_logits (B * P, K + 1) and box_deltas (B * P, K + 1, 4), image after image, padding included.
        """
        strides = self.backbone.strides
        patches = self.stages.pool_levels(levels[: len(strides)], strides, boxes, self.options.canonical_scale)
        return self.box_head(patches)
