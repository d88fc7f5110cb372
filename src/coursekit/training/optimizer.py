"""The optimizer and its learning-rate schedule."""

import math

import torch
from torch import nn

from coursekit.core.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Make AdamW or SGD, with a smaller learning rate for the pretrained backbone.

    Norms and biases have no weight decay. The last parameter group has the learning rate of the new parts.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    options = [
        {
            "params": parameters,
            "lr": config.backbone_lr if in_backbone else config.lr,
            "weight_decay": config.weight_decay if is_weight else 0.0,
        }
        for (in_backbone, is_weight), parameters in sorted(groups.items(), reverse=True, key=lambda group: group[0])
    ]
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(options, momentum=0.9, fused=True)
        for parameter in (parameter for parameters in groups.values() for parameter in parameters):
            # If the first step is skipped, for example by loss scaling, torch would leave the momentum uninitialized.
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer
    return torch.optim.AdamW(options, fused=True)  # fused: one pass over all weights


def warmup_cosine(step: int, total: int, warmup: int) -> float:
    """Return the factor of the learning rate: a linear rise over `warmup` steps, then half a cosine down to 0.

    Step 0 has a factor of 1 / (warmup + 1), so it already moves the weights. Cosine: Loshchilov and Hutter, *SGDR*,
    2017, equation 5.

    >>> [round(warmup_cosine(step, total=5, warmup=1), 2) for step in range(6)]
    [0.5, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup)))
