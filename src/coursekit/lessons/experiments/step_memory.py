"""Memory of a training step: counted on paper, kept by PyTorch, and predicted for whole detectors. Lesson 02."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from msgspec import structs
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from coursekit.detector.timm_models import timm_features
from coursekit.lessons.experiments.freezing import kept_for_backward
from coursekit.memory import StepConfig, predict
from coursekit.memory.step_config import GIB, Peak

Layer = tuple[int, int, int, int]  # in_channels, out_channels, kernel, stride
Count = Callable[..., dict[str, int]]


def chain_of(layers: Sequence[Layer], frozen: int = 0) -> nn.Sequential:
    """Build a chain of convolutions without bias, each with a ReLU; the first `frozen` of them aren't trained."""
    chain = nn.Sequential()
    for number, (in_channels, out_channels, kernel, stride) in enumerate(layers):
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        chain += nn.Sequential(conv.requires_grad_(number >= frozen), nn.ReLU())
    return chain


def count_beside_torch(count_memory: Count, layers: Sequence[Layer], images: tuple[int, int, int]) -> None:
    """Print the activations counted on paper beside those that PyTorch keeps, for each number of frozen layers.

    Args:
        count_memory: the function to use, such as your own.
        layers: (in_channels, out_channels, kernel, stride) of each layer.
        images: (batch, height, width).
    """
    batch, height, width = images
    print("frozen   counted          PyTorch keeps")
    for frozen in range(len(layers) + 1):
        counted = count_memory(layers, images, frozen)["activations"]
        kept = kept_for_backward(chain_of(layers, frozen), torch.rand(batch, layers[0][0], height, width))
        print(f"{frozen:6}   {counted:12,}   {kept:12,} bytes")


def detectors(backbones: Mapping[str, str], sizes: Sequence[tuple[int, int]], **settings: Any) -> None:
    """Print weights and operations of backbones, and the memory of a training step of detectors with them.

    Args:
        backbones: name in the table → timm's name.
        sizes: (height, width) of the image.
        settings: of the training step; see `StepConfig`.
    """
    print("backbone   its weights   image         backbone, forward   detector, training step")
    for name, timm_name in tqdm(backbones.items(), "backbones", leave=False):
        with torch.device("meta"):
            body = timm_features(timm_name, pretrained=False).eval()
        weights = sum(parameter.numel() for parameter in body.parameters())
        for height, width in sizes:
            with FlopCounterMode(display=False) as operations, torch.no_grad():
                body(torch.empty(1, 3, height, width, device="meta"))
            gib = predict(StepConfig(timm_name, (height, width), **settings)).total / GIB
            billions = operations.get_total_flops() / 1e9
            image = f"{height} × {width}"
            print(f"{name:8}   {weights / 1e6:9.1f} M   {image:10}   {billions:12.1f} GFLOP   {gib:19.2f} GiB")


def one_by_one(as_built: StepConfig, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, StepConfig]:
    """Return a training step after each change, by its name; every change stays for those after it.

    Args:
        as_built: before the first change.
        changes: name → fields of `StepConfig` that change, with their new values.
    """
    configs = accumulate(changes.values(), lambda config, change: structs.replace(config, **change), initial=as_built)
    return dict(zip(changes, list(configs)[1:], strict=True))


def some_steps(configs: Mapping[str, StepConfig], names: Collection[str]) -> dict[str, StepConfig]:
    """Return the first of some training steps and those with these names, in order.

    A name that follows steps that were left out says so: "all up to + 16 bits".
    """
    order = list(configs)
    kept = [place for place, name in enumerate(order) if place == 0 or name in names]
    is_next = [place == 0 or place - 1 in kept for place in kept]
    labels = [order[place] if near else f"all up to {order[place]}" for place, near in zip(kept, is_next, strict=True)]
    return {label: configs[order[place]] for label, place in zip(labels, kept, strict=True)}


def predicted(configs: Mapping[str, StepConfig]) -> dict[str, Peak]:
    """Predict the memory of each training step, by name, with a progress bar."""
    return {name: predict(config) for name, config in tqdm(configs.items(), "steps", leave=False)}
