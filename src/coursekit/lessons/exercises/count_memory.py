"""Exercise 2.3: count the bytes that a training step holds."""

import math
from collections import Counter
from collections.abc import Iterator

import torch

from coursekit.from_scratch.memory import count_memory
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one 1 × 1 convolution, an image of one pixel", [(1, 1, 1, 1)], (1, 1, 1))
    yield case("one 3 × 3 convolution", [(3, 8, 3, 1)], (1, 4, 4))
    yield case("one convolution with a stride", [(3, 8, 3, 2)], (1, 8, 4))
    yield case("two images", [(3, 8, 3, 1)], (2, 4, 4))
    yield case("two layers with strides", [(3, 4, 3, 2), (4, 6, 3, 2)], (1, 8, 8))
    yield case("odd sizes, which a stride rounds up", [(3, 4, 3, 2), (4, 4, 3, 2)], (1, 5, 7))
    yield case("the first layer frozen", [(3, 4, 3, 2), (4, 6, 3, 1)], (2, 8, 8), 1)
    yield case("two of four layers frozen", [(3, 4, 3, 2), (4, 6, 1, 1), (6, 5, 3, 2), (5, 7, 1, 1)], (3, 13, 18), 2)
    yield case("all layers frozen, so there is no backward pass", [(3, 4, 3, 2), (4, 6, 3, 1)], (2, 8, 8), 2)
    yield case("one of three layers trained: the last", [(3, 4, 3, 1), (4, 6, 3, 2), (6, 2, 3, 1)], (1, 6, 6), 2)
    yield case("sizes that three strides round up", [(1, 1, 3, 2), (1, 1, 3, 2), (1, 1, 3, 2)], (1, 9, 17))
    height, width = torch.randint(3, 40, (2,), generator=generator).tolist()
    strides = torch.randint(1, 4, (4,), generator=generator).tolist()
    layers = [(3, 3, 2 * stride + 1, stride) for stride in strides]
    yield case("large kernels and strides", layers, (4, height, width), 1)


# Wrong answers


