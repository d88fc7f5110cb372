"""The detector's steps for all images and levels at once: batched twins of the functions that the lessons teach.

A GPU computes faster than Python launches work for it, so a loop over images and levels leaves it idle. Here, each
image's boxes are padded to the same number, and masks say which are real. Results are those of `rpn_losses`, `propose`,
`sample_rois`, `pool_levels`, `detection_losses` and `postprocess`, image by image; tests hold them to that.

B is the number of images, N of anchors, P of proposals, G of ground-truth boxes of the image that has most of them.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import ops

from coursekit.core.device import prefers_few_launches
from coursekit.data.boxes import Size
from coursekit.detector.anchors import IGNORED
from coursekit.detector.batch_matching import match, sample
from coursekit.detector.batch_nms import count_each, nms_of_classes, nms_of_groups
from coursekit.detector.boxes import at_least_float32, decode_boxes, encode_boxes
from coursekit.detector.padded_boxes import Boxes, GroundTruth, RoIs
from coursekit.detector.roi import BBOX_REG_WEIGHTS, MIN_DETECTION_SIDE, ROI_IOU_THRESH, level_for_box
from coursekit.detector.roi import pool_levels as pool_levels_by_image
from coursekit.detector.roi import postprocess as postprocess_image
from coursekit.detector.rpn import MIN_PROPOSAL_SIDE, SMOOTH_L1_BETA


def rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    gt: GroundTruth,
    keys: Tensor,
    batch_size_per_image: int = 256,
    positive_fraction: float = 0.5,
) -> dict[str, Tensor]:
    """Compute the losses of the RPN; see `rpn.rpn_losses`.

    Args:
        logits: (B, N) float.
        deltas: (B, N, 4) float.
        anchors: (N, 4) xyxy in pixels.
        gt: the ground truth.
        keys: (B, N) int64, see `random_keys`.
        batch_size_per_image, positive_fraction: see `sample`.
    """
    matches = match(anchors, gt.boxes, 0.7, 0.3, True)  # (B, N)
    drawn = sample(matches, keys, batch_size_per_image, positive_fraction)
    count, most = drawn.is_real.sum().clamp(min=1), drawn.is_positive.shape[1]
    positives = drawn.index[:, :most]  # (B, Q), the only ones that can be positive
    pred_logits = at_least_float32(logits.gather(1, drawn.index))  # (B, S)
    targets = F.pad(drawn.is_positive.to(pred_logits.dtype), (0, drawn.index.shape[1] - most))  # (B, S)
    weight = drawn.is_real.to(pred_logits.dtype)
    loss = F.binary_cross_entropy_with_logits(pred_logits, targets, weight, reduction="sum")
    pred_deltas = at_least_float32(_rows(deltas, positives))  # (B, Q, 4)
    target_boxes = _rows(gt.boxes, matches.gather(1, positives).clamp(min=0))
    target_deltas = encode_boxes(target_boxes, anchors[positives])
    return {
        "loss_objectness": loss / count,
        "loss_rpn_box_reg": _box_loss(pred_deltas, target_deltas, drawn.is_positive) / count,
    }


def propose(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    level_sizes: Sequence[int],
    sizes: Tensor,
    pre_nms_top_n: int = 500,
    post_nms_top_n: int = 300,
    nms_thresh: float = 0.7,
    score_thresh: float = 0.0,
) -> Boxes:
    """Return the proposals of each image; see `rpn.propose`.

    Args:
        logits: (B, N) float.
        deltas: (B, N, 4) float.
        anchors: (N, 4) xyxy in pixels.
        level_sizes: how many of the N anchors are on each level.
        sizes: (B, 2) float, height and width of each image in pixels, without padding.
        pre_nms_top_n, post_nms_top_n, nms_thresh, score_thresh: see `rpn.propose`.

    Returns:
        Up to `post_nms_top_n` proposals of each image, best first.
    """
    logits, deltas = at_least_float32(logits.detach()), deltas.detach()
    counts = [min(pre_nms_top_n, length) for length in level_sizes]
    starts = [sum(level_sizes[:level]) for level in range(len(level_sizes))]
    tops = [part.topk(count, 1) for part, count in zip(logits.split(list(level_sizes), 1), counts, strict=True)]
    best = torch.cat([top.indices + start for top, start in zip(tops, starts, strict=True)], 1)  # (B, M)
    boxes = _clip(decode_boxes(_rows(deltas, best), anchors[best]), sizes)  # (B, M, 4)
    scores = torch.cat([top.values for top in tops], 1).sigmoid()
    keep = (boxes[..., 2:] - boxes[..., :2] >= MIN_PROPOSAL_SIDE).all(-1)
    if score_thresh > 0:
        keep &= scores >= score_thresh
    index, is_real = nms_of_groups(boxes, scores, keep, counts, nms_thresh, post_nms_top_n)
    boxes = _rows(boxes, index).masked_fill(~is_real[..., None], 0.0)  # in the padding, diverged weights leave NaN
    return Boxes(boxes, is_real)


def sample_rois(
    proposals: Boxes,
    gt: GroundTruth,
    keys: Tensor,
    batch_size_per_image: int = 64,
    positive_fraction: float = 0.25,
) -> RoIs:
    """Sample the RoIs of each image; see `roi.sample_rois`.

    Args:
        proposals: the proposals.
        gt: the ground truth.
        keys: (B, P + G) int64, see `random_keys`.
        batch_size_per_image, positive_fraction: see `sample`.
    """
    boxes = torch.cat([proposals.boxes, gt.boxes], 1)  # (B, P + G, 4)
    is_real = torch.cat([proposals.is_real, gt.labels > 0], 1)
    matches = match(boxes, gt.boxes, ROI_IOU_THRESH, ROI_IOU_THRESH, False).masked_fill(~is_real, IGNORED)
    drawn = sample(matches, keys, batch_size_per_image, positive_fraction)
    most = drawn.is_positive.shape[1]
    gt_index = matches.gather(1, drawn.index[:, :most]).clamp(min=0)  # (B, Q)
    labels = gt.labels.gather(1, gt_index) * drawn.is_positive
    labels = F.pad(labels, (0, drawn.index.shape[1] - most))  # (B, S)
    return RoIs(_rows(boxes, drawn.index), drawn.is_real, labels, _rows(gt.boxes, gt_index))


def pool_levels(levels: Sequence[Tensor], strides: Sequence[int], rois: Boxes, canonical_scale: float = 64) -> Tensor:
    """Read a patch of features for each RoI; see `roi.pool_levels`.

    On a CPU this is `roi.pool_levels`, whose matrix products are faster there. On a GPU the RoIs are sorted by level,
    so that each level takes one call.

    Args:
        levels: (B, C, H, W) float, finest first.
        strides: pixels per cell of each level.
        rois: the RoIs, S of each image.
        canonical_scale: see `level_for_box`.

    Returns:
        (B * S, C, 7, 7), of the levels' dtype.
    """
    if not prefers_few_launches(rois.boxes.device):
        return pool_levels_by_image(levels, strides, list(rois.boxes), canonical_scale)
    count = rois.is_real.shape[1]
    finest, coarsest = (stride.bit_length() - 1 for stride in (strides[0], strides[-1]))
    flat = rois.boxes.flatten(0, 1)  # (B * S, 4)
    level_of = level_for_box(flat, finest, coarsest, canonical_scale) - finest  # (B * S,)
    counts = count_each(level_of, len(levels))  # waits
    order = level_of.argsort(stable=True)
    image = order[:, None] // count
    rows = torch.cat([image, flat[order]], 1).split(counts)  # image, x1, y1, x2, y2
    patches = [
        ops.roi_align(at_least_float32(features), on_level, 7, 1 / stride, 2).to(features.dtype)
        for features, stride, on_level in zip(levels, strides, rows, strict=True)
    ]
    by_level = torch.cat(patches)
    return torch.empty_like(by_level).index_copy_(0, order, by_level)


def detection_losses(logits: Tensor, deltas: Tensor, rois: RoIs) -> dict[str, Tensor]:
    """Compute the losses of the second stage; see `roi.detection_losses`.

    Args:
        logits: (B * S, K + 1) float.
        deltas: (B * S, K + 1, 4) float.
        rois: the sampled RoIs.
    """
    images, most = rois.target_boxes.shape[:2]
    logits, count = at_least_float32(logits), rois.is_real.sum().clamp(min=1)
    labels = rois.labels.masked_fill(~rois.is_real, -1)  # (B, S)
    loss = F.cross_entropy(logits, labels.flatten(), reduction="sum", ignore_index=-1)
    target_labels = rois.labels[:, :most]  # (B, Q)
    row = target_labels[..., None, None].expand(-1, -1, 1, 4)
    pred_deltas = deltas.unflatten(0, (images, -1))[:, :most].gather(2, row).squeeze(2)  # (B, Q, 4)
    target_deltas = encode_boxes(rois.target_boxes, rois.boxes[:, :most], BBOX_REG_WEIGHTS)
    return {
        "loss_classifier": loss / count,
        "loss_box_reg": _box_loss(at_least_float32(pred_deltas), target_deltas, target_labels > 0) / count,
    }


def postprocess(
    logits: Tensor,
    deltas: Tensor,
    rois: Boxes,
    sizes: Tensor,
    score_thresh: float = 0.05,
    nms_thresh: float = 0.5,
    detections_per_img: int = 100,
) -> list[dict[str, Tensor]]:
    """Turn the second stage's predictions into the detections of each image; see `roi.postprocess`.

    Args:
        logits: (B * P, K + 1) float.
        deltas: (B * P, K + 1, 4) float.
        rois: the proposals.
        sizes: (B, 2) float, height and width of each image in pixels, without padding.
        score_thresh, nms_thresh, detections_per_img: see `roi.postprocess`.
    """
    images, count = rois.is_real.shape
    logits, deltas = (x.unflatten(0, (images, count)) for x in (logits, deltas))
    limits = score_thresh, nms_thresh, detections_per_img
    if not prefers_few_launches(logits.device):
        return [
            postprocess_image(logits[i][real], deltas[i][real], rois.boxes[i][real], _size(sizes[i]), *limits)
            for i, real in enumerate(rois.is_real)
        ]
    scores = at_least_float32(logits).softmax(-1)[..., 1:]  # (B, P, K)
    decoded = decode_boxes(deltas[:, :, 1:], rois.boxes[:, :, None], BBOX_REG_WEIGHTS)  # (B, P, K, 4)
    boxes = _clip(decoded.flatten(1, 2), sizes).view_as(decoded)
    is_large = (boxes[..., 2:] - boxes[..., :2] >= MIN_DETECTION_SIDE).all(-1)
    found = torch.where((scores > score_thresh) & is_large & rois.is_real[..., None])  # waits
    image, label, boxes, scores = found[0], found[2], boxes[found], scores[found]
    keep = nms_of_classes(boxes, scores, image, label, images, nms_thresh)
    keep = keep[image[keep].argsort(stable=True)]  # image after image, best first
    counts = count_each(image[keep], images)
    columns = (column.split(counts) for column in (boxes[keep], label[keep] + 1, scores[keep]))
    names = ("boxes", "labels", "scores")
    return [
        {name: column[:detections_per_img] for name, column in zip(names, of_image, strict=True)}
        for of_image in zip(*columns, strict=True)
    ]


def _box_loss(pred_deltas: Tensor, target_deltas: Tensor, is_positive: Tensor) -> Tensor:
    """Return the smooth L1 loss, summed over the positives."""
    target_deltas = torch.where(is_positive[..., None], target_deltas, pred_deltas.detach())
    return F.smooth_l1_loss(pred_deltas, target_deltas, beta=SMOOTH_L1_BETA, reduction="sum")


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """Return rows of each image: (B, N, 4) and (B, S) → (B, S, 4)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def _clip(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Clip boxes (B, N, 4) at the edges of images of these (height, width), (B, 2)."""
    corners = boxes.unflatten(-1, (2, 2))  # (B, N, corner, x and y)
    return torch.minimum(corners.clamp(min=0), sizes.flip(1)[:, None, None].to(boxes.dtype)).flatten(-2)


def _size(size: Tensor) -> Size:
    """Return a height and a width as numbers."""
    height, width = size.tolist()
    return height, width
