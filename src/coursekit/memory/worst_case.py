"""A training step without data: whatever depends on values is decided here, so that all shapes are known."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision import ops

from coursekit.detector.boxes import at_least_float32
from coursekit.detector.padded_boxes import Boxes
from coursekit.detector.roi import fastest_roi_align

aten: Any = torch.ops.aten
# With AVX-512, oneDNN's backward pass of a depthwise 5×5 convolution in float32 allocates 256 times its weights
# (measured with torch.profiler, channels last, oneDNN of torch 2.14). Other convolutions, and AVX2, take little more
# than the output.
WORKSPACE_FACTOR, WORKSPACE_KERNEL = 256, 5


class WorstCase(TorchDispatchMode):
    """Answer what fake tensors can't, because it depends on values: assume the largest result.

    Each condition is true, each element of a mask is true, and non-maximum suppression keeps all boxes. That is an
    upper bound, and a close one: nearly all anchors are background, and samples have a fixed size.

    Args:
        on_cpu: also allocate the workspace of the CPU's kernels, which no tensor shows.
    """

    def __init__(self, *, on_cpu: bool) -> None:
        super().__init__()
        self.on_cpu = on_cpu

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer an operation, or let it run."""
        if func is torch.ops.prim.device.default:  # the most frequent call; answering it here saves a fifth of the time
            return args[0].fake_device
        if func is aten._local_scalar_dense.default:
            return True
        if func is aten.nonzero.default:
            return args[0].new_zeros((args[0].numel(), args[0].ndim), dtype=torch.int64)
        if func is torch.ops.torchvision.nms.default:
            count = len(args[0])
            if not self.on_cpu:  # CUDA's kernel has a bit for each pair
                args[0].new_empty(count * -(-count // 64), dtype=torch.int64)
            return args[0].new_zeros(count, dtype=torch.int64)
        if func is aten.index.Tensor:
            args = (args[0], [_mask_as_positions(index) for index in args[1]])
        workspace = _workspace(args[2]) if self.on_cpu and func is aten.convolution_backward.default else None
        outputs = func(*args, **(kwargs or {}))
        del workspace
        return outputs


def _mask_as_positions(index: Tensor | None) -> Tensor | None:
    """Replace a mask by as many positions as it has elements; return other indices unchanged."""
    if index is None or index.dtype != torch.bool:
        return index
    return torch.zeros(len(index), dtype=torch.int64)


def _workspace(weight: Tensor) -> Tensor | None:
    """Allocate what the backward pass of a (C_out, C_in / groups, k, k) convolution needs on this CPU."""
    has_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    is_depthwise = weight.shape[1] == 1
    if not has_avx512 or not is_depthwise or weight.shape[2] < WORKSPACE_KERNEL or weight.dtype != torch.float32:
        return None
    return weight.new_empty(WORKSPACE_FACTOR, weight.numel())


def pool_finest(
    levels: Sequence[Tensor], strides: Sequence[int], rois: Boxes, canonical_scale: float = 64, *, on_cpu: bool
) -> Tensor:
    """Pool boxes of unknown size: all from the finest level, except for one per coarser level.

    Training is close to that: 94 to 97 % of the sampled boxes read the finest level, with any backbone, at 240 × 320 as
    well as at 800 × 1333. Arguments and result are those of `batched.pool_levels`.
    """
    images, count = rois.is_real.shape
    if on_cpu:
        return _pool_by_image(levels, strides, rois.boxes)
    flat = torch.cat([rois.boxes.new_zeros(images * count, 1), rois.boxes.flatten(0, 1)], 1)  # (B * S, 5)
    groups = flat.split([len(flat) - (len(levels) - 1), *[1] * (len(levels) - 1)])
    patches = [
        ops.roi_align(at_least_float32(features), group, 7, 1 / stride, 2).to(features.dtype)
        for features, stride, group in zip(levels, strides, groups, strict=True)
    ]
    return torch.cat(patches).index_select(0, torch.arange(len(flat)))


def _pool_by_image(levels: Sequence[Tensor], strides: Sequence[int], boxes: Tensor) -> Tensor:
    """Pool boxes, (B, S, 4), as `roi.pool_levels` does on a CPU."""
    images, count = boxes.shape[:2]
    groups = torch.arange(count).split([count - (len(levels) - 1), *[1] * (len(levels) - 1)])
    patches, positions = [], []
    for image in range(images):
        for features, stride, group in zip(levels, strides, groups, strict=True):
            patches.append(fastest_roi_align(features[image], boxes[image, group], 1 / stride))
            positions.append(group + image * count)
    return torch.cat(patches)[torch.cat(positions).argsort()]
