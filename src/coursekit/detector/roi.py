"""The second stage: what is in each proposal, and where exactly?

An RoI (region of interest) is a box that the second stage looks at: in training a sample of the proposals, otherwise
every proposal.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from coursekit.data.boxes import Size
from coursekit.detector.anchors import match_anchors, sample_balanced
from coursekit.detector.boxes import Part, at_least_float32, clip_boxes, decode_boxes, encode_boxes, nms_by_group
from coursekit.detector.rpn import SMOOTH_L1_BETA

# On larger maps, matrix products compute more zeros than they save. torchvision's forward is fast, its backward is not:
# so without gradients the limit is lower.
SEPARABLE_CELLS = 64 * 64
SEPARABLE_FORWARD = 32 * 48
BBOX_REG_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # targets of unit variance (Girshick, *Fast R-CNN*, 2015, section 2.3)
ROI_IOU_THRESH = 0.5  # IoU from which a proposal is positive; below it is background
MIN_DETECTION_SIDE = 1e-2  # pixels, as in torchvision


def level_for_box(
    boxes: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, canonical_level: int = 4
) -> Tensor:
    """Choose the pyramid level for each box by its size (Lin et al., *FPN*, 2017, equation 1).

    Args:
        boxes: (R, 4) xyxy in pixels.
        finest: the finest level there is; level k has a stride of 2^k pixels.
        coarsest: the coarsest level there is.
        canonical_scale: the smallest √area, in pixels, of a box on `canonical_level`. The paper's 224 is for images
            with a short side of 800 pixels; 64 suits images of 320.
        canonical_level: the level of boxes of that size.

    Returns:
        (R,) int64 from `finest` to `coarsest`. A box exactly at the limit of two levels is on the coarser one.
    """
    side = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()  # (R,)
    level = torch.floor(canonical_level + torch.log2(side / canonical_scale) + 1e-6)
    return level.clamp(finest, coarsest).to(torch.int64)


def axis_weights(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    """Compute the interpolation weights of RoIAlign along one axis.

    Bilinear interpolation is a product of two tent functions, one in y and one in x. So is its mean over the sampling
    points of a bin.

    Args:
        lo: (R,) float, on any device: the left (or top) edges of the boxes, in cells of the feature map.
        hi: (R,) float, the right (or bottom) edges.
        size: cells of the feature map along this axis.
        output_size: bins along this axis: cells of the output patch.
        sampling_ratio: sampling points per bin, evenly spaced.

    Returns:
        (R, output_size, size), of the dtype of `lo`. A row sums to 1 if its sampling points are on the map. As in
        torchvision with `aligned=False`: cell i has its value at position i; a box narrower than one cell counts as one
        cell wide; a point up to one cell outside the map reads the border, and a point further out reads 0.
    """
    bin_size = (hi - lo).clamp(min=1.0) / output_size  # (R,)
    steps = (torch.arange(output_size * sampling_ratio, device=lo.device, dtype=lo.dtype) + 0.5) / sampling_ratio
    points = lo[:, None] + steps * bin_size[:, None]  # (R, output_size * sampling_ratio)
    on_map = (points >= -1) & (points <= size)
    cells = torch.arange(size, device=lo.device)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - cells).abs()).clamp(min=0)  # (R, …, size)
    return (tents * on_map[..., None]).view(-1, output_size, sampling_ratio, size).mean(2)


def roi_align(
    features: Tensor,
    boxes: Tensor,
    spatial_scale: float,
    output_size: int = 7,
    sampling_ratio: int = 2,
    *,
    axis_weights: Part = axis_weights,
) -> Tensor:
    """Read a patch of features for each box (He et al., *Mask R-CNN*, 2017, section 3), as two matrix products.

    patch = W_y · features · W_xᵀ, where `axis_weights` gives W_y and W_x. On a CPU and on maps of up to SEPARABLE_CELLS
    cells, forward and backward together take a third of the time of torchvision's kernel, or less. Elsewhere the
    detector runs torchvision's. Unlike `torchvision.ops.roi_align`, this takes one image, and the scale comes third.

    Args:
        features: (C, H, W) float, on any device: a level of one image.
        boxes: (R, 4) xyxy in pixels of the image.
        spatial_scale: cells per pixel: 1/8 for a stride of 8.
        output_size: height and width of a patch, in bins.
        sampling_ratio: sampling points per bin, along each axis.

    Returns:
        (R, C, output_size, output_size), of the features' dtype.
    """
    channels, height, width = features.shape
    x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1)  # in cells
    w_y = axis_weights(y1, y2, height, output_size, sampling_ratio).to(features.dtype)  # (R, bins, H)
    w_x = axis_weights(x1, x2, width, output_size, sampling_ratio).to(features.dtype)  # (R, bins, W)
    by_row = features.permute(1, 2, 0).reshape(height, width * channels)  # no copy if channels are last in memory
    rows = (w_y.flatten(0, 1) @ by_row).view(-1, output_size, width, channels)  # (R, bins, W, C)
    patches = w_x[:, None] @ rows  # (R, bins, bins, C)
    return patches.permute(0, 3, 1, 2)


def torchvision_roi_align(
    features: Tensor, boxes: Tensor, spatial_scale: float, output_size: int = 7, sampling_ratio: int = 2
) -> Tensor:
    """Compute `roi_align` with torchvision's kernel: for CUDA, and for large maps."""
    wide = at_least_float32(features)  # in half precision a box could move by a pixel
    patches = ops.roi_align(wide[None], [boxes.to(wide.dtype)], output_size, spatial_scale, sampling_ratio)
    return patches.to(features.dtype)


