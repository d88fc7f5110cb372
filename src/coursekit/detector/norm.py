"""Batch norm that stays as it was pre-trained, folded into the convolution before it."""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """A convolution and the frozen batch norm behind it, as one convolution.

    With its statistics frozen, batch norm is y · scale + shift for each channel, and a convolution is linear:
    conv(x, w) · scale + shift = conv(x, w · scale) + shift. The weight is multiplied in every step, so its gradient is
    the same as before; what goes is a pass over the feature map in either direction, and its copy in memory. The output
    has the dtype of the convolution's, in half precision too, where torchvision's FrozenBatchNorm2d gives float32.

    Args:
        conv: without a bias.
        norm: with `weight`, `bias`, `running_mean` and `running_var` (Ioffe and Szegedy, 2015, algorithm 2).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, conv: nn.Conv2d, norm: Any) -> None:
        super().__init__()
        self.weight = conv.weight  # (C_out, C_in / groups, k, k)
        scale = norm.weight.detach() * torch.rsqrt(norm.running_var + norm.eps)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", norm.bias.detach() - norm.running_mean * scale)
        self.stride, self.dilation, self.groups = conv.stride, conv.dilation, conv.groups
        self.kernel_size = conv.kernel_size
        self.pads_as_needed = isinstance(conv, Conv2dSame)  # TensorFlow's way: more on the right and below
        self.padding = (0, 0) if self.pads_as_needed else conv.padding
        self.float32_on_cpu = self.groups > 1 and self.kernel_size[0] >= 5  # oneDNN's bf16 backward is slow there

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) → (B, C_out, H / stride, W / stride)."""
        if self.pads_as_needed:
            x = pad_same(x, list(self.kernel_size), list(self.stride), list(self.dilation))
        if self.float32_on_cpu and x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return self._convolve(x.to(self.weight.dtype))
        return self._convolve(x)

    def _convolve(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale[:, None, None, None]
        return F.conv2d(x, weight, self.shift, self.stride, self.padding, self.dilation, self.groups)


def fold_batch_norm(body: nn.Module) -> None:
    """Put a ConvNorm in the place of each convolution that a batch norm follows, and in the norm's its activation.

    A norm that stands elsewhere stays, in eval mode and untrained.
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
    """Of torch, of timm (with an activation in it), or torchvision's frozen one."""
    return isinstance(module, nn.BatchNorm2d) or type(module).__name__ in ("BatchNormAct2d", "FrozenBatchNorm2d")
