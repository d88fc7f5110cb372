"""The region proposal network (RPN): is there an object at each anchor, and how does its box differ from the anchor?"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from coursekit.data.boxes import Size
from coursekit.detector.anchors import match_anchors, sample_balanced
from coursekit.detector.boxes import Part, at_least_float32, clip_boxes, decode_boxes, encode_boxes, nms_by_group

SMOOTH_L1_BETA = 1 / 9  # smooth L1 is quadratic below it and linear above; the papers have 1, torchvision 1/9
MIN_PROPOSAL_SIDE = 1e-3  # pixels, as in torchvision


class RPNHead(nn.Module):
    """Predict an objectness logit and four deltas for each anchor (Ren et al., 2015, section 3.1).

    Three convolutions, which all levels share.

    Args:
        channels: C, channels of the levels.
        anchors: A, anchors per cell.
    """

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, anchors, 1)
        self.deltas = nn.Conv2d(channels, 4 * anchors, 1)
        for layer in (self.hidden, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)  # section 3.1.3
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Turn (B, C, H, W) levels into logits (B, N) and deltas (B, N, 4), in the order of `make_anchors`."""
        hidden = [self.hidden(level).relu() for level in levels]
        logits = [self.objectness(x).permute(0, 2, 3, 1).flatten(1) for x in hidden]  # (B, H*W*A)
        deltas = [self.deltas(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4) for x in hidden]  # (B, H*W*A, 4)
        return torch.cat(logits, 1), torch.cat(deltas, 1)


def rpn_losses(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: list[Tensor],
    batch_size_per_image: int = 256,
    positive_fraction: float = 0.5,
    generators: Sequence[torch.Generator] | None = None,
    *,
    match_anchors: Part = match_anchors,
    sample_balanced: Part = sample_balanced,
    encode_boxes: Part = encode_boxes,
) -> dict[str, Tensor]:
    """Compute the losses of the RPN on a sample of its anchors (Ren et al., 2015, equation 1).

    Both losses are divided by the number of sampled anchors, as in torchvision. The paper divides the box loss by the
    number of cells and multiplies it by λ = 10, which comes to nearly the same.

    Args:
        logits: (B, N) float from `RPNHead`.
        deltas: (B, N, 4) float from `RPNHead`.
        anchors: (N, 4) xyxy in pixels, the same for all images.
        boxes: the ground truth of each image, (G, 4) xyxy in pixels.
        batch_size_per_image: anchors to sample in each image.
        positive_fraction: the share of them that may be positive, at most.
        generators: a random generator for each image, so that its sample does not depend on the other images.

    Returns:
        Two scalars, at least float32. loss_objectness: binary cross-entropy, averaged over the sampled anchors.
        loss_rpn_box_reg: smooth L1, summed over positives, divided by the number of sampled anchors.
    """
    pred_logits, target_labels, pred_deltas, target_deltas = [], [], [], []
    for image, gt_boxes in enumerate(boxes):
        matches = match_anchors(anchors, gt_boxes)  # (N,)
        generator = generators[image] if generators else None
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction, generator=generator)
        pred_logits.append(logits[image, torch.cat([positives, negatives])])
        target_labels += [torch.ones_like(positives), torch.zeros_like(negatives)]
        pred_deltas.append(deltas[image, positives])
        target_deltas.append(encode_boxes(gt_boxes[matches[positives]], anchors[positives]))
    logits, deltas = at_least_float32(torch.cat(pred_logits)), at_least_float32(torch.cat(pred_deltas))
    labels = torch.cat(target_labels).to(logits.dtype)
    box_loss = F.smooth_l1_loss(deltas, torch.cat(target_deltas), beta=SMOOTH_L1_BETA, reduction="sum")
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(logits, labels),
        "loss_rpn_box_reg": box_loss / len(labels),
    }


def propose(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    level_sizes: Sequence[int],
    size: Size,
    pre_nms_top_n: int = 500,
    post_nms_top_n: int = 300,
    nms_thresh: float = 0.7,
    score_thresh: float = 0.0,
    *,
    nms: Part = ops.nms,
    decode_boxes: Part = decode_boxes,
) -> Tensor:
    """Return the proposals of one image: the boxes that the second stage will look at (Ren et al., 2015, section 3.3).

    No gradient flows through proposals.

    Args:
        logits: (N,) float, objectness of the anchors of all levels.
        deltas: (N, 4) float.
        anchors: (N, 4) xyxy in pixels.
        level_sizes: how many of the N anchors are on each level.
        size: (height, width) of the image in pixels, without padding. Boxes are clipped there.
        pre_nms_top_n: how many anchors of each level to keep, by objectness, before NMS, which runs level by level.
        post_nms_top_n: how many proposals to keep after NMS, from all levels together.
        nms_thresh: IoU above which the worse of two boxes is dropped.
        score_thresh: the lowest objectness of a proposal, a probability from 0 to 1.

    Returns:
        (P, 4) xyxy in pixels, at least float32, best first. P is at most `post_nms_top_n`.
    """
    logits, deltas = at_least_float32(logits.detach()), deltas.detach()
    best, levels = top_per_level(logits, level_sizes, pre_nms_top_n)
    boxes = clip_boxes(decode_boxes(deltas[best], anchors[best]), size)
    scores = logits[best].sigmoid()
    keep = (boxes[:, 2:] - boxes[:, :2] >= MIN_PROPOSAL_SIDE).all(1) & (scores >= score_thresh)
    boxes, scores, levels = boxes[keep], scores[keep], levels[keep]  # waits for the GPU, as does nms
    return boxes[nms_by_group(boxes, scores, levels, nms_thresh, nms)[:post_nms_top_n]]


def top_per_level(logits: Tensor, level_sizes: Sequence[int], top_n: int) -> tuple[Tensor, Tensor]:
    """Find the `top_n` highest logits of each level.

    Returns:
        Two 1-D int64 tensors: positions in `logits`, best first within a level, and the level of each.
    """
    positions, levels, start = [], [], 0
    for level, length in enumerate(level_sizes):
        best = logits[start : start + length].topk(min(top_n, length)).indices
        positions.append(best + start)
        levels.append(torch.full_like(best, level))
        start += length
    return torch.cat(positions), torch.cat(levels)