def fastest_roi_align(
    features: Tensor, boxes: Tensor, spatial_scale: float, output_size: int = 7, sampling_ratio: int = 2
) -> Tensor:
    """Compute `roi_align` in the faster of the two ways, by device and size of the map."""
    max_cells = SEPARABLE_CELLS if torch.is_grad_enabled() else SEPARABLE_FORWARD
    is_small = features.device.type == "cpu" and features[0].numel() <= max_cells
    align = roi_align if is_small else torchvision_roi_align
    return align(features, boxes, spatial_scale, output_size, sampling_ratio)


def pool_levels(
    levels: Sequence[Tensor],
    strides: Sequence[int],
    boxes: Sequence[Tensor],
    canonical_scale: float = 64,
    *,
    roi_align: Part = fastest_roi_align,
    level_for_box: Part = level_for_box,
) -> Tensor:
    """Read a patch of features for each box, from the level that suits its size.

    Args:
        levels: (B, C, H, W) float, finest first.
        strides: pixels per cell of each level, each twice the one before. Of two levels with the same stride, the first
            is read.
        boxes: (R_i, 4) xyxy in pixels, for each image.
        canonical_scale: as in `level_for_box`.

    Returns:
        (R, C, 7, 7), where R is the sum of R_i: image after image, in the order of the boxes.
    """
    finest, coarsest = (stride.bit_length() - 1 for stride in (strides[0], strides[-1]))
    patches, positions, start = [], [], 0
    for image, image_boxes in enumerate(boxes):
        level_of = level_for_box(image_boxes, finest, coarsest, canonical_scale) - finest  # (R_i,)
        for level, (features, stride) in enumerate(zip(levels, strides, strict=True)):
            on_level = torch.where(level_of == level)[0]  # waits for the GPU
            patches.append(roi_align(features[image], image_boxes[on_level], 1 / stride))
            positions.append(on_level + start)
        start += len(image_boxes)
    return torch.cat(patches)[torch.cat(positions).argsort()]


class BoxHead(nn.Module):
    """Predict a class and a box for each RoI: two hidden layers, then two sibling output layers.

    The hidden layers are those of Lin et al., *FPN*, 2017, section 4.2, the output layers those of Girshick, *Fast
    R-CNN*, 2015, section 2.

    Args:
        channels: C, channels of a patch.
        num_classes: K, without the background. torchvision's FastRCNNPredictor takes K + 1.
        hidden: width of the hidden layers.
        output_size: height and width of a patch, in bins.
    """

    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__()
        self.first = nn.Linear(channels * output_size * output_size, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Turn (R, C, 7, 7) patches into class_logits (R, K + 1) and box_deltas (R, K + 1, 4). Class 0: background."""
        x = self.second(self.first(patches.flatten(1)).relu()).relu()  # (R, hidden)
        class_logits: Tensor = self.classes(x)
        return class_logits, self.deltas(x).view(*class_logits.shape, 4)


def sample_rois(
    proposals: Tensor,
    boxes: Tensor,
    labels: Tensor,
    batch_size_per_image: int = 64,
    positive_fraction: float = 0.25,
    generator: torch.Generator | None = None,
    *,
    match_anchors: Part = match_anchors,
    sample_balanced: Part = sample_balanced,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample the RoIs of one image that the second stage learns from (Girshick, 2015, section 2.3).

    A proposal is positive from an IoU of 0.5; on a tie, it belongs to the first object. All others are background; the
    paper takes only those from 0.1.

    Args:
        proposals: (P, 4) xyxy in pixels. The ground-truth boxes are added to them, because an untrained RPN proposes
            nothing that could be positive.
        boxes: (G, 4) xyxy in pixels: the ground truth.
        labels: (G,) int64 from 1 to K.
        batch_size_per_image: RoIs to sample, at most.
        positive_fraction: the share of them that may be positive, at most.
        generator: the random generator to draw from; by default torch's own.

    Returns:
        rois (R_i, 4) xyxy in pixels; their labels (R_i,) int64, 0 for background; and their target boxes (R_i, 4), for
        background the RoI itself. Positives come first.
    """
    rois = torch.cat([proposals, boxes])  # (P + G, 4)
    matches = match_anchors(rois, boxes, ROI_IOU_THRESH, ROI_IOU_THRESH, allow_low_quality_matches=False)
    positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction, generator=generator)
    gt_index = matches[positives]
    target_labels = torch.cat([labels[gt_index], torch.zeros_like(negatives)])
    target_boxes = torch.cat([boxes[gt_index], rois[negatives]])
    return rois[torch.cat([positives, negatives])], target_labels, target_boxes


