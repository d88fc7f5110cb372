"""A trained Faster R-CNN with fixed shapes.

    image ── dense ──► levels, logits, deltas
    logits, deltas ── top of each level ──► proposals_before_nms ── NMS of each level ──► proposals
    levels, proposals ── RoIAlign as matrix products, box head ── NMS of each class ──► boxes, scores, labels

It computes what `FasterRCNN.predict` does for one image; only the bookkeeping differs.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coursekit.detector.boxes import decode_boxes
from coursekit.detector.model import FasterRCNN
from coursekit.detector.roi import BBOX_REG_WEIGHTS, MIN_DETECTION_SIDE, level_for_box, roi_align
from coursekit.detector.rpn import MIN_PROPOSAL_SIDE, top_per_level
from coursekit.export.fixed_shapes import PaddedNms, best_of_groups, best_with, clip, pad_image, rows
from coursekit.export.nms_op import DROPPED
from coursekit.export.settings import DETECTIONS, Stage


class TwoStageGraph(nn.Module):
    """A Faster R-CNN for one image, without a shape that depends on it.

    Args:
        model: the trained detector, on the CPU. Its backbone, FPN, heads and anchors are used; all other parts are
            replaced by twins with fixed shapes.
        nms: a function such as `nms_padded`, for graphs that can't have ONNX's NonMaxSuppression.
    """

    stages = (
        Stage("Proposals before NMS", "proposals_before_nms", "objectness_before_nms"),
        Stage("Proposals after NMS", "proposals", "objectness"),
        DETECTIONS,
    )
    anchors: Tensor

    def __init__(self, model: FasterRCNN, nms: PaddedNms | None = None) -> None:
        super().__init__()
        self.model, self.options = model, model.options
        self.best_of_groups = partial(best_with, nms) if nms else best_of_groups
        with torch.inference_mode():
            batch = pad_image(torch.zeros(1, 3, self.options.max_size, self.options.max_size))
            anchors = model.anchors(batch, model.dense(batch)[0])
        self.level_sizes = anchors.level_sizes
        self.register_buffer("anchors", anchors.boxes.clone())

    def forward(self, image: Tensor, image_size: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of all stages: boxes xyxy in pixels of the input, and scores, best first.

        Args:
            image: (1, 3, height, width) float32, normalized and padded as `prepare_image` does.
            image_size: (2,) float32, height and width of the image in it, without the padding.
        """
        options = self.options
        levels, logits, deltas = self.model.dense(pad_image(image))
        candidates, objectness = self.candidates(logits[0], deltas[0], image_size)
        top_n, threshold = options.rpn_post_nms_top_n[1], options.rpn_nms_thresh
        scores, places = self.best_of_groups(candidates, objectness, threshold, top_n)
        proposals = rows(candidates.flatten(0, 1), places, scores)
        found = self.detections(levels, proposals, scores, image_size)
        return candidates.flatten(0, 1), objectness.flatten(), proposals, scores, *found

    def candidates(self, logits: Tensor, deltas: Tensor, image_size: Tensor) -> tuple[Tensor, Tensor]:
        """Decode the best anchors of each level, as `propose` does before NMS.

        Returns:
            Boxes (L, M, 4) and objectness (L, M); a level with fewer than M anchors is padded.
        """
        top_n, threshold = self.options.rpn_pre_nms_top_n[1], self.options.rpn_score_thresh
        best, _ = top_per_level(logits, self.level_sizes, top_n)
        boxes, scores = clip(decode_boxes(deltas[best], self.anchors[best]), image_size), logits[best].sigmoid()
        scores = torch.where(_larger(boxes, MIN_PROPOSAL_SIDE) & (scores >= threshold), scores, DROPPED)
        counts = [min(top_n, length) for length in self.level_sizes]
        missing = [max(counts) - count for count in counts]
        by_level = zip(boxes.split(counts), scores.split(counts), missing, strict=True)
        padded = [
            (F.pad(level_boxes, (0, 0, 0, count)), F.pad(level_scores, (0, count), value=DROPPED))
            for level_boxes, level_scores, count in by_level
        ]
        return torch.stack([boxes for boxes, _ in padded]), torch.stack([scores for _, scores in padded])

    def detections(
        self, levels: list[Tensor], proposals: Tensor, objectness: Tensor, image_size: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the second stage on the proposals, (P, 4), as `box_branch` and `postprocess` do."""
        options = self.options
        logits, deltas = self.model.box_head(self.pool(levels, proposals))
        scores = logits.softmax(-1)[:, 1:]  # (P, K)
        boxes = clip(decode_boxes(deltas[:, 1:], proposals[:, None], BBOX_REG_WEIGHTS), image_size)  # (P, K, 4)
        is_found = (scores > options.box_score_thresh) & _larger(boxes, MIN_DETECTION_SIDE) & (objectness >= 0)[:, None]
        scores, boxes = torch.where(is_found, scores, DROPPED).T, boxes.transpose(0, 1)  # class by class
        best, places = self.best_of_groups(boxes, scores, options.box_nms_thresh, options.box_detections_per_img)
        labels = torch.where(best >= 0, places // scores.shape[1] + 1, 0)
        return rows(boxes.flatten(0, 1), places, best), best, labels

    def pool(self, levels: Sequence[Tensor], proposals: Tensor) -> Tensor:
        """Read a patch, (P, C, 7, 7), for each proposal from each level, and use that of its own level.

        That is more work than `pool_levels` does, but how many proposals are on a level depends on the image.
        """
        strides = self.model.backbone.strides
        finest, coarsest = (stride.bit_length() - 1 for stride in (strides[0], strides[-1]))
        level_of = level_for_box(proposals, finest, coarsest, self.options.canonical_scale) - finest  # (P,)
        patches = torch.zeros(())
        for level, (features, stride) in enumerate(zip(levels, strides, strict=False)):
            patch = roi_align(features[0], proposals, 1 / stride)
            patches = torch.where((level_of == level)[:, None, None, None], patch, patches)
        return patches


def _larger(boxes: Tensor, side: float) -> Tensor:
    """Return whether both sides of boxes, (..., 4), have at least this length in pixels."""
    return (boxes[..., 2:] - boxes[..., :2] >= side).all(-1)
