"""Exercise 2.1: the receptive field and the stride of a chain of convolutions."""

import math
from collections.abc import Iterator

import torch

from coursekit.from_scratch.memory import receptive_field
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("no layers: a pixel sees itself", [])
    yield case("one 3 × 3 convolution", [(3, 1)])
    yield case("a 1 × 1 convolution", [(1, 1)])
    yield case("a 3 × 3 convolution with a stride of 2", [(3, 2)])
    yield case("a 1 × 1 convolution with a stride of 2", [(1, 2)])
    yield case("two convolutions without strides", [(3, 1), (3, 1)])
    yield case("a stride in the first of two layers", [(3, 2), (3, 1)])
    yield case("a stride in the second of two layers", [(3, 1), (3, 2)])
    yield case("two poolings, whose kernels are even", [(2, 2), (2, 2)])
    yield case("the first two layers of a ResNet", [(7, 2), (3, 2)])
    yield case("strides of 3 and 2", [(5, 3), (3, 2), (3, 1)])
    yield case("a convolution after two strides of 2", [(3, 2), (3, 2), (3, 1)])
    yield case("a 1 × 1 convolution with a stride, then a 3 × 3", [(1, 2), (3, 1)])
    for words in ("four layers", "four other layers"):
        drawn = torch.randint(0, 4, (4, 2), generator=generator).tolist()
        yield case(words, [(kernel + 1, 1 + stride) for kernel, stride in drawn])


# Wrong answers


def _walk(layers, grow):
    """Walk from the image on, where grow(size, stride, kernel, step) returns the new size."""
    size, stride = 1, 1
    for kernel, step in layers:
        size = grow(size, stride, kernel, step)
        stride *= step
    return size, stride


def _right(layers):
    return _walk(layers, lambda size, stride, kernel, step: size + (kernel - 1) * stride)


def wrong_adds_the_whole_kernel(layers):
    return _walk(layers, lambda size, stride, kernel, step: size + kernel * stride)


def wrong_ignores_strides(layers):
    return _walk(layers, lambda size, stride, kernel, step: size + kernel - 1)


def wrong_multiplies_the_stride_first(layers):
    return _walk(layers, lambda size, stride, kernel, step: size + (kernel - 1) * stride * step)


def wrong_only_its_own_stride(layers):
    return _walk(layers, lambda size, stride, kernel, step: size + (kernel - 1) * step)


def wrong_recursion_of_the_way_back(layers):
    return _walk(layers, lambda size, stride, kernel, step: size * step + kernel - step)


