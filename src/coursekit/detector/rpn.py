"""The region proposal network: at each anchor, is there an object, and how does its box differ from the anchor?"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import ops

from coursekit.detector.anchors import match_anchors, sample_balanced
from coursekit.detector.boxes import Part, at_least_float32, clip_boxes, decode_boxes, encode_boxes, nms_by_group
from coursekit.detector.boxes import only_known as only_known

BETA = 1 / 9  # where the smooth L1 loss turns from a parabola into a line


class RPNHead(nn.Module):
    """A small network that slides over every level, the same on all (Ren et al., 2015, section 3.1).

    Args:
        channels: of the levels.
        anchors: in each cell.
    """

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, anchors, 1)
        self.deltas = nn.Conv2d(channels, 4 * anchors, 1)
        for layer in (self.hidden, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) levels → logits (B, N) and deltas (B, N, 4) of all N anchors, in the order of `make_anchors`."""
        hidden = [self.hidden(level).relu() for level in levels]
        logits = [self.objectness(one).permute(0, 2, 3, 1).flatten(1) for one in hidden]  # (B, H*W*A)
        deltas = [self.deltas(one).permute(0, 2, 3, 1).reshape(len(one), -1, 4) for one in hidden]  # (B, H*W*A, 4)
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
    """How wrong the RPN is about a sample of its anchors (Ren et al., 2015, equation 1).

    Args:
        logits, deltas: (B, N) and (B, N, 4) from `RPNHead`.
        anchors: (N, 4) xyxy, the same for all images.
        boxes: the truth, (G, 4) xyxy for each image.
        batch_size_per_image, positive_fraction: of the anchors sampled in each image.
        generators: to draw from, one for each image, so that a sample depends on nothing but its image.

    Returns:
        loss_objectness, the mean over all sampled; loss_rpn_box_reg, a sum over the positives by the number of all.
    """
    objectness, is_object, said, meant = [], [], [], []
    for image, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        known = only_known(sample_balanced, generator=generators[image] if generators else None)
        positives, negatives = sample_balanced(matches, batch_size_per_image, positive_fraction, **known)
        objectness.append(logits[image, torch.cat([positives, negatives])])
        is_object += [torch.ones_like(positives), torch.zeros_like(negatives)]
        said.append(deltas[image, positives])
        meant.append(encode_boxes(truth[matches[positives]], anchors[positives]))
    scores, offsets = at_least_float32(torch.cat(objectness)), at_least_float32(torch.cat(said))
    labels = torch.cat(is_object)
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(scores, labels.to(scores.dtype)),
        "loss_rpn_box_reg": F.smooth_l1_loss(offsets, torch.cat(meant), beta=BETA, reduction="sum") / len(labels),
    }


def propose(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    level_sizes: Sequence[int],
    size: tuple[int, int],
    pre_nms_top_n: int = 500,
    post_nms_top_n: int = 300,
    nms_thresh: float = 0.7,
    score_thresh: float = 0.0,
    *,
    nms: Part = ops.nms,
    decode_boxes: Part = decode_boxes,
) -> Tensor:
    """The boxes of one image that deserve a second look (Ren et al., 2015, section 3.3, "non-maximum suppression").

    Args:
        logits, deltas, anchors: (N,), (N, 4) and (N, 4) of all levels. No gradient flows through proposals.
        level_sizes: how many of the N lie on each level.
        size: height and width of the image, without padding; boxes are cut there.
        pre_nms_top_n: the best so many of each level go into the suppression, which is done level by level.
        post_nms_top_n: the best so many are kept.
        nms_thresh: IoU above which the lesser of two boxes goes.
        score_thresh: objectness in 0 to 1 that a proposal needs.

    Returns:
        (P, 4) xyxy with P at most `post_nms_top_n`, best first.
    """
    logits, deltas = at_least_float32(logits.detach()), deltas.detach()
    chosen, levels, start = [], [], 0
    for level, length in enumerate(level_sizes):
        best = logits[start : start + length].topk(min(pre_nms_top_n, length)).indices
        chosen.append(best + start)
        levels.append(torch.full_like(best, level))
        start += length
    best, level_of = torch.cat(chosen), torch.cat(levels)
    boxes = clip_boxes(decode_boxes(deltas[best], anchors[best]), size)
    scores = logits[best].sigmoid()
    sound = (boxes[:, 2:] - boxes[:, :2] >= 1e-3).all(1) & (scores >= score_thresh)
    boxes, scores, level_of = boxes[sound], scores[sound], level_of[sound]  # waits for the GPU, as does nms
    return boxes[nms_by_group(boxes, scores, level_of, nms_thresh, nms)[:post_nms_top_n]]
