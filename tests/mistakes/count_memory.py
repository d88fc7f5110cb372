"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch


def wrong_counts_numbers(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], [batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        weights.append(c_in * c_out * kernel**2)
        maps.append(batch * c_out * height * width)
    trained = sum(weights[frozen:])
    kept = sum(maps[frozen:]) if frozen < len(layers) else 0
    return {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": kept}


def wrong_rounds_down(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], [batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = height // stride, width // stride
        weights.append(4 * c_in * c_out * kernel**2)
        maps.append(batch * c_out * height * width)
    trained = sum(weights[frozen:])
    kept = 4 * sum(maps[frozen:]) if frozen < len(layers) else 0
    return {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": kept}


def wrong_forgets_the_images(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], []
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        weights.append(4 * c_in * c_out * kernel**2)
        maps.append(4 * batch * c_out * height * width)
    trained = sum(weights[frozen:])
    return {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": sum(maps[frozen:])}


def wrong_keeps_a_map_where_all_is_frozen(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], [4 * batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        weights.append(4 * c_in * c_out * kernel**2)
        maps.append(4 * batch * c_out * height * width)
    trained = sum(weights[frozen:])
    return {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": sum(maps[frozen:])}


def wrong_keeps_one_map_too_many(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], [4 * batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        weights.append(4 * c_in * c_out * kernel**2)
        maps.append(4 * batch * c_out * height * width)
    trained = sum(weights[frozen:])
    kept = sum(maps[max(0, frozen - 1) :]) if frozen < len(layers) else 0
    return {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": kept}


def wrong_forgets_the_second_moment(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], [4 * batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        weights.append(4 * c_in * c_out * kernel**2)
        maps.append(4 * batch * c_out * height * width)
    trained = sum(weights[frozen:])
    kept = sum(maps[frozen:]) if frozen < len(layers) else 0
    return {"weights": sum(weights), "gradients": trained, "optimizer": trained, "activations": kept}


def wrong_remembers_frozen_weights(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], [4 * batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        weights.append(4 * c_in * c_out * kernel**2)
        maps.append(4 * batch * c_out * height * width)
    kept = sum(maps[frozen:]) if frozen < len(layers) else 0
    size = sum(weights)
    return {"weights": size, "gradients": size, "optimizer": 2 * size, "activations": kept}


def wrong_counts_each_map_twice(layers, images, frozen=0):
    batch, height, width = images
    weights, maps = [], [4 * batch * layers[0][0] * height * width]
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        weights.append(4 * c_in * c_out * kernel**2)
        maps.append(8 * batch * c_out * height * width)
    trained = sum(weights[frozen:])
    kept = sum(maps[frozen:]) if frozen < len(layers) else 0
    return {"weights": sum(weights), "gradients": trained, "optimizer": 2 * trained, "activations": kept}


def wrong_gives_a_sum(layers, images, frozen=0):
    batch, height, width = images
    total = batch * layers[0][0] * height * width
    for c_in, c_out, kernel, stride in layers:
        height, width = -(-height // stride), -(-width // stride)
        total += 4 * c_in * c_out * kernel**2 + batch * c_out * height * width
    return 4 * total


def right_layer_by_layer(layers, images, frozen=0):
    batch, height, width = images
    count = dict.fromkeys(("weights", "gradients", "optimizer", "activations"), 0)
    for number, (c_in, c_out, kernel, stride) in enumerate(layers):
        rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
        weights = 4 * c_in * c_out * kernel * kernel
        count["weights"] += weights
        if number >= frozen:
            count["gradients"] += weights
            count["optimizer"] += 2 * weights
            count["activations"] += 4 * batch * c_out * rows * columns
        if number == frozen:
            count["activations"] += 4 * batch * c_in * height * width
        height, width = rows, columns
    return count


def right_by_torch(layers, images, frozen=0):
    batch, height, width = images
    x = torch.zeros(batch, layers[0][0], height, width, device="meta")
    count = {"weights": 0, "gradients": 0, "optimizer": 0, "activations": 0}
    kept = {}
    for number, (c_in, c_out, kernel, stride) in enumerate(layers):
        conv = torch.nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False, device="meta")
        out = conv(x)
        count["weights"] += conv.weight.nbytes
        if number >= frozen:
            count["gradients"] += conv.weight.nbytes
            count["optimizer"] += 2 * conv.weight.nbytes
            kept |= {number: x.nbytes, number + 1: out.nbytes}
        x = out
    return count | {"activations": sum(kept.values())}