def detection_losses(
    logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, boxes: Tensor, *, encode_boxes: Part = encode_boxes
) -> dict[str, Tensor]:
    """Compute the losses of the second stage (Girshick, 2015, equation 1, with λ = 1).

    Args:
        logits: (R, K + 1) float from `BoxHead`: the class_logits of all images.
        deltas: (R, K + 1, 4) float from `BoxHead`: the box_deltas of all images.
        rois: (R, 4) xyxy in pixels, from `sample_rois`.
        labels: (R,) int64, from `sample_rois`; 0 is background.
        boxes: (R, 4) xyxy in pixels, from `sample_rois`: the target boxes.

    Returns:
        Two scalars, at least float32. loss_classifier: cross-entropy, averaged over the RoIs. loss_box_reg: smooth L1
        of the deltas of the target class, summed over positives, divided by the number of RoIs.
    """
    logits, deltas = at_least_float32(logits), at_least_float32(deltas)
    positive = torch.where(labels > 0)[0]  # waits for the GPU
    pred_deltas = deltas[positive, labels[positive]]  # (num_pos, 4)
    target_deltas = encode_boxes(boxes[positive], rois[positive], BBOX_REG_WEIGHTS)
    num_rois = max(1, len(labels))
    box_loss = F.smooth_l1_loss(pred_deltas, target_deltas, beta=SMOOTH_L1_BETA, reduction="sum")
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / num_rois,
        "loss_box_reg": box_loss / num_rois,
    }


def postprocess(
    logits: Tensor,
    deltas: Tensor,
    rois: Tensor,
    size: Size,
    score_thresh: float = 0.05,
    nms_thresh: float = 0.5,
    detections_per_img: int = 100,
    *,
    nms: Part = ops.nms,
    decode_boxes: Part = decode_boxes,
) -> dict[str, Tensor]:
    """Turn the second stage's predictions for one image into detections.

    Args:
        logits: (R, K + 1) float: the class_logits of the image's R RoIs.
        deltas: (R, K + 1, 4) float: their box_deltas. Each RoI may become a detection of every class.
        rois: (R, 4) xyxy in pixels.
        size: (height, width) of the image in pixels, without padding. Boxes are clipped there.
        score_thresh: a detection's score, a softmax probability, must exceed this.
        nms_thresh: IoU above which the worse of two boxes of the same class is dropped.
        detections_per_img: how many detections to keep, at most.

    Returns:
        "boxes" (D, 4) xyxy in pixels, "labels" (D,) int64 from 1 to K, and "scores" (D,), best first. Boxes and scores
        are at least float32.
    """
    scores = at_least_float32(logits).softmax(-1)[:, 1:].flatten()  # (R * K,)
    boxes = clip_boxes(decode_boxes(deltas[:, 1:], rois[:, None], BBOX_REG_WEIGHTS), size).view(-1, 4)  # (R * K, 4)
    labels = torch.arange(1, logits.shape[1], device=logits.device).repeat(len(rois))  # (R * K,)
    is_large = (boxes[:, 2:] - boxes[:, :2] >= MIN_DETECTION_SIDE).all(1)
    keep = torch.where((scores > score_thresh) & is_large)[0]  # waits for the GPU, as does nms
    boxes, labels, scores = boxes[keep], labels[keep], scores[keep]
    keep = nms_by_group(boxes, scores, labels, nms_thresh, nms)[:detections_per_img]
    return {"boxes": boxes[keep], "labels": labels[keep], "scores": scores[keep]}
