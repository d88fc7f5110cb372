"""How long does NMS take, by the number of boxes?"""

import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

NMS = Callable[[Tensor, Tensor, float], Tensor]
TRIES = 2  # the best counts: other programs may disturb one of them


def time_nms(functions: Mapping[str, NMS], counts: Sequence[int], iou_threshold: float = 0.7) -> dict[str, list[float]]:
    """Time functions on the same random boxes. Print whether they keep the same boxes, and the times for the most.

    Args:
        functions: name → function to time.
        counts: numbers of boxes, ascending.
        iou_threshold: passed to the functions.

    Returns:
        For each function the milliseconds for each number of boxes.
    """
    boxes, scores = crowd(counts[-1])
    times = {
        name: [_milliseconds(nms, boxes, scores, n, iou_threshold) for n in counts] for name, nms in functions.items()
    }
    kept = [[nms(boxes[:n], scores[:n], iou_threshold) for nms in functions.values()] for n in counts]
    is_same = all(torch.equal(first, other) for first, *others in kept for other in others)
    print("the same boxes kept, in the same order:", "yes" if is_same else "NO")
    for name, values in times.items():
        print(f"{name}: {values[-1]:.1f} ms for {counts[-1]:,} boxes, {len(kept[-1][0]):,} of which are kept")
    slow, fast = max(values[-1] for values in times.values()), min(values[-1] for values in times.values())
    print(f"the fastest is {slow / fast:.0f} times as fast as the slowest")
    return times


def crowd(count: int) -> tuple[Tensor, Tensor]:
    """Return random boxes of 20 to 60 pixels in an image of about 300, (count, 4) xyxy, and random scores (count,)."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * 300
    side = 20 + 40 * torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + side], 1), torch.rand(count, generator=generator)


def _milliseconds(nms: NMS, boxes: Tensor, scores: Tensor, count: int, iou_threshold: float) -> float:
    best = math.inf
    for _ in range(TRIES):
        start = time.perf_counter()
        nms(boxes[:count], scores[:count], iou_threshold)
        best = min(best, time.perf_counter() - start)
    return best * 1000
