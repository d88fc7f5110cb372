"""A trained FCOS with fixed shapes.

    image ── dense ──► class_logits, distances, centerness_logits
    … ── top of each level ──► boxes_before_nms ── NMS of each class ──► boxes, scores, labels

It computes what `FCOS.predict` does for one image; only the bookkeeping differs.
"""

from functools import partial

import torch
from torch import Tensor, nn

from coursekit.detector.cells import decode_distances
from coursekit.detector.fcos import FCOS
from coursekit.export.fixed_shapes import PaddedNms, best_of_groups, best_with, clip, pad_image, rows
from coursekit.export.nms_op import DROPPED
from coursekit.export.settings import DETECTIONS, Stage


class OneStageGraph(nn.Module):
    """An FCOS for one image, without a shape that depends on it. Arguments as in `TwoStageGraph`."""

    stages = (Stage("Boxes before NMS", "boxes_before_nms", "scores_before_nms"), DETECTIONS)
    points: Tensor
    strides: Tensor

    def __init__(self, model: FCOS, nms: PaddedNms | None = None) -> None:
        super().__init__()
        self.model, self.options = model, model.options
        self.best_of_groups = partial(best_with, nms) if nms else best_of_groups
        with torch.inference_mode():
            batch = pad_image(torch.zeros(1, 3, self.options.max_size, self.options.max_size))
            cells = model.cells(batch, model.dense(batch)[0])
        self.level_sizes = cells.level_sizes
        self.register_buffer("points", cells.points.clone())
        self.register_buffer("strides", cells.strides.clone())

    def forward(self, image: Tensor, image_size: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of both stages; see `TwoStageGraph.forward`."""
        options = self.options
        _, (class_logits, distances, centerness_logits) = self.model.dense(pad_image(image))
        scores = (class_logits[0].sigmoid() * centerness_logits[0].sigmoid()[:, None]).sqrt()  # (N, K)
        scores = torch.where(scores > options.score_thresh, scores, DROPPED)
        cell, label = self.best_per_level(scores)
        scores = scores[cell, label]
        boxes = rows(clip(decode_distances(self.points, self.strides, distances[0]), image_size), cell, scores)
        classes = torch.arange(options.num_classes)[:, None]  # (K, 1)
        by_class = torch.where(label == classes, scores, DROPPED)  # (K, M)
        grouped = boxes.expand(len(by_class), -1, -1)  # (K, M, 4)
        best, places = self.best_of_groups(grouped, by_class, options.nms_thresh, options.detections_per_img)
        labels = torch.where(best >= 0, places // len(scores) + 1, 0)
        return boxes, scores, rows(boxes, places % len(scores), best), best, labels

    def best_per_level(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Find the pairs of cell and class with the best scores, (N, K), of each level: (M,) int64 each, from 0."""
        cells, labels, start = [], [], 0
        for of_level in scores.split(self.level_sizes):
            best = of_level.flatten().topk(min(self.options.topk_candidates, of_level.numel())).indices
            cells.append(best // scores.shape[1] + start)
            labels.append(best % scores.shape[1])
            start += len(of_level)
        return torch.cat(cells), torch.cat(labels)
