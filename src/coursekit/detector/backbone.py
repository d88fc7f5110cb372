"""The backbone: any timm model that supports `features_only`, by name."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.errors import ConfigError
from coursekit.detector.fold_batch_norm import fold_batch_norm, is_batch_norm

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Compute feature maps of images at several strides.

    Batch norm keeps its pretrained statistics: those of the few images that fit on a card would be noise.

    Args:
        body: (B, 3, H, W) normalized images → list of maps, finest first. Its batch norm is folded into its
            convolutions, in place.
        channels: channels of each map.
        strides: pixels per cell of each map.
        mean: mean of red, green and blue, for images from 0 to 1; the weights expect images normalized with it.
        std: standard deviation of red, green and blue.
    """

    on_device: Tensor

    def __init__(
        self, body: nn.Module, channels: list[int], strides: list[int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        fold_batch_norm(body)
        self.body, self.channels, self.strides = body, channels, strides
        self.mean, self.std = list(mean), list(std)
        self.register_buffer("on_device", torch.tensor([self.mean, self.std]), persistent=False)  # (2, 3) float32
        self.train()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Turn (B, 3, H, W) normalized images into maps, (B, C_i, H / stride_i, W / stride_i), finest first."""
        return self.body(images)

    def mean_and_std(self, dtype: torch.dtype) -> tuple[Sequence[float] | Tensor, Sequence[float] | Tensor]:
        """Return mean and standard deviation; for float32 on the device, so that no step has to copy them there."""
        return (self.on_device[0], self.on_device[1]) if dtype == torch.float32 else (self.mean, self.std)

    def checkpoint_activations(self, enable: bool = True) -> None:
        """Keep only the activations between stages, and recompute the others in backward: slower, with less memory.

        Chen et al., *Training Deep Nets with Sublinear Memory Cost*, 2016. The gradients stay the same.
        """
        body: Any = self.body
        body.set_grad_checkpointing(enable)

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode, except of a batch norm that could not be folded: it stays in eval mode."""
        super().train(mode)
        for module in self.modules():
            if is_batch_norm(module):
                module.eval()
        return self


def load_backbone(name: str = DEFAULT_BACKBONE, *, pretrained: bool = True, frozen_stages: int = 0) -> Backbone:
    """Load a timm model that returns its maps at strides 8, 16 and 32.

    Args:
        name: any timm model that supports `features_only`, such as resnet50, efficientnet_b3, mobilenetv3_large_100.
        pretrained: load ImageNet weights.
        frozen_stages: how many of the first stages are not trained; the stem is the first.

    Raises:
        ConfigError: timm has no such model, or it has no maps at these strides; or `frozen_stages` is negative.
        CourseError: the weights are not on this machine and can't be downloaded.
    """
    from coursekit.detector.timm_models import timm_features  # here, because timm takes a second to import

    body: Any = timm_features(name, pretrained)
    freeze_stages(body, frozen_stages)
    config = body.default_cfg
    use_imagenet = name == DEFAULT_BACKBONE  # its weights are not those that timm's config describes
    return Backbone(
        body,
        channels=body.feature_info.channels(),
        strides=body.feature_info.reduction(),
        mean=IMAGENET_MEAN if use_imagenet else config["mean"],
        std=IMAGENET_STD if use_imagenet else config["std"],
    )


def freeze_stages(body: nn.Module, count: int) -> None:
    """Stop training the first `count` stages of a timm model; the stem is the first.

    Batch norm stays in its mode. The detector's backbone puts it in eval mode itself.

    Raises:
        ConfigError: `count` is negative.
    """
    if count < 0:
        raise ConfigError(f"frozen_stages is {count}, which is negative. Use 0 to train the whole backbone.")
    for stage in _stages(body)[:count]:
        stage.requires_grad_(False)


def _stages(body: Any) -> list[nn.Module]:
    """Return the stages of a timm model: the stem, then the modules up to each map that timm lists."""
    children = dict(body.named_children())
    blocks = children.pop("blocks", None)
    if isinstance(blocks, nn.Sequential):
        return [nn.ModuleList(children.values()), *blocks]
    ends = {feature["module"].replace(".", "_") for feature in body.feature_info.info}
    stages = [nn.ModuleList()]
    for name, child in children.items():
        stages[-1].append(child)
        stages += [nn.ModuleList()] if name in ends else []
    return list(stages)
