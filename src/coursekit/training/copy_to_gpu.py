"""Copy the images of a batch to a GPU while it still computes the step before."""

from functools import cache

import torch

from coursekit.data.padded_images import PaddedImages


def copy_images(images: PaddedImages, device: torch.device) -> PaddedImages:
    """Copy images to a device.

    A GPU has engines for copying that work beside its cores, but what is launched on one stream runs in turn. So the
    copy has a stream of its own. When it is launched, Python is a step ahead, and the GPU is busy with that step.
    """
    if device.type != "cuda":
        return images.to(device)
    stream, current = _copy_stream(device), torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        moved = images.to(device)
    current.wait_stream(stream)
    moved.canvas.record_stream(current)  # so that its memory isn't used again before the current stream is done with it
    return moved


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
