"""The backbone: any timm `features_only` model, by name."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.errors import ConfigError
from coursekit.detector.norm import fold_batch_norm, is_batch_norm
from coursekit.detector.pretrained import timm_features

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """Feature maps of an image at several strides.

    Batch norm stays as it was pre-trained: with the few images a card holds, its statistics would be noise.

    Args:
        body: (B, 3, H, W) normalised images → maps, finest first. Its batch norm is folded into its convolutions.
        channels: of each map.
        strides: pixels of the image per cell of each map.
        mean, std: of red, green and blue, what the weights expect of an image in 0 to 1.
    """

    def __init__(
        self, body: nn.Module, channels: list[int], strides: list[int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        fold_batch_norm(body)
        self.body, self.channels, self.strides = body, channels, strides
        self.mean, self.std = list(mean), list(std)
        self.train()

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised images → one (B, C, H/stride, W/stride) map a level, finest first."""
        return self.body(images)

    def train(self, mode: bool = True) -> "Backbone":
        """As ever, but a batch norm that could not be folded stays in eval mode."""
        super().train(mode)
        for module in self.modules():
            if is_batch_norm(module):
                module.eval()
        return self


def load_backbone(name: str = DEFAULT_BACKBONE, *, pretrained: bool = True, frozen_stages: int = 0) -> Backbone:
    """A timm model's maps at strides 8, 16 and 32.

    Args:
        name: any that can be `features_only`, such as resnet50, efficientnet_b3, mobilenetv3_large_100.
        pretrained: with ImageNet weights.
        frozen_stages: so many of the first stages (the stem counts as one) are not trained.

    Raises:
        ConfigError: timm has no such model, or it has no maps at these strides; a negative number of stages.
        CourseError: its weights are not here and can't be fetched.
    """
    body: Any = timm_features(name, pretrained)
    freeze_stages(body, frozen_stages)
    config = body.default_cfg
    use_imagenet = name == DEFAULT_BACKBONE  # the weights at hand are not those that timm's entry describes
    return Backbone(
        body,
        channels=body.feature_info.channels(),
        strides=body.feature_info.reduction(),
        mean=IMAGENET_MEAN if use_imagenet else config["mean"],
        std=IMAGENET_STD if use_imagenet else config["std"],
    )


def freeze_stages(body: nn.Module, count: int) -> None:
    """Stop training the first `count` stages of a timm model; the stem is the first.

    Raises:
        ConfigError: `count` is negative.
    """
    if count < 0:
        raise ConfigError(f"frozen stages: {count} is negative. Take 0 to train all of the backbone.")
    for stage in _stages(body)[:count]:
        stage.requires_grad_(False)


def _stages(body: Any) -> list[nn.Module]:
    """The stem's modules as one stage, then those up to each map that timm knows of."""
    children = dict(body.named_children())
    blocks = children.pop("blocks", None)
    if isinstance(blocks, nn.Sequential):
        return [nn.ModuleList(children.values()), *blocks]
    ends = {one["module"].replace(".", "_") for one in body.feature_info.info}
    stages = [nn.ModuleList()]
    for name, child in children.items():
        stages[-1].append(child)
        stages += [nn.ModuleList()] if name in ends else []
    return list(stages)
