"""A detector and a step of training it, as the trainer does it, and nothing around it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from coursekit.core.device import autocast
from coursekit.detector import FasterRCNN, build_detector, freeze_stages
from coursekit.detector.pretrained import timm_features
from coursekit.memory.step_config import StepConfig

CLIP_NORM = 10.0  # the trainer's default; the memory is the same for any


def build(config: StepConfig) -> FasterRCNN:
    """The detector of a config, with random weights, in training mode."""
    model = build_detector(
        config.backbone,
        num_classes=config.num_classes,
        size=max(64, *config.size),
        channels=config.channels,
        hidden=config.hidden,
        frozen_stages=config.frozen_stages,
        pretrained=False,
    )
    if not config.folds_norm:
        model.backbone.body = timm_features(config.backbone, pretrained=False)
        freeze_stages(model.backbone.body, config.frozen_stages)
        model.to(memory_format=torch.channels_last)
    return model.train()


def optimizer_of(model: nn.Module, name: str) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum, in one pass over all weights, which needs no copies of them."""
    trained = [one for one in model.parameters() if one.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(trained, lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
    return torch.optim.AdamW(trained, lr=1e-4, fused=True)


def remember(optimizer: torch.optim.Optimizer) -> None:
    """Bring an optimizer to the state that it has from its first step on, with gradients of zero."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def one_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Sequence[Tensor],
    targets: Sequence[dict[str, Tensor]],
    precision: str,
    entering: Callable[[str], None] = lambda phase: None,
) -> None:
    """Forward, backward, clip, update. Gradients that are there are added to.

    Args:
        model: a detector.
        optimizer: of its weights.
        images: (3, H, W) float in 0 to 1, on the model's device.
        targets: as many, with `boxes` and `labels`.
        precision: "fp32", "bf16" or "fp16".
        entering: is called with "forward", "backward" and "update", each before it begins.
    """
    entering("forward")
    with autocast(images[0].device, precision):
        losses = model(images, targets)
    total = torch.stack(list(losses.values())).sum()
    entering("backward")
    total.backward()
    entering("update")
    nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
