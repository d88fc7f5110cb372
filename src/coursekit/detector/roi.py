"""The second stage: what is in each proposal, and where exactly?"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from coursekit.detector.anchors import match_anchors, sample_balanced
from coursekit.detector.boxes import Part, at_least_float32, clip_boxes, decode_boxes, encode_boxes, nms_by_group
from coursekit.detector.boxes import only_known as only_known
from coursekit.detector.rpn import BETA

SEPARABLE_CELLS = 64 * 64  # of a map: beyond it two matrix products do more in vain than they save,
SEPARABLE_FORWARD = 32 * 48  # and forward alone sooner: it is the backward of torchvision's kernel that is slow
WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # Girshick, *Fast R-CNN*, 2015, section 2.3: targets of unit spread


def level_for_box(
    boxes: Tensor, finest: int, coarsest: int, canonical_scale: float = 64, canonical_level: int = 4
) -> Tensor:
    """Which level of the pyramid each box reads (Lin et al., *FPN*, 2017, equation 1).

    Args:
        boxes: (R, 4) xyxy.
        finest, coarsest: levels at hand; level k has a stride of 2^k.
        canonical_scale: the smallest √area in pixels of a box that reads `canonical_level`. The paper's 224 is
            for images of 1,000 pixels.

    Returns:
        (R,) int64 in finest … coarsest. A box of exactly a limit's size reads the coarser level.
    """
    level = torch.floor(
        canonical_level + torch.log2((boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt() / canonical_scale) + 1e-6
    )
    return level.clamp(finest, coarsest).to(torch.int64)


def axis_weights(lo: Tensor, hi: Tensor, size: int, output_size: int = 7, sampling_ratio: int = 2) -> Tensor:
    """Interpolation weights of RoIAlign along one axis.

    Bilinear interpolation is a product of two tents, one along y, one along x, and so is the mean over a bin's points.

    Args:
        lo, hi: (R,) edges of the boxes along this axis, in cells of the feature map.
        size: cells of the feature map along this axis.
        output_size: cells of the output patch.
        sampling_ratio: points per bin, evenly spaced.

    Returns:
        (R, bins, size); a row sums to 1 where its samples lie inside the map. As in torchvision (`aligned=False`), cell
        i has its value at position i, a box narrower than one cell counts as one cell wide, a sample up to one cell
        outside the map reads its border, one further out reads 0.
    """
    bin_size = (hi - lo).clamp(min=1.0) / output_size  # (R,)
    steps = (torch.arange(output_size * sampling_ratio, device=lo.device, dtype=lo.dtype) + 0.5) / sampling_ratio
    points = lo[:, None] + steps * bin_size[:, None]  # (R, bins*samples)
    inside = (points >= -1) & (points <= size)
    cells = torch.arange(size, device=lo.device)
    tents = (1 - (points.clamp(0, size - 1)[..., None] - cells).abs()).clamp(min=0)  # (R, bins*samples, size)
    return (tents * inside[..., None]).view(-1, output_size, sampling_ratio, size).mean(2)


def roi_align(
    features: Tensor,
    boxes: Tensor,
    spatial_scale: float,
    output_size: int = 7,
    sampling_ratio: int = 2,
    *,
    axis_weights: Part = axis_weights,
) -> Tensor:
    """A patch of features for each box (He et al., *Mask R-CNN*, 2017, section 3), as two matrix products.

    patch = A_y · F · A_xᵀ, with `axis_weights` for A_y and A_x. On a CPU and on maps of up to SEPARABLE_CELLS, forward
    and backward take a third of the time of torchvision's, or less; elsewhere the detector runs torchvision's.

    Args:
        features: (C, H, W) of one image.
        boxes: (R, 4) xyxy in pixels of the image.
        spatial_scale: cells a pixel, 1/8 for stride 8.

    Returns:
        (R, C, bins, bins), of the features' dtype.
    """
    channels, height, width = features.shape
    x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1)
    a_y = axis_weights(y1, y2, height, output_size, sampling_ratio).to(features.dtype)  # (R, bins, H)
    a_x = axis_weights(x1, x2, width, output_size, sampling_ratio).to(features.dtype)  # (R, bins, W)
    by_row = features.permute(1, 2, 0).reshape(height, width * channels)  # no copy where channels come last
    rows = (a_y.flatten(0, 1) @ by_row).view(-1, output_size, width, channels)  # (R, bins, W, C)
    patches = a_x[:, None] @ rows  # (R, bins, bins, C)
    return patches.permute(0, 3, 1, 2)


def torchvision_roi_align(
    features: Tensor, boxes: Tensor, spatial_scale: float, output_size: int = 7, sampling_ratio: int = 2
) -> Tensor:
    """As `roi_align`, by torchvision's kernel: for CUDA, and for large maps."""
    wide = at_least_float32(features)  # in half precision a box could move by a pixel
    return ops.roi_align(wide[None], [boxes.to(wide.dtype)], output_size, spatial_scale, sampling_ratio).to(
        features.dtype
    )


def fastest_roi_align(
    features: Tensor, boxes: Tensor, spatial_scale: float, output_size: int = 7, sampling_ratio: int = 2
) -> Tensor:
    """`roi_align` or its twin, whichever is quicker here."""
    most = SEPARABLE_CELLS if torch.is_grad_enabled() else SEPARABLE_FORWARD
    if features.device.type == "cpu" and features[0].numel() <= most:
        return roi_align(features, boxes, spatial_scale, output_size, sampling_ratio)
    return torchvision_roi_align(features, boxes, spatial_scale, output_size, sampling_ratio)