def wrong_half_a_kernel_on_each_side(layers):
    return _walk(layers, lambda size, stride, kernel, step: size + 2 * (kernel // 2) * stride)


def wrong_adds_strides(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride += step - 1
    return size, stride


def wrong_stride_of_the_last_layer(layers):
    return _right(layers)[0], layers[-1][1] if layers else 1


def wrong_swaps_the_two(layers):
    size, stride = _right(layers)
    return stride, size


def wrong_starts_at_zero(layers):
    size, stride = _right(layers)
    return size - 1, stride


def wrong_needs_a_layer(layers):
    size, stride = layers[0]
    for kernel, step in layers[1:]:
        size += (kernel - 1) * stride
        stride *= step
    return size, stride


def wrong_multiplies_kernels(layers):
    return math.prod(kernel for kernel, _ in layers), math.prod(step for _, step in layers)


def wrong_size_only(layers):
    return _right(layers)[0]


def wrong_empties_the_list(layers):
    size, stride = _right(layers)
    layers.clear()
    return size, stride


def wrong_doubles_the_size(layers):
    return _walk(layers, lambda size, stride, kernel, step: size * step + kernel - 1)


def wrong_stride_before_the_last_layer(layers):
    return _right(layers)[0], _right(layers[:-1])[1]


def wrong_sum_of_strides(layers):
    return _right(layers)[0], sum(step for _, step in layers) or 1


def wrong_largest_kernel(layers):
    return max([kernel for kernel, _ in layers], default=1), _right(layers)[1]


def wrong_kernels_times_strides(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += kernel * step - 1
        stride *= step
    return size, stride


def wrong_starts_with_the_first_kernel(layers):
    size, stride = layers[0][0] if layers else 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride *= step
    return size, stride


def wrong_no_stride_at_all(layers):
    return _right(layers)[0], 1


def wrong_replaces_the_stride(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride = step
    return size, stride


def wrong_adds_each_stride(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride += step
    return size, stride


# Right answers


def right_from_the_last_layer_back(layers):
    size = 1
    for kernel, step in reversed(layers):
        size = step * size + (kernel - step)
    return size, math.prod(step for _, step in layers)


def right_in_closed_form(layers):
    strides = [step for _, step in layers]
    return 1 + sum((k - 1) * math.prod(strides[:n]) for n, (k, _) in enumerate(layers)), math.prod(strides)


def right_by_recursion(layers):
    if not layers:
        return [1, 1]
    size, stride = right_by_recursion(layers[:-1])
    return [size + (layers[-1][0] - 1) * stride, stride * layers[-1][1]]


def right_by_two_pixels(layers):
    first, second = (0, 0), (1, 1)  # the first and last pixel of two neighboring windows
    for kernel, step in reversed(layers):
        first = first[0] * step, first[1] * step + kernel - 1
        second = second[0] * step, second[1] * step + kernel - 1
    return first[1] - first[0] + 1, second[0] - first[0]


EXERCISE = Exercise(
    "receptive_field",
    lesson=2,
    minutes=22,
    reference=receptive_field,
    cases=cases,
    results=("size", "stride"),
    hints=(
        "“My receptive field is far too small.” After a stride of 2, neighboring cells are two pixels apart. By how many "
        "pixels does the window grow, if a 3 × 3 kernel reads one more neighbor on each side?",
        "“One layer works, two don't.” Keep two numbers, size and stride, and start with a pixel: 1 and 1. A kernel of size "
        "k reads k - 1 cells besides its own. How far apart are they *before* this layer's own stride?",
        "“Nearly there.” For each layer, in this order: size += (kernel - 1) * stride, then stride *= the layer's own stride. "
        "Return both.",
    ),
    wrong=(
        Wrong(wrong_adds_the_whole_kernel, "the whole kernel is added, but one of its cells was counted before"),
        Wrong(wrong_ignores_strides, "the strides of earlier layers don't widen the window"),
        Wrong(
            wrong_multiplies_the_stride_first,
            "a layer's own stride widens its window, but it only affects later layers",
        ),
        Wrong(
            wrong_only_its_own_stride, "a window is widened by the layer's own stride, not by those of earlier layers"
        ),
        Wrong(
            wrong_recursion_of_the_way_back, "this recursion goes from the last layer back, but it starts at the first"
        ),
        Wrong(wrong_adds_strides, "strides are added, not multiplied"),
        Wrong(wrong_stride_of_the_last_layer, "the stride is that of the last layer only"),
        Wrong(wrong_swaps_the_two, "size and stride are swapped"),
        Wrong(wrong_half_a_kernel_on_each_side, "kernel // 2 on each side is right for odd kernels only"),
        Wrong(wrong_starts_at_zero, "it starts with a size of 0, not with one pixel"),
        Wrong(wrong_needs_a_layer, "it fails if there are no layers"),
        Wrong(wrong_multiplies_kernels, "kernels are multiplied, but windows add up"),
        Wrong(wrong_size_only, "only the size is returned, not the stride"),
        Wrong(wrong_empties_the_list, "the list of layers is changed"),
        Wrong(wrong_doubles_the_size, "a stride multiplies the size of the window, but it only moves the cells apart"),
        Wrong(wrong_stride_before_the_last_layer, "the stride of the last layer is missing from the result"),
        Wrong(wrong_sum_of_strides, "the strides are added up, not multiplied"),
        Wrong(wrong_largest_kernel, "the window is only as wide as the largest kernel"),
        Wrong(wrong_kernels_times_strides),
        Wrong(wrong_starts_with_the_first_kernel, "the first kernel is counted twice"),
        Wrong(wrong_no_stride_at_all, "the stride is always 1"),
        Wrong(wrong_replaces_the_stride, "a layer's stride replaces the one before, but strides multiply"),
        Wrong(wrong_adds_each_stride, "strides are added, not multiplied"),
    ),
    right=(right_from_the_last_layer_back, right_in_closed_form, right_by_recursion, right_by_two_pixels),
)
