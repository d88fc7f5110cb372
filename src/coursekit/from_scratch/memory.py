"""Arithmetic on a chain of convolutions: what a cell of the last map sees, and what a training step holds."""

from collections.abc import Sequence
from itertools import accumulate

FLOAT32 = 4  # bytes


def receptive_field(layers: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """What one cell of the last map sees of the image, along one axis.

    The recursion of Araujo et al., *Computing Receptive Fields of Convolutional Neural Networks*, 2019, from the image
    on. A convolution on a map whose cells lie `stride` pixels apart reads kernel - 1 more of them.

    Args:
        layers: (kernel, stride) of each layer, the one at the image first.

    Returns:
        (size, stride) in pixels of the image: how wide the window of a cell is, and how far those of neighbours lie
        apart. No layers: (1, 1), a pixel.

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
    """Bytes that a training step of a chain of convolutions holds once forward and backward have done their part.

    Each layer is a convolution without bias, padded by kernel // 2, and a ReLU. All is float32. For backward, a
    trained convolution keeps its input and its ReLU its output, and a tensor that two of them keep counts once. What
    lies before the first trained layer is not kept.

    Args:
        layers: (channels in, channels out, kernel, stride) of each layer, the one at the image first; kernels are odd.
        images: (images, height, width) of a batch.
        frozen: so many of the first layers are not trained.

    Returns:
        "weights": of all layers; "gradients": one number for each trained weight; "optimizer": AdamW's two for each of
        them; "activations": what forward keeps for backward, the images among it where the first layer is trained.
    """
    weights = [c_in * c_out * kernel**2 for c_in, c_out, kernel, _ in layers]
    batch, height, width = images
    strides = accumulate((stride for *_, stride in layers), lambda whole, one: whole * one)
    maps = [batch * layers[0][0] * height * width]  # what goes into each layer, and the last one's output
    for (_, channels, _, _), stride in zip(layers, strides, strict=True):
        maps.append(batch * channels * -(-height // stride) * -(-width // stride))  # half a cell is a cell
    trained = sum(weights[frozen:])
    kept = sum(maps[frozen:]) if frozen < len(layers) else 0
    numbers = {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": kept}
    return {kind: FLOAT32 * count for kind, count in numbers.items()}
