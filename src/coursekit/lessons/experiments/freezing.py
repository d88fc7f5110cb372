"""What does freezing save? Weights, time, and above all the maps that backward doesn't need. Lesson 02."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.detector import load_backbone
from coursekit.lessons.experiments.crops import new_body
from coursekit.lessons.notebooks.short_form import quick

ROUNDS = 3, 1  # in full, and in the short form


def kept_for_backward(net: nn.Module, images: Tensor) -> int:
    """Return the bytes of the maps that forward keeps. Weights are not counted, and no map is counted twice.

    PyTorch calls a hook for each tensor that it puts aside for backward.
    """
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = net(images)  # as long as it has a name, its memory isn't used again
    del output
    return sum(sizes.values())


def savings(freeze_stages: Callable[[nn.Module, int], Any], counts: Sequence[int], images: Tensor) -> dict[int, int]:
    """Print what a step of the backbone takes with so many stages frozen.

    Args:
        freeze_stages: the function to use, such as your own.
        counts: numbers of frozen stages.
        images: (B, 3, H, W) normalized.

    Returns:
        Number of frozen stages → the bytes that forward keeps for backward.
    """
    images, kept = images.contiguous(memory_format=torch.channels_last), {}
    nets = {count: new_body(pretrained=True).eval() for count in counts}
    for count, net in nets.items():
        freeze_stages(net, count)
    rounds = [{count: _seconds(net, images) for count, net in nets.items()} for _ in range(quick(*ROUNDS))]
    print("frozen   weights trained   kept for backward   forward and backward")
    for count, net in nets.items():
        trained = sum(weight.numel() for weight in net.parameters() if weight.requires_grad)
        kept[count] = kept_for_backward(net, images)
        milliseconds = 1e3 * min(seconds[count] for seconds in rounds)
        print(f"{count:6}   {trained:15,}   {kept[count] / 2**20:13.0f} MiB   {milliseconds:17.0f} ms")
    return kept


def norm_modes(images: Tensor) -> None:
    """Print what forward keeps of images, (B, 3, H, W) normalized, by the mode of batch norm."""
    images = images.contiguous(memory_format=torch.channels_last)
    body, folded = new_body(pretrained=True), load_backbone()
    print(f"what forward keeps of {len(images)} images:")
    print(f"batch norm by the batch    {kept_for_backward(body.train(), images) / 2**20:4.0f} MiB")
    print(f"batch norm frozen          {kept_for_backward(body.eval(), images) / 2**20:4.0f} MiB")
    print(f"folded into convolutions   {kept_for_backward(folded, images) / 2**20:4.0f} MiB")


def _seconds(net: nn.Module, images: Tensor) -> float:
    """Return the seconds of forward and, if there is something to train, backward."""
    start = time.perf_counter()
    maps = net(images)
    if maps[-1].requires_grad:
        torch.stack([features.sum() for features in maps if features.requires_grad]).sum().backward()
    return time.perf_counter() - start