def _round_up(height, width, stride):
    return -(-height // stride), -(-width // stride)


def _count(layers, images, shrink=_round_up):
    """Return how many numbers each layer's weights have; and the images and each layer's output."""
    batch, height, width = images
    weights, maps = [], [batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = shrink(height, width, stride)
        weights.append(c_in * c_out * kernel**2)
        maps.append(batch * c_out * height * width)
    return weights, maps


def _memory(counts, frozen, **changed):
    """Return the answer for the counts of weights and maps, with some parts changed."""
    weights, maps = counts
    trained = sum(weights[frozen:])
    cached = sum(maps[frozen:]) if frozen < len(weights) else 0
    numbers = {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": cached}
    return {part: 4 * count for part, count in (numbers | changed).items()}


def wrong_counts_numbers(layers, images, frozen=0):
    memory = _memory(_count(layers, images), frozen)
    return {part: count // 4 for part, count in memory.items()}


def wrong_one_moment(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, optimizer=sum(weights[frozen:]))


def wrong_frozen_weights_have_gradients(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, gradients=sum(weights), optimizer=2 * sum(weights))


def wrong_frozen_weights_have_moments(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, optimizer=2 * sum(weights))


def wrong_keeps_maps_of_frozen_layers(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, activations=sum(maps))


def wrong_forgets_the_first_input(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, activations=sum(maps[frozen + 1 :]))


def wrong_forgets_the_last_output(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, [*maps[:-1], 0]), frozen)


def wrong_keeps_a_map_if_all_is_frozen(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, activations=sum(maps[frozen:]))


def wrong_counts_each_map_twice(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, [maps[0], *(2 * count for count in maps[1:])]), frozen)


def wrong_rounds_down(layers, images, frozen=0):
    return _memory(_count(layers, images, lambda height, width, stride: (height // stride, width // stride)), frozen)


def wrong_stride_of_this_layer_only(layers, images, frozen=0):
    weights, maps = _count(layers, images, lambda height, width, stride: (height, width))
    batch, height, width = images
    for number, (_, channels, _, stride) in enumerate(layers, 1):
        maps[number] = batch * channels * -(-height // stride) * -(-width // stride)
    return _memory((weights, maps), frozen)


def wrong_divides_only_the_height(layers, images, frozen=0):
    return _memory(_count(layers, images, lambda height, width, stride: (-(-height // stride), width)), frozen)


def wrong_ignores_strides(layers, images, frozen=0):
    return _memory(_count(layers, images, lambda height, width, stride: (height, width)), frozen)


def wrong_one_image(layers, images, frozen=0):
    return _memory(_count(layers, (1, *images[1:])), frozen)


def wrong_weights_for_each_image(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory(([images[0] * count for count in weights], maps), frozen)


def wrong_side_of_the_kernel(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory(([count // layer[2] for count, layer in zip(weights, layers, strict=True)], maps), frozen)


def wrong_forgets_frozen_weights(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, weights=sum(weights[frozen:]))


def wrong_one_map_too_many(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    cached = sum(maps[max(0, frozen - 1) :]) if frozen < len(layers) else 0
    return _memory((weights, maps), frozen, activations=cached)


def wrong_one_sum(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return 4 * (sum(maps) + 4 * sum(weights))


def wrong_biases_too(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory(([count + layer[1] for count, layer in zip(weights, layers, strict=True)], maps), frozen)


def wrong_two_bytes(layers, images, frozen=0):
    return {part: count // 2 for part, count in _memory(_count(layers, images), frozen).items()}


def wrong_master_copy(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, optimizer=3 * sum(weights[frozen:]))


def wrong_gradients_of_maps_too(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, activations=2 * sum(maps[frozen:]) if frozen < len(layers) else 0)


def wrong_no_padding(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = _count(layers, images)
    for number, (_, channels, kernel, stride) in enumerate(layers, 1):
        height, width = ((side - kernel) // stride + 1 for side in (height, width))
        maps[number] = batch * channels * height * width
    return _memory((weights, maps), frozen)


def wrong_frozen_as_trained(layers, images, frozen=0):
    return _memory(_count(layers, images), 0)


def wrong_last_layers_frozen(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    trained = sum(weights[: len(weights) - frozen])
    return _memory((weights, maps), frozen, gradients=trained, optimizer=2 * trained)


def wrong_largest_map_only(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, activations=max(maps[frozen:]) if frozen < len(layers) else 0)


def wrong_last_weights_only(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights[-1:], maps), 0, activations=sum(maps[frozen:]) if frozen < len(layers) else 0)


def wrong_rounds_half(layers, images, frozen=0):
    return _memory(_count(layers, images, lambda h, w, stride: (round(h / stride), round(w / stride))), frozen)


def wrong_other_keys(layers, images, frozen=0):
    memory = _memory(_count(layers, images), frozen)
    return {"parameters": memory.pop("weights"), **memory}


def wrong_only_gradients_of_frozen_weights(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    return _memory((weights, maps), frozen, gradients=sum(weights))


def wrong_frozen_for_trained(layers, images, frozen=0):
    weights, maps = _count(layers, images)
    trained = sum(weights[:frozen])
    return _memory((weights, maps), frozen, gradients=trained, optimizer=2 * trained)


def wrong_eight_bytes(layers, images, frozen=0):
    return {part: count * 2 for part, count in _memory(_count(layers, images), frozen).items()}


# Right answers


def right_layer_by_layer(layers, images, frozen=0):
    batch, height, width = images
    memory = dict.fromkeys(("weights", "gradients", "optimizer", "activations"), 0)
    for number, (c_in, c_out, kernel, stride) in enumerate(layers):
        rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
        weights = 4 * c_in * c_out * kernel * kernel
        memory["weights"] += weights
        if number >= frozen:
            memory["gradients"] += weights
            memory["optimizer"] += 2 * weights
            memory["activations"] += 4 * batch * c_out * rows * columns
        if number == frozen:
            memory["activations"] += 4 * batch * c_in * height * width
        height, width = rows, columns
    return memory


def right_by_torch(layers, images, frozen=0):
    batch, height, width = images
    x = torch.zeros(batch, layers[0][0], height, width, device="meta")
    memory = {"weights": 0, "gradients": 0, "optimizer": 0, "activations": 0}
    cached = {}
    for number, (c_in, c_out, kernel, stride) in enumerate(layers):
        conv = torch.nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False, device="meta")
        out = conv(x)
        memory["weights"] += conv.weight.nbytes
        if number >= frozen:
            memory["gradients"] += conv.weight.nbytes
            memory["optimizer"] += 2 * conv.weight.nbytes
            cached |= {number: x.nbytes, number + 1: out.nbytes}
        x = out
    return memory | {"activations": sum(cached.values())}


def right_by_formula(layers, images, frozen=0):
    batch, *size = images
    memory, trained = Counter(weights=0, gradients=0, optimizer=0, activations=0), layers[frozen:]
    for number, (c_in, c_out, kernel, stride) in enumerate(layers):
        if trained and number == frozen:
            memory["activations"] += batch * c_in * math.prod(size)
        size = [(side + 2 * (kernel // 2) - kernel) // stride + 1 for side in size]
        memory["weights"] += c_in * c_out * kernel**2
        memory["activations"] += batch * c_out * math.prod(size) if number >= frozen else 0
    memory["gradients"] = sum(c_in * c_out * kernel**2 for c_in, c_out, kernel, _ in trained)
    memory["optimizer"] = 2 * memory["gradients"]
    return {part: 4.0 * count for part, count in memory.items()}


EXERCISE = Exercise(
    "count_memory",
    lesson=2,
    minutes=25,
    reference=count_memory,
    cases=cases,
    hints=(
        "“I count too few activations, or too many.” Write down the maps of two layers: the images, the first output, the "
        "second output. Which of them does the backward pass need? Count each once, the images and the last output too.",
        "“It's wrong only if layers are frozen.” The weights of a frozen layer are in memory, but it has no gradients, and "
        "AdamW holds no numbers for it. The first trained layer needs its own input, but nothing before that. If no layer is "
        "trained, no activations are kept.",
        "“Nearly there.” Make two lists: weights, c_in · c_out · kernel² of each layer; and maps, which starts with the images, "
        "then has each output. A stride divides height and width and rounds up: -(-height // stride). Then sum(weights), "
        "sum(weights[frozen:]), twice that for the optimizer, and sum(maps[frozen:]), which is 0 if all layers are frozen; "
        "each times 4 bytes.",
    ),
    wrong=(
        Wrong(wrong_counts_numbers, "it counts numbers, not bytes: a float32 has 4 bytes"),
        Wrong(
            wrong_one_moment,
            "AdamW holds two numbers per trained weight (the mean gradient and the mean square), not one",
        ),
        Wrong(wrong_frozen_weights_have_gradients, "frozen layers have gradients and optimizer state"),
        Wrong(wrong_frozen_weights_have_moments, "the optimizer holds numbers for frozen weights"),
        Wrong(
            wrong_keeps_maps_of_frozen_layers,
            "the maps of frozen layers are kept, but the backward pass never gets there",
        ),
        Wrong(wrong_forgets_the_first_input, "the input of the first trained layer is missing"),
        Wrong(wrong_forgets_the_last_output, "the last output is missing, but its ReLU needs it"),
        Wrong(wrong_keeps_a_map_if_all_is_frozen, "a map is kept even if all layers are frozen"),
        Wrong(
            wrong_counts_each_map_twice,
            "each map is counted twice, for its ReLU and for the next convolution, but it is one tensor",
        ),
        Wrong(wrong_rounds_down, "a size that the stride doesn't divide is rounded down"),
        Wrong(
            wrong_stride_of_this_layer_only,
            "a map is divided by its own layer's stride, but not by those of earlier layers",
        ),
        Wrong(wrong_divides_only_the_height, "a stride divides the height, but not the width"),
        Wrong(wrong_ignores_strides, "strides are ignored"),
        Wrong(wrong_one_image, "only one image is counted, whatever the batch"),
        Wrong(wrong_weights_for_each_image, "weights are counted for each image, but all images share them"),
        Wrong(wrong_side_of_the_kernel, "the side of a kernel is counted, not its area"),
        Wrong(wrong_forgets_frozen_weights, "frozen weights are missing, but the forward pass needs them"),
        Wrong(wrong_one_map_too_many, "the input of the last frozen layer is counted, too"),
        Wrong(wrong_one_sum, "one sum is returned, not a dict of four"),
        Wrong(wrong_biases_too, "biases are counted, but the convolutions have none"),
        Wrong(wrong_two_bytes, "a float32 has 4 bytes, not 2"),
        Wrong(wrong_master_copy, "AdamW holds two numbers per trained weight, not three"),
        Wrong(wrong_gradients_of_maps_too, "maps are counted twice, as if their gradients were kept, too"),
        Wrong(wrong_no_padding, "the padding is left out, so maps are too small"),
        Wrong(wrong_frozen_as_trained, "`frozen` is not used"),
        Wrong(wrong_last_layers_frozen, "the last layers are taken for the frozen ones"),
        Wrong(wrong_largest_map_only, "only the largest map is counted, but all are kept until backward"),
        Wrong(wrong_last_weights_only),
        Wrong(wrong_rounds_half, "sizes are rounded to the nearest number, but a stride rounds up"),
        Wrong(wrong_other_keys, "the keys of the dict have other names"),
        Wrong(wrong_only_gradients_of_frozen_weights, "frozen weights have gradients"),
        Wrong(
            wrong_frozen_for_trained, "the frozen layers are taken for the trained ones: [:frozen] instead of [frozen:]"
        ),
        Wrong(wrong_eight_bytes, "a float32 has 4 bytes, not 8"),
    ),
    right=(right_layer_by_layer, right_by_torch, right_by_formula),
)
