"""Fold pretrained batch norm into the convolution before it."""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """A convolution and the frozen batch norm after it, as one convolution.

    With frozen statistics, batch norm is y · scale + shift for each channel, and a convolution is linear:
    conv(x, w) · scale + shift = conv(x, w · scale) + shift. A trained weight is multiplied by the scale in every step,
    so its gradient stays the same; a frozen one is multiplied once, and again if it changes. This saves a pass over the
    feature map, forward and backward, and a copy of it in memory.
    The output has the dtype of the convolution's output, in half precision too, where torchvision's FrozenBatchNorm2d
    returns float32.

    Args:
        conv: a convolution without a bias.
        norm: a batch norm with `weight`, `bias`, `running_mean` and `running_var` (Ioffe and Szegedy, *Batch
            Normalization*, 2015, algorithm 2).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, conv: nn.Conv2d, norm: Any) -> None:
        from timm.layers.conv2d_same import Conv2dSame  # here, because timm takes a second to import
        from timm.layers.padding import pad_same

        super().__init__()
        self.weight = conv.weight  # (C_out, C_in / groups, k, k)
        scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", norm.bias.detach() - norm.running_mean * scale)
        self.stride, self.dilation, self.groups = conv.stride, conv.dilation, conv.groups
        self.kernel_size = conv.kernel_size
        self.pad = pad_same if isinstance(conv, Conv2dSame) else None  # as TensorFlow: more right and at the bottom
        self.padding = (0, 0) if self.pad else conv.padding
        self.float32_on_cpu = self.groups > 1 and self.kernel_size[0] >= 5  # oneDNN's bf16 backward is slow there
        self._folded: tuple[Tensor, Tensor, int, Tensor, int] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, C_in, H, W) float into (B, C_out, H / stride, W / stride)."""
        if self.pad:
            x = self.pad(x, list(self.kernel_size), list(self.stride), list(self.dilation))
        if self.float32_on_cpu and x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return self._convolve(x.to(self.weight.dtype))
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        weight = self._scaled_weight()
        return F.conv2d(x, weight, self.shift, self.stride, self.padding, self.dilation, self.groups)

    def _scaled_weight(self) -> Tensor:
        """Return weight · scale. That of a frozen weight is kept until one of the two changes.

        A trained weight is not kept for inference: a fused optimizer changes it without raising its `_version`.
        """
        if self.weight.requires_grad or torch.compiler.is_compiling():
            self._folded = None
            return self.weight * self.scale[:, None, None, None]
        made_from = (self.weight, self.weight._version, self.scale, self.scale._version)
        if self._folded is None or not _are_same(self._folded[1:], made_from):
            with torch.inference_mode(False), torch.no_grad():  # a tensor made in inference mode can't be trained with
                self._folded = (self.weight * self.scale[:, None, None, None], *made_from)
        return self._folded[0]

    def _apply(self, fn: Any, recurse: bool = True) -> "ConvNorm":
        """Move or convert the weights, as torch's `.to` does; what was folded from the old ones is dropped."""
        self._folded = None
        return super()._apply(fn, recurse)


def _are_same(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Return whether these are the same weight and scale, unchanged in place: torch counts changes in `_version`."""
    return before[0] is now[0] and before[2] is now[2] and before[1::2] == now[1::2]


def fold_batch_norm(body: nn.Module) -> None:
    """Replace each convolution and the batch norm after it by a ConvNorm and the norm's activation, in place.

    Any other batch norm stays, but is no longer trained.
    """
    for module in list(body.modules()):
        children: list[tuple[str, Any]] = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            is_pair = isinstance(conv, nn.Conv2d) and conv.bias is None and is_batch_norm(norm)
            if is_pair and conv.out_channels == norm.running_mean.numel():
                setattr(module, conv_name, ConvNorm(conv, norm))
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))
    for module in body.modules():
        if is_batch_norm(module):
            module.requires_grad_(False)


def is_batch_norm(module: nn.Module) -> bool:
    """Tell whether this is torch's batch norm, timm's (which contains an activation) or torchvision's frozen one."""
    return isinstance(module, nn.BatchNorm2d) or type(module).__name__ in ("BatchNormAct2d", "FrozenBatchNorm2d")
