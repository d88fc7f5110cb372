"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import math


def wrong_adds_the_whole_kernel(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += kernel * stride
        stride *= step
    return size, stride


def wrong_leaves_strides_out(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers), math.prod(step for _, step in layers)


def wrong_multiplies_the_stride_first(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        stride *= step
        size += (kernel - 1) * stride
    return size, stride


def wrong_goes_back_from_the_front(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size = step * size + (kernel - step)
        stride *= step
    return size, stride


def wrong_multiplies_kernels(layers):
    return math.prod(kernel for kernel, _ in layers), math.prod(step for _, step in layers)


def wrong_adds_strides(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride += step - 1
    return size, stride


def wrong_counts_both_sides(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += 2 * (kernel // 2) * stride
        stride *= step
    return size, stride


def wrong_swaps_the_two(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride *= step
    return stride, size


def wrong_needs_a_layer(layers):
    size, stride = layers[0]
    for kernel, step in layers[1:]:
        size += (kernel - 1) * stride
        stride *= step
    return size, stride


def wrong_gives_the_size_only(layers):
    size, stride = 1, 1
    for kernel, step in layers:
        size += (kernel - 1) * stride
        stride *= step
    return size


def wrong_eats_the_list(layers):
    size, stride = 1, 1
    while layers:
        kernel, step = layers.pop(0)
        size += (kernel - 1) * stride
        stride *= step
    return size, stride


def right_from_the_last_layer_back(layers):
    size = 1
    for kernel, step in reversed(layers):
        size = step * size + (kernel - step)
    return size, math.prod(step for _, step in layers)


def right_in_closed_form(layers):
    strides = [step for _, step in layers]
    return 1 + sum((k - 1) * math.prod(strides[:n]) for n, (k, _) in enumerate(layers)), math.prod(strides)
