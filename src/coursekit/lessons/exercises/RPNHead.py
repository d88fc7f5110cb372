"""Exercise 5.1, `RPNHead`: objectness and deltas at every anchor, in the order of the anchors."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.detector.rpn import RPNHead
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import NONE, gradients
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import module_anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a map of one cell", 2, 3, _positions((1, 1)), "position")
    yield case("a map of 2 × 3 cells that hold their row and column", 2, 2, _positions((2, 3)), "position")
    yield case("two levels whose cells hold their place", 2, 2, _positions((2, 3), (1, 2)), "position")
    yield case(
        "two images", 2, 3, [places.repeat(2, 1, 1, 1) * _steps(2) for places in _positions((2, 3), (1, 2))], "position"
    )
    yield case("random weights", 8, 3, [torch.randn(2, 8, 5, 7, generator=generator)], "random")
    sizes = ((9, 12), (5, 6), (3, 3))
    yield case("three levels", 6, 5, [torch.randn(2, 6, *size, generator=generator) for size in sizes], "random")
    yield case(
        "enough weights to measure their spread", 32, 9, [torch.randn(1, 32, 2, 2, generator=generator)], "random"
    )
    yield case("two levels in float64", 4, 2, [torch.randn(2, 4, 3, 2, generator=generator).double()] * 2, "random")
    yield on_a_gpu(2, 2, _positions((2, 3), (1, 2)), "random", what="the head and its levels")


def _steps(count: int) -> Tensor:
    return torch.arange(1.0, count + 1)[:, None, None, None]


def _positions(*sizes: tuple[int, int]) -> list[Tensor]:
    """Return (1, 2, H, W) maps: 10 * row + column in the first channel, counted from 1, and 0 in the second."""
    maps = []
    for height, width in sizes:
        place = 10 * torch.arange(1.0, height + 1)[:, None] + torch.arange(1.0, width + 1)
        maps.append(torch.stack([place, torch.zeros_like(place)])[None])
    return maps


def call(answer: Answer, channels: int, anchors: int, levels: list[Tensor], weights: str) -> Any:
    """Return what a head predicts for levels, with weights that depend on the shapes of its layers only.

    Args:
        answer: the class.
        channels, anchors: its arguments.
        levels: the maps it gets.
        weights: "position" passes the first channel on, and adds 100 for the second anchor, 200 for the third, 0.1 for
            dy, 0.2 for dw and so on. Or "random".
    """
    head = answer(channels, anchors)
    if not isinstance(head, nn.Module):
        raise TypeError(f"RPNHead(…) should make an nn.Module, and made a {type(head).__name__}")
    if is_elsewhere((levels,)):
        return module_anywhere(head, levels)
    shapes, start = sorted(tuple(parameter.shape) for parameter in head.parameters()), _start_of(head)
    with torch.no_grad():
        for parameter in head.parameters():
            drawn = torch.Generator().manual_seed(sum(parameter.shape))
            if weights == "random":
                parameter.copy_(torch.randn(parameter.shape, generator=drawn) / parameter[0].numel() ** 0.5)
            else:
                _pass_position_on(parameter, channels, anchors)
    copies = [level.clone().requires_grad_(weights == "random") for level in levels]
    result = head.to(levels[0].dtype)(copies)
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise TypeError("RPNHead(…)(levels) should return two tensors: logits and deltas")
    values = {"logits": result[0], "deltas": result[1], "shapes of the weights": shapes, "weights at the start": start}
    return values | (_trained(head, result, copies) if weights == "random" else {})


def _trained(head: nn.Module, result: Any, levels: list[Tensor]) -> dict[str, Any]:
    """Return the gradients of the levels, and how many weights have none."""
    inputs = {f"level {number}": level for number, level in enumerate(levels, 1)}
    found = gradients(result, inputs | dict(head.named_parameters()))
    of_levels = {f"gradient of {name}": found[f"gradient of {name}"] for name in inputs}
    return of_levels | {"weights that no gradient reaches": sum(value is NONE for value in found.values())}


def _start_of(head: nn.Module) -> str:
    """Return in words how weights and biases start."""
    biases = [parameter.detach() for parameter in head.parameters() if parameter.ndim == 1]
    weights = {_start_of_weights(parameter.detach()) for parameter in head.parameters() if parameter.ndim > 1}
    words = sorted(weights - {""}) or ["weights with a spread of 0.01"]
    return f"{words[0]}, biases {'that are not 0' if any(bool(bias.any()) for bias in biases) else 'of 0'}"


def _start_of_weights(weight: Tensor) -> str:
    """Return what is wrong with the values that the weights of a layer start with."""
    chance = 5 / weight.numel() ** 0.5  # five standard deviations
    spread = float(weight.square().mean().sqrt()) / 0.01
    if (weight.numel() >= 40 and abs(spread - 1) > chance) or abs(float(weight.mean())) > 0.01 * chance:
        return "weights that are not drawn with a mean of 0 and a spread of 0.01"
    if weight.numel() > 1000 and float(weight.abs().max()) < 0.025:  # a normal distribution goes farther
        return "weights that are not drawn from a normal distribution"
    return ""


def _pass_position_on(weight: Tensor, channels: int, anchors: int) -> None:
    weight.zero_()
    if weight.ndim == 1:
        if len(weight) == anchors and anchors != channels:
            weight.copy_(100.0 * torch.arange(anchors))
        elif len(weight) == 4 * anchors:
            weight.copy_((100.0 * torch.arange(anchors)[:, None] + torch.arange(4) / 10).flatten())
    elif weight.shape[-1] > 1:
        weight[0, 0, weight.shape[2] // 2, weight.shape[3] // 2] = 1
    else:
        weight[:, 0] = 1


# Wrong answers: the reference with one part changed.


class Head(RPNHead):
    """The reference in two steps, the second of which can be replaced."""

    def maps(self, levels):
        """Return the logits (B, A, H, W) and deltas (B, 4A, H, W) of each level."""
        hidden = [self.hidden(level).relu() for level in levels]
        return [(self.objectness(features), self.deltas(features)) for features in hidden]

    def forward(self, levels):
        maps = self.maps(levels)
        logits = [self.flat_logits(logits) for logits, _ in maps]
        deltas = [self.flat_deltas(deltas) for _, deltas in maps]
        return torch.cat(logits, 1), torch.cat(deltas, 1)

    def flat_logits(self, logits):
        return logits.permute(0, 2, 3, 1).flatten(1)

    def flat_deltas(self, deltas):
        return deltas.permute(0, 2, 3, 1).reshape(len(deltas), -1, 4)


class wrong_flattened_as_stored(Head):
    def flat_logits(self, logits):
        return logits.flatten(1)

    def flat_deltas(self, deltas):
        return deltas.reshape(len(deltas), -1, 4)


class wrong_deltas_not_moved(Head):
    def flat_deltas(self, deltas):
        return deltas.reshape(len(deltas), -1, 4)


class wrong_anchor_by_anchor(Head):
    def flat_logits(self, logits):
        return logits.flatten(1)

    def flat_deltas(self, deltas):
        return deltas.unflatten(1, (-1, 4)).permute(0, 1, 3, 4, 2).reshape(len(deltas), -1, 4)


class wrong_deltas_viewed_as_fours_first(Head):
    def flat_deltas(self, deltas):
        return deltas.unflatten(1, (4, -1)).permute(0, 3, 4, 2, 1).reshape(len(deltas), -1, 4)


class wrong_copied_to_the_cpu(Head):
    def forward(self, levels):
        logits, deltas = super().forward(levels)
        gathered = torch.zeros(logits.shape, dtype=logits.dtype)
        gathered[:] = logits
        return gathered, deltas


class wrong_columns_before_rows(Head):
    def flat_logits(self, logits):
        return logits.permute(0, 3, 2, 1).flatten(1)

    def flat_deltas(self, deltas):
        return deltas.permute(0, 3, 2, 1).reshape(len(deltas), -1, 4)


class wrong_no_activation(Head):
    def maps(self, levels):
        return [(self.objectness(self.hidden(level)), self.deltas(self.hidden(level))) for level in levels]


class wrong_relu_at_the_end(Head):
    def maps(self, levels):
        return [(logits.relu(), deltas.relu()) for logits, deltas in super().maps(levels)]


class wrong_probabilities(Head):
    def flat_logits(self, logits):
        return super().flat_logits(logits).sigmoid()


class wrong_coarsest_first(Head):
    def maps(self, levels):
        return super().maps(levels[::-1])


class wrong_lists_of_levels(Head):
    def forward(self, levels):
        maps = self.maps(levels)
        return [self.flat_logits(logits) for logits, _ in maps], [self.flat_deltas(deltas) for _, deltas in maps]


class wrong_logits_in_a_column(Head):
    def flat_logits(self, logits):
        return super().flat_logits(logits)[..., None]


class wrong_no_padding(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        self.hidden.padding = (0, 0)


class wrong_one_by_one_convolution(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        self.hidden = initialized(nn.Conv2d(channels, channels, 1))


class wrong_starting_weights(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        for layer in (self.hidden, self.objectness, self.deltas):
            layer.reset_parameters()


def with_start(start):
    """Return the reference, whose layers start as `start` leaves them."""

    class Started(Head):
        def __init__(self, channels, anchors):
            super().__init__(channels, anchors)
            for layer in (self.hidden, self.objectness, self.deltas):
                start(layer)

    return Started


class wrong_hidden_layer_as_torch_draws_it(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        self.hidden.reset_parameters()


class wrong_outputs_as_torch_draws_them(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        self.objectness.reset_parameters()
        self.deltas.reset_parameters()


class wrong_biases_as_torch_draws_them(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        for layer in (self.hidden, self.objectness, self.deltas):
            nn.init.uniform_(layer.bias, -0.1, 0.1)


class wrong_without_gradient(Head):
    def forward(self, levels):
        with torch.no_grad():
            return super().forward(levels)


class wrong_hidden_detached(Head):
    def maps(self, levels):
        hidden = [self.hidden(level).relu().detach() for level in levels]
        return [(self.objectness(features), self.deltas(features)) for features in hidden]


class wrong_deltas_detached(Head):
    def maps(self, levels):
        return [(logits, deltas.detach()) for logits, deltas in super().maps(levels)]


class wrong_layers_for_the_first_level_only(Head):
    def maps(self, levels):
        return super().maps(levels[:1])


class wrong_two_hidden_layers(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        self.second = initialized(nn.Conv2d(channels, channels, 3, padding=1))

    def maps(self, levels):
        hidden = [self.second(self.hidden(level).relu()).relu() for level in levels]
        return [(self.objectness(features), self.deltas(features)) for features in hidden]


class wrong_sigmoid_between(Head):
    def maps(self, levels):
        hidden = [self.hidden(level).sigmoid() for level in levels]
        return [(self.objectness(features), self.deltas(features)) for features in hidden]


class wrong_skip_connection(Head):
    def maps(self, levels):
        hidden = [self.hidden(level).relu() + level for level in levels]
        return [(self.objectness(features), self.deltas(features)) for features in hidden]


class wrong_deltas_first(Head):
    def forward(self, levels):
        return super().forward(levels)[::-1]


class wrong_levels_on_axis_0(Head):
    def forward(self, levels):
        maps = [super(wrong_levels_on_axis_0, self).forward([level]) for level in levels]
        return tuple(torch.cat(parts, 0) for parts in zip(*maps))


class wrong_no_bias(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        for layer in (self.hidden, self.objectness, self.deltas):
            layer.bias = None


class wrong_a_hidden_layer_for_each_output(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        self.other = initialized(nn.Conv2d(channels, channels, 3, padding=1))

    def maps(self, levels):
        return [(self.objectness(self.hidden(x).relu()), self.deltas(self.other(x).relu())) for x in levels]


class wrong_two_logits_per_anchor(Head):
    def __init__(self, channels, anchors):
        super().__init__(channels, anchors)
        self.objectness = initialized(nn.Conv2d(channels, 2 * anchors, 1))

    def flat_logits(self, logits):
        return logits.permute(0, 2, 3, 1).reshape(len(logits), -1, 2)


def initialized(layer):
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class right_with_views(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.anchors = anchors
        self.hidden = initialized(nn.Conv2d(channels, channels, 3, padding=1))
        self.objectness = initialized(nn.Conv2d(channels, anchors, 1))
        self.deltas = initialized(nn.Conv2d(channels, 4 * anchors, 1))

    def forward(self, levels):
        logits, deltas = [], []
        for level in levels:
            batch, _, height, width = level.shape
            hidden = torch.relu(self.hidden(level))
            logits.append(self.objectness(hidden).permute(0, 2, 3, 1).reshape(batch, -1))
            by_anchor = self.deltas(hidden).view(batch, self.anchors, 4, height, width)
            deltas.append(by_anchor.permute(0, 3, 4, 1, 2).reshape(batch, -1, 4))
        return [torch.cat(logits, 1), torch.cat(deltas, 1)]


class right_matrix_products_at_each_cell(nn.Module):
    def __init__(self, channels, anchors):
        super().__init__()
        self.score, self.move = nn.Conv2d(channels, anchors, 1), nn.Conv2d(channels, 4 * anchors, 1)
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        for layer in (self.hidden, self.score, self.move):
            initialized(layer)

    def forward(self, levels):
        hidden = [torch.relu(self.hidden(level)) for level in levels]
        cells = torch.cat([features.flatten(2).transpose(1, 2) for features in hidden], 1)  # (B, cells, C)
        logits = cells @ self.score.weight.flatten(1).T + self.score.bias
        deltas = cells @ self.move.weight.flatten(1).T + self.move.bias
        return logits.flatten(1), deltas.reshape(len(cells), -1, 4)


EXERCISE = Exercise(
    "RPNHead",
    lesson=5,
    minutes=20,
    regions=2,
    reference=RPNHead,
    cases=cases,
    call=call,
    library=("torchvision.models.detection.rpn.RPNHead",),
    tolerance=1e-4,
    hints=(
        "“The right numbers, in another order.” A map is (B, A, H, W): its last axis changes fastest when it is flattened. In "
        "the order of the anchors, what changes fastest, and what slowest? permute puts the axes into that order.",
        "“The deltas are mixed up.” Channels 4a to 4a + 3 belong to anchor a. Move the channels to the end, as for the logits; "
        "then reshape(B, -1, 4) cuts them into fours, cell after cell.",
        "“Nearly there.” For each level: hidden = self.hidden(level).relu(); its logits self.objectness(hidden)"
        ".permute(0, 2, 3, 1).flatten(1); its deltas likewise, with reshape(len(level), -1, 4). Then torch.cat(…, 1) over "
        "the levels. In __init__: nn.init.normal_(layer.weight, std=0.01), nn.init.zeros_(layer.bias).",
    ),
    wrong=(
        Wrong(
            wrong_flattened_as_stored,
            "the maps are flattened as they are stored, anchor by anchor: anchors go cell by cell",
        ),
        Wrong(
            wrong_deltas_not_moved,
            "the logits are in order, but the deltas were cut into fours without moving their axis",
        ),
        Wrong(wrong_anchor_by_anchor, "all cells of the first anchor, then all of the second: cells come first"),
        Wrong(wrong_deltas_viewed_as_fours_first, "the channels of the deltas are read as (4, A); they are (A, 4)"),
        Wrong(wrong_columns_before_rows, "column by column, where the anchors go row by row"),
        Wrong(wrong_no_activation, "there is no ReLU between the layers"),
        Wrong(wrong_relu_at_the_end, "there is a ReLU at the end: no logit and no delta can be negative"),
        Wrong(wrong_probabilities, "there is a sigmoid in the head: the loss takes logits"),
        Wrong(wrong_coarsest_first, "the levels come out coarsest first"),
        Wrong(wrong_lists_of_levels, "it returns lists of levels instead of one tensor for all of them"),
        Wrong(wrong_logits_in_a_column, "the logits have an extra last axis of 1"),
        Wrong(wrong_no_padding, "the 3 × 3 convolution has no padding, so the cells at the border are missing"),
        Wrong(wrong_one_by_one_convolution, "the hidden layer is 1 × 1: it sees no neighbors"),
        Wrong(
            wrong_starting_weights, "the weights start as torch draws them, not with a spread of 0.01 and biases of 0"
        ),
        Wrong(
            with_start(lambda layer: nn.init.normal_(layer.weight, std=0.02)), "the weights start with a wrong spread"
        ),
        Wrong(wrong_biases_as_torch_draws_them, "the biases don't start at 0"),
        Wrong(wrong_without_gradient, "no gradient reaches the weights (detach or no_grad on the way)"),
        Wrong(wrong_hidden_detached, "no gradient reaches the hidden layer (detach on the way)"),
        Wrong(wrong_deltas_detached, "no gradient flows through the deltas (detach on the way)"),
        Wrong(wrong_a_hidden_layer_for_each_output, "each output has a hidden layer of its own, where they share one"),
        Wrong(wrong_two_logits_per_anchor, "there are two logits per anchor, where there should be one"),
        Wrong(wrong_no_bias, "the layers have no bias"),
        Wrong(wrong_sigmoid_between, "there is a sigmoid between the layers, where there should be a ReLU"),
        Wrong(wrong_skip_connection, "the input is added to the hidden layer"),
        Wrong(wrong_deltas_first, "the deltas come first, the logits second"),
        Wrong(wrong_levels_on_axis_0, "the levels are joined along axis 0, which is that of the images"),
        Wrong(wrong_two_hidden_layers, "there are two hidden layers, where there should be one"),
        Wrong(wrong_layers_for_the_first_level_only),
        Wrong(wrong_copied_to_the_cpu),
        Wrong(wrong_hidden_layer_as_torch_draws_it),
        Wrong(wrong_outputs_as_torch_draws_them),
        Wrong(with_start(lambda layer: nn.init.normal_(layer.weight, std=0.1))),
        Wrong(with_start(lambda layer: nn.init.normal_(layer.weight, mean=0.01, std=0.01))),
        Wrong(with_start(lambda layer: nn.init.uniform_(layer.weight, -0.01, 0.01))),
        Wrong(with_start(lambda layer: nn.init.uniform_(layer.weight, -(3**0.5) / 100, 3**0.5 / 100))),
        Wrong(with_start(lambda layer: nn.init.zeros_(layer.weight))),
    ),
    right=(right_with_views, right_matrix_products_at_each_cell),
)
