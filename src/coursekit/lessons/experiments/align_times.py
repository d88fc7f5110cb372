"""How long does RoIAlign take on maps of several sizes, without and with the backward pass?"""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from coursekit.data.boxes import Size
from coursekit.lessons.notebooks.short_form import quick

ReadPatches = Callable[[Tensor, Tensor, float], Tensor]
STRIDE, CHANNELS, BOXES = 8, 96, 128
BACKWARD = {"forward": False, "forward and backward": True}


def random_boxes(count: int, height: int, width: int) -> Tensor:
    """Return random boxes with sides of 4 to 60 pixels: (count, 4) xyxy in an image of (height, width) pixels."""
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width - 60.0, height - 60.0])
    return torch.cat([corner, corner + 4 + 56 * torch.rand(count, 2, generator=generator)], 1)


def time_alignments(ways: Mapping[str, ReadPatches], maps: Sequence[Size]) -> dict[str, dict[str, list[float]]]:
    """Time two ways to read 128 patches of 96 channels, and print how many times faster the first is.

    Args:
        ways: name → function of (features, boxes, spatial_scale) that returns patches: two of them.
        maps: (height, width) in cells, ascending.

    Returns:
        "forward" and "forward and backward" → name of the way → milliseconds on each map.
    """
    times = {
        name: {way: [_milliseconds(align, size, backward) for size in maps] for way, align in ways.items()}
        for name, backward in BACKWARD.items()
    }
    first, second = ways
    print(f"{second} / {first}: above 1, {first} is faster")
    print(f"{'map':>22}" + "".join(f"{height:>5} × {width:<3}" for height, width in maps))
    for name, of_ways in times.items():
        ratios = [slow / fast for fast, slow in zip(of_ways[first], of_ways[second], strict=True)]
        print(f"{name:>22}" + "".join(f"{float(f'{ratio:.2g}'):7g}    " for ratio in ratios))
    return times


def _milliseconds(align: ReadPatches, size: Size, backward: bool) -> float:
    """Return the milliseconds of the best of some tries: other programs may disturb the others."""
    height, width = size
    features = torch.randn(CHANNELS, height, width, requires_grad=backward)
    boxes = random_boxes(BOXES, STRIDE * height, STRIDE * width)
    taken = []
    for _ in range(1 + quick(5, 2)):  # the first one warms up
        start = time.perf_counter()
        with torch.set_grad_enabled(backward):
            patches = align(features, boxes, 1 / STRIDE)
        if backward:
            patches.square().sum().backward()
        taken.append(time.perf_counter() - start)
    return 1000 * min(taken[1:])
