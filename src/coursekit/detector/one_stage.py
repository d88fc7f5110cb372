"""One stage: every cell of the pyramid predicts classes and a box by itself, without anchors and without proposals.

This is the head of FCOS (Tian et al., *FCOS: Fully Convolutional One-Stage Object Detection*, 2019; the numbers of
equations and sections are those of arXiv:1904.01355v5), with the details of torchvision's. `cells` has what it calls,
`fcos` the whole detector. N is the number of cells of all levels together, P of those that answer for an object.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from coursekit.data.boxes import Size
from coursekit.detector.boxes import Part, at_least_float32, clip_boxes, nms_by_group
from coursekit.detector.cells import assign_cells as assign_cells
from coursekit.detector.cells import cell_points as cell_points
from coursekit.detector.cells import centerness as centerness
from coursekit.detector.cells import decode_distances as decode_distances
from coursekit.detector.cells import encode_distances as encode_distances

PRIOR = 0.01  # π: the probability that an untrained head gives to each class
EPSILON = 1e-7  # square pixels, as in torchvision: two boxes without area have a loss of 1
MAX_GROUPS = 32  # of a GroupNorm, as in torchvision
Outputs = tuple[Tensor, Tensor, Tensor]


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Compute the focal loss of each logit (Lin et al., *Focal Loss for Dense Object Detection*, 2017, equation 5).

    It is binary cross-entropy times (1 − p_t)^γ · α_t. p_t is the probability given to the correct answer, so what is
    nearly right already counts next to nothing.

    Args:
        logits: float, of any shape.
        targets: of the same shape, 1 for yes and 0 for no.
        alpha: weight of the logits whose target is 1; 1 − alpha is that of the others.
        gamma: 0 gives weighted cross-entropy.

    Returns:
        The losses, of the same shape, at least float32: neither summed nor averaged.
    """
    logits = at_least_float32(logits)
    targets = targets.to(logits.dtype)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    probability = logits.sigmoid()
    p_t = probability * targets + (1 - probability) * (1 - targets)
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets)
    return alpha_t * (1 - p_t) ** gamma * cross_entropy


def giou_loss(pred_boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Compute 1 − GIoU of each pair of boxes (Rezatofighi et al., *Generalized Intersection over Union*, 2019).

    GIoU is the IoU minus the share of the smallest box around both that neither covers. So boxes that don't overlap
    still have a gradient, which pulls them together.

    Args:
        pred_boxes: (P, 4) xyxy in pixels.
        target_boxes: (P, 4) xyxy in pixels.

    Returns:
        (P,) from 0, for equal boxes, to nearly 2.
    """
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (pred_boxes, target_boxes)]  # (P,) each
    (pred_low, pred_high), (low, high) = pred_boxes.split(2, dim=1), target_boxes.split(2, dim=1)  # (P, 2) each
    intersection = (torch.minimum(pred_high, high) - torch.maximum(pred_low, low)).clamp(min=0).prod(1)
    around = (torch.maximum(pred_high, high) - torch.minimum(pred_low, low)).prod(1)
    union = areas[0] + areas[1] - intersection
    return 1 - intersection / (union + EPSILON) + (around - union) / (around + EPSILON)


class OneStage(nn.Module):
    """Predict classes, a box and its centerness for each cell (figure 2), with the same layers on all levels.

    Two towers of convolutions, one for the classes, one for box and centerness. Each convolution has a GroupNorm
    behind it, which doesn't care how many images a batch has. It does see an image's padding, so predictions depend a
    little on the size of the batch.

    Args:
        channels: C, channels of the levels.
        num_classes: K, without the background.
        convs: convolutions in each tower.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        convs: int = 4,
        *,
        assign_cells: Part = assign_cells,
        encode_distances: Part = encode_distances,
        decode_distances: Part = decode_distances,
        centerness: Part = centerness,
        focal_loss: Part = focal_loss,
    ) -> None:
        super().__init__()
        self.assign_cells, self.encode_distances, self.decode_distances = (
            assign_cells, encode_distances, decode_distances,
        )  # fmt: skip
        self.target_centerness, self.focal_loss = centerness, focal_loss
        self.class_tower, self.box_tower = _tower(channels, convs), _tower(channels, convs)
        self.class_logits = nn.Conv2d(channels, num_classes, 3, padding=1)
        self.distances = nn.Conv2d(channels, 4, 3, padding=1)
        self.centerness = nn.Conv2d(channels, 1, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.class_logits.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]

    def forward(self, levels: list[Tensor]) -> Outputs:
        """Predict on (B, C, H_i, W_i) levels.

        Returns:
            class_logits (B, N, K), distances (B, N, 4) in strides, at least 0, and centerness_logits (B, N); level by
            level, each in the order of `cell_points`.
        """
        class_logits = [_by_cell(self.class_logits(self.class_tower(level))) for level in levels]
        hidden = [self.box_tower(level) for level in levels]
        distances = [_by_cell(self.distances(x).relu()) for x in hidden]
        centerness_logits = [_by_cell(self.centerness(x)) for x in hidden]
        return torch.cat(class_logits, 1), torch.cat(distances, 1), torch.cat(centerness_logits, 1).squeeze(2)

    def losses(
        self,
        outputs: Outputs,
        points: Tensor,
        strides: Tensor,
        ranges: Tensor,
        gt_boxes: Tensor,
        gt_labels: Tensor,
    ) -> dict[str, Tensor]:
        """Compute three losses, each divided by P, the number of cells that answer for an object, or by 1 without any.

        Args:
            outputs: what `forward` returned.
            points: (N, 2) x and y of each cell in pixels.
            strides: (N,) pixels per cell of each cell's level.
            ranges: (N, 2) limits of each cell's level, see `assign_cells`.
            gt_boxes: (B, G, 4) xyxy in pixels. Images with fewer boxes are padded with boxes of zeros.
            gt_labels: (B, G) int64 from 1 to K; 0 in the padding.

        Returns:
            Three scalars, at least float32. classification: focal loss of every class in every cell. bbox_regression:
            GIoU loss of the P boxes. bbox_ctrness: binary cross-entropy of the P centernesses.
        """
        class_logits, distances, centerness_logits = map(at_least_float32, outputs)
        matches = torch.stack([self.assign_cells(points, strides, ranges, boxes) for boxes in gt_boxes])  # (B, N)
        image, cell = torch.where(matches >= 0)  # (P,) each; waits for the GPU
        matched, points, strides = matches[image, cell], points[cell], strides[cell]
        target_boxes, target_labels = gt_boxes[image, matched], gt_labels[image, matched]  # (P, 4) and (P,)
        target_classes = torch.zeros_like(class_logits)  # (B, N, K): background is 0 for all classes
        target_classes[image, cell, target_labels - 1] = 1
        pred_boxes = self.decode_distances(points, strides, distances[image, cell])
        target_centerness = self.target_centerness(self.encode_distances(points, strides, target_boxes))
        count = max(1, len(cell))
        return {
            "classification": self.focal_loss(class_logits, target_classes).sum() / count,
            "bbox_regression": giou_loss(pred_boxes, target_boxes).sum() / count,
            "bbox_ctrness": F.binary_cross_entropy_with_logits(
                centerness_logits[image, cell], target_centerness, reduction="sum"
            ) / count,
        }  # fmt: skip