def pool_levels(
    levels: Sequence[Tensor],
    strides: Sequence[int],
    boxes: Sequence[Tensor],
    canonical_scale: float = 64,
    *,
    roi_align: Part = fastest_roi_align,
    level_for_box: Part = level_for_box,
) -> Tensor:
    """A patch for each box, from the level that suits its size.

    Args:
        levels: (B, C, H, W), finest first.
        strides: of these levels, each twice the one before. Of two alike the first is read.
        boxes: (R_i, 4) xyxy for each image.

    Returns:
        (sum of R_i, C, 7, 7): the first image's boxes first, in their order.
    """
    finest, coarsest = (stride.bit_length() - 1 for stride in (strides[0], strides[-1]))
    patches, places, start = [], [], 0
    for image, in_image in enumerate(boxes):
        level_of = level_for_box(in_image, finest, coarsest, canonical_scale) - finest
        for level, (features, stride) in enumerate(zip(levels, strides, strict=True)):
            here = torch.where(level_of == level)[0]  # waits for the GPU
            patches.append(roi_align(features[image], in_image[here], 1 / stride))
            places.append(here + start)
        start += len(in_image)
    return torch.cat(patches)[torch.cat(places).argsort()]


class BoxHead(nn.Module):
    """Two hidden layers, then a class and a box for each class (Girshick, *Fast R-CNN*, 2015, section 2).

    Args:
        channels: of a patch.
        num_classes: without the background, which is class 0.
        hidden: width of the layers.
        bins: of a patch.
    """

    def __init__(self, channels: int, num_classes: int, hidden: int = 256, output_size: int = 7) -> None:
        super().__init__()
        self.first = nn.Linear(channels * output_size * output_size, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.deltas = nn.Linear(hidden, 4 * (num_classes + 1))

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """(R, C, 7, 7) → logits (R, K + 1) and deltas (R, K + 1, 4), for K classes and the background."""
        x = self.second(self.first(patches.flatten(1)).relu()).relu()
        logits: Tensor = self.classes(x)
        return logits, self.deltas(x).view(*logits.shape, 4)


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
    """What the second stage learns from in one image (Girshick, 2015, section 2.3).

    Args:
        proposals: (P, 4) xyxy. The truth is mixed in: an untrained RPN would give nothing to find.
        boxes, labels: the truth, (G, 4) xyxy and (G,) from 1.
        batch_size_per_image, positive_fraction: at most so many, at most this share of them with an object (IoU from 0.5).
        generator: to draw from, torch's own where none is given.

    Returns:
        rois (R, 4), their labels (R,) with 0 for the background, and the box (R, 4) that each should become.
    """
    proposals = torch.cat([proposals, boxes])
    matches = match_anchors(proposals, boxes, 0.5, 0.5, allow_low_quality_matches=False)
    positives, negatives = sample_balanced(
        matches, batch_size_per_image, positive_fraction, **only_known(sample_balanced, generator=generator)
    )
    rois = proposals[torch.cat([positives, negatives])]
    found = matches[positives]
    nothing = torch.zeros_like(negatives)
    return rois, torch.cat([labels[found], nothing]), torch.cat([boxes[found], proposals[negatives]])


def detection_losses(
    logits: Tensor, deltas: Tensor, rois: Tensor, labels: Tensor, boxes: Tensor, *, encode_boxes: Part = encode_boxes
) -> dict[str, Tensor]:
    """How wrong the second stage is (Girshick, 2015, equation 1).

    Args:
        logits, deltas: (R, K + 1) and (R, K + 1, 4) from `BoxHead`, of all images.
        rois, labels, boxes: (R, 4), (R,) and (R, 4) from `sample_rois`, of all images.

    Returns:
        loss_classifier, the mean over all; loss_box_reg, of the right class only, a sum over the positives by the
        number of all.
    """
    logits, deltas = at_least_float32(logits), at_least_float32(deltas)
    positive = torch.where(labels > 0)[0]  # waits for the GPU
    meant = encode_boxes(boxes[positive], rois[positive], WEIGHTS)
    said, many = deltas[positive, labels[positive]], max(1, len(labels))
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box_reg": F.smooth_l1_loss(said, meant, beta=BETA, reduction="sum") / many,
    }


def postprocess(
    logits: Tensor,
    deltas: Tensor,
    rois: Tensor,
    size: tuple[int, int],
    score_thresh: float = 0.05,
    nms_thresh: float = 0.5,
    detections_per_img: int = 100,
    *,
    nms: Part = ops.nms,
    decode_boxes: Part = decode_boxes,
) -> dict[str, Tensor]:
    """The detections in one image.

    Args:
        logits, deltas, rois: (R, K + 1), (R, K + 1, 4) and (R, 4). Each proposal may become a box of every class.
        size: height and width of the image; boxes are cut there.
        score_thresh: softmax score that a detection needs to exceed.
        nms_thresh: IoU above which the lesser of two boxes of one class goes.
        detections_per_img: the best so many are kept.

    Returns:
        boxes (D, 4) xyxy, labels (D,) int64 from 1, scores (D,), best first.
    """
    scores = at_least_float32(logits).softmax(-1)[:, 1:].flatten()  # (R * K,)
    boxes = clip_boxes(decode_boxes(deltas[:, 1:], rois[:, None], WEIGHTS), size).view(-1, 4)
    labels = torch.arange(1, logits.shape[1], device=logits.device).repeat(len(rois))
    sound = torch.where((scores > score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 1e-2).all(1))[
        0
    ]  # waits for the GPU, as does nms
    boxes, labels, scores = boxes[sound], labels[sound], scores[sound]
    kept = nms_by_group(boxes, scores, labels, nms_thresh, nms)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}
