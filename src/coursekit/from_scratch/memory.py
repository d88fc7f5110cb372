"""Arithmetic on a chain of convolutions: the receptive field of a cell, and the memory of a training step."""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul

FLOAT32 = 4  # bytes


def receptive_field(layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the receptive field and the stride of a cell of the last map, along one axis.

    Follows the recursion of Araujo et al., *Computing Receptive Fields of Convolutional Neural Networks*, 2019, from
    the image on. A convolution on a map whose cells are `stride` pixels apart reads kernel - 1 additional cells.

    Args:
        layers: (kernel, stride) of each layer, starting at the image.

    Returns:
        (size, stride) in pixels of the image: the width of a cell's window, and the distance between the windows of
        neighboring cells. Without layers, a cell is a pixel: (1, 1).

    >>> receptive_field([(3, 2), (3, 1)])
    (7, 2)
    """
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride *= step
    return size, stride


def count_memory(
    layers: Sequence[tuple[int, int, int, int]], images: tuple[int, int, int], frozen: int = 0
) -> dict[str, int]:
    """Count the bytes that a training step of a chain of convolutions holds after forward and backward.

    Each layer is a convolution without bias, padded by kernel // 2, and a ReLU. All numbers are float32. For backward,
    a trained convolution keeps its input and its ReLU keeps its output; a tensor that two of them keep counts once.
    Nothing before the first trained layer is kept.

    Args:
        layers: (in_channels, out_channels, kernel, stride) of each layer, starting at the image; kernels are odd.
        images: (batch, height, width).
        frozen: number of layers, starting at the image, that are not trained.

    Returns:
        Bytes by kind: "weights" of all layers; "gradients", one number per trained weight; "optimizer", AdamW's two
        numbers per trained weight; "activations", what forward keeps for backward, including the images if the first
        layer is trained.
    """
    weights = [c_in * c_out * kernel**2 for c_in, c_out, kernel, _ in layers]
    batch, height, width = images
    strides = accumulate((stride for *_, stride in layers), mul)
    maps = [batch * layers[0][0] * height * width]  # the input of each layer, and the output of the last one
    for (_, channels, _, _), stride in zip(layers, strides, strict=True):
        maps.append(batch * channels * -(-height // stride) * -(-width // stride))  # half a cell counts as one
    trained = sum(weights[frozen:])
    kept = sum(maps[frozen:]) if frozen < len(layers) else 0
    numbers = {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": kept}
    return {kind: FLOAT32 * count for kind, count in numbers.items()}