def postprocess_one_stage(
    class_logits: Tensor,
    distances: Tensor,
    centerness_logits: Tensor,
    points: Tensor,
    strides: Tensor,
    level_sizes: Sequence[int],
    size: Size,
    score_thresh: float = 0.05,
    nms_thresh: float = 0.6,
    detections_per_img: int = 100,
    topk_candidates: int = 1000,
    *,
    nms: Part = ops.nms,
    decode_distances: Part = decode_distances,
) -> dict[str, Tensor]:
    """Turn the head's predictions for one image into detections.

    Args:
        class_logits: (N, K) float.
        distances: (N, 4) float, in strides.
        centerness_logits: (N,) float.
        points: (N, 2) x and y in pixels.
        strides: (N,) pixels per cell.
        level_sizes: how many of the N cells are on each level.
        size: (height, width) of the image in pixels, without padding. Boxes are clipped there.
        score_thresh: a detection's score must exceed this.
        nms_thresh: IoU above which the worse of two boxes of the same class is dropped.
        detections_per_img: how many detections to keep, at most.
        topk_candidates: how many pairs of cell and class of each level to keep before NMS, by score.

    Returns:
        "boxes" (D, 4) xyxy in pixels, "labels" (D,) int64 from 1 to K, and "scores" (D,), the square roots of class
        probability · centerness, best first. Boxes and scores are at least float32.
    """
    class_probability = at_least_float32(class_logits).sigmoid()  # (N, K)
    scores = (class_probability * at_least_float32(centerness_logits).sigmoid()[:, None]).sqrt()  # (N, K)
    cells, classes, start = [], [], 0
    for of_level in scores.split(list(level_sizes)):
        cell, label = torch.where(of_level > score_thresh)  # waits for the GPU, as does nms
        best = of_level[cell, label].topk(min(topk_candidates, len(cell))).indices
        cells.append(cell[best] + start)
        classes.append(label[best])
        start += len(of_level)
    cell, label = torch.cat(cells), torch.cat(classes)
    boxes = clip_boxes(decode_distances(points[cell], strides[cell], distances[cell]), size)
    scores = scores[cell, label]
    keep = nms_by_group(boxes, scores, label, nms_thresh, nms)[:detections_per_img]
    return {"boxes": boxes[keep], "labels": label[keep] + 1, "scores": scores[keep]}


def _tower(channels: int, convs: int) -> nn.Sequential:
    """Return convolutions with GroupNorm and ReLU. As many groups as torchvision has, or as divide the channels."""
    layers: list[nn.Module] = []
    for _ in range(convs):
        norm = nn.GroupNorm(math.gcd(MAX_GROUPS, channels), channels)
        layers += [nn.Conv2d(channels, channels, 3, padding=1), norm, nn.ReLU()]
    return nn.Sequential(*layers)


def _by_cell(x: Tensor) -> Tensor:
    """Turn (B, C, H, W) into (B, H * W, C)."""
    return x.flatten(2).transpose(1, 2)
