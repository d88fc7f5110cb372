"""Non-maximum suppression as one step of a graph whose shapes are fixed, and what that step is in ONNX.

ONNX has an operator for it, NonMaxSuppression, but the length of its result depends on the boxes. Here, what it picks
is written into a tensor of a fixed shape, in which the boxes that it drops have a score of −1.
"""

from typing import Any

import torch
from torch import Tensor
from torchvision import ops

DROPPED = -1.0  # the score of what is no box, or no longer one; real scores are probabilities
_BETWEEN = -0.5  # between DROPPED and every real score


@torch.library.custom_op("coursekit::suppress", mutates_args=())
def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Apply NMS within each group of boxes.

    Args:
        boxes: (G, N, 4) float32 xyxy in pixels.
        scores: (G, N) float32 from 0 to 1, or DROPPED.
        iou_threshold: see `boxes.nms`.

    Returns:
        (G, N) float32: the scores of the boxes that are kept, and DROPPED for the others.
    """
    kept = torch.full_like(scores, DROPPED)
    for group, group_scores, kept_scores in zip(boxes, scores, kept, strict=True):
        real = torch.where(group_scores > _BETWEEN)[0]
        best = real[ops.nms(group[real], group_scores[real], iou_threshold)]
        kept_scores[best] = group_scores[best]
    return kept


@suppress.register_fake
def _shape_of(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.empty_like(scores)


def suppress_in_onnx(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Build `suppress` from ONNX's operators. torch's exporter calls this, with values of its graph."""
    from onnxscript import opset18  # here, because it's in the extra `export`

    op: Any = opset18  # its types are too narrow for a graph's values
    groups, count = (int(side) for side in scores.shape)
    picked = op.NonMaxSuppression(  # (S, 3) int64: group, class and box of each that is kept
        boxes, op.Unsqueeze(scores, op.Constant(value_ints=[1])), op.Constant(value_int=count),
        op.Constant(value_float=iou_threshold), op.Constant(value_float=_BETWEEN),
    )  # fmt: skip
    group = op.Gather(picked, op.Constant(value_int=0), axis=1)  # (S,)
    box = op.Gather(picked, op.Constant(value_int=2), axis=1)  # (S,)
    place = op.Add(op.Mul(group, op.Constant(value_int=count)), box)
    flat = op.Reshape(scores, op.Constant(value_ints=[-1]))  # (G * N,)
    dropped = op.Expand(op.Constant(value_float=DROPPED), op.Constant(value_ints=[groups * count]))
    kept = op.ScatterElements(dropped, place, op.Gather(flat, place), axis=0)
    return op.Reshape(kept, op.Constant(value_ints=[groups, count]))
