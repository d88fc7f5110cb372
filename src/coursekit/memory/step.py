"""The training step that the planner measures: the trainer's own, without data, hooks and schedule."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from coursekit.core.config import TrainConfig
from coursekit.detector import FCOS, FasterRCNN, build_detector, freeze_stages
from coursekit.memory.step_config import StepConfig
from coursekit.training.forward_backward import Phase, forward_backward, no_phase, update

CLIP_NORM = TrainConfig().clip_norm  # its value doesn't change the memory


def build(config: StepConfig) -> FasterRCNN | FCOS:
    """Build the detector of a config with random weights, in training mode."""
    model = build_detector(
        config.backbone,
        num_classes=config.num_classes,
        size=max(64, *config.size),
        channels=config.channels,
        hidden=config.hidden,
        frozen_stages=config.frozen_stages,
        pretrained=False,
        kind=config.kind,
    )
    if not config.folds_norm:
        from coursekit.detector.timm_models import timm_features  # here, because timm takes a second to import

        model.backbone.body = timm_features(config.backbone, pretrained=False)
        freeze_stages(model.backbone.body, config.frozen_stages)
        model.to(memory_format=torch.channels_last)
    model.backbone.checkpoint_activations(config.checkpoints)
    return model.train()


def make_optimizer(model: nn.Module, name: str) -> torch.optim.Optimizer:
    """Make AdamW, or SGD with momentum. Both are fused: one pass over all weights, which needs no copies of them.

    Parameter groups don't change the memory, so there is only one, unlike in the trainer's optimizer.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
    return torch.optim.AdamW(parameters, lr=1e-4, fused=True)


def warm_up(optimizer: torch.optim.Optimizer) -> None:
    """Take a step with gradients of zero, so that the optimizer holds the state that it has from its first step on."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Sequence[Tensor],
    targets: Sequence[dict[str, Tensor]],
    precision: str,
    phase: Phase = no_phase,
) -> None:
    """Run forward, backward and the update. Existing gradients are added to.

    Args:
        model: a detector.
        optimizer: the optimizer of its weights.
        images: (3, H, W) float in 0 to 1, on the model's device.
        targets: one per image, with `boxes` and `labels`.
        precision: "fp32", "bf16" or "fp16".
        phase: context manager around each of "forward", "backward" and "optimizer".
    """
    forward_backward(lambda: model(images, targets), images[0].device, precision, phase=phase)
    with phase("optimizer"):
        update(optimizer, model.parameters(), CLIP_NORM)
