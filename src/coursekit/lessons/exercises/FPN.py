"""Exercise 3.2: the feature pyramid network."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from coursekit.detector import fpn
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    def maps(channels, height, width, images=1):
        drawn = []
        for count in channels:
            drawn.append(torch.randn(images, count, height, width, generator=generator))
            height, width = -(-height // 2), -(-width // 2)
        return drawn

    yield case("one level", (5,), 4, maps((5,), 4, 4))
    yield case("two levels", (3, 5), 4, maps((3, 5), 4, 4))
    yield case("three levels", (3, 5, 7), 4, maps((3, 5, 7), 8, 12))
    yield case("four levels of odd sizes, two images", (3, 5, 7, 9), 6, maps((3, 5, 7, 9), 27, 37, images=2))


def call(answer, in_channels, out_channels, maps):
    """Return the levels of a pyramid whose weights depend on their shapes only.

    So it doesn't matter what an answer calls its layers, or in which order it makes them.
    """
    pyramid = answer(list(in_channels), out_channels)
    if not isinstance(pyramid, nn.Module):
        raise TypeError(f"FPN(…) should return an nn.Module, not a {type(pyramid).__name__}")
    shapes = sorted(tuple(parameter.shape) for parameter in pyramid.parameters())
    lateral, biases = [(out_channels, count, 1, 1) for count in in_channels], [(out_channels,)] * 2 * len(in_channels)
    result = {"weights and biases in parameters()": [str(list(shape)) for shape in shapes]}
    if shapes != sorted([*lateral, *biases, *[(out_channels, out_channels, 3, 3)] * len(in_channels)]):
        return result
    with torch.no_grad():
        for parameter in pyramid.parameters():
            generator = torch.Generator().manual_seed(sum(parameter.shape))
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    levels = pyramid(maps)
    if not isinstance(levels, list | tuple):
        raise TypeError(f"forward should return a list of levels, not a {type(levels).__name__}")
    return result | {f"level {n} of {len(levels)}, finest first": level for n, level in enumerate(levels)}


# Wrong answers


class _Right(nn.Module):
    """A right answer in pieces, so that each wrong one changes a piece."""

    padding = 1

    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, out_channels, 1) for count in in_channels)
        self.smooth = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=self.padding) for _ in in_channels)

    def forward(self, maps):
        return self.smoothed(self.merged(self.flat(maps)))

    def flat(self, maps):
        return [lateral(features) for lateral, features in zip(self.lateral, maps)]

    def merged(self, levels):
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = self.merge(levels[fine], levels[fine + 1])
        return levels

    def merge(self, fine, coarse):
        return fine + F.interpolate(coarse, size=fine.shape[-2:])

    def smoothed(self, levels):
        return [smooth(level) for smooth, level in zip(self.smooth, levels)]


class wrong_no_top_down(_Right):
    def merged(self, levels):
        return levels


class wrong_not_smoothed(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels, out_channels)
        self.smooth = nn.ModuleList(nn.Identity() for _ in in_channels)


class wrong_smooths_before_it_merges(_Right):
    def forward(self, maps):
        return self.merged(self.smoothed(self.flat(maps)))


class wrong_adds_the_neighbor_before_it_is_merged(_Right):
    def merged(self, levels):
        for fine in range(len(levels) - 1):  # from the finest on: levels[fine + 1] is not merged yet
            levels[fine] = self.merge(levels[fine], levels[fine + 1])
        return levels


class wrong_passes_smoothed_levels_down(_Right):
    def merged(self, levels):
        smoothed = self.smooth[-1](levels[-1])
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = self.merge(levels[fine], smoothed)
            smoothed = self.smooth[fine](levels[fine])
        return levels


class wrong_coarsest_first(_Right):
    def forward(self, maps):
        return super().forward(maps)[::-1]


class wrong_relu_at_the_end(_Right):
    def forward(self, maps):
        return [level.relu() for level in super().forward(maps)]


class wrong_bottom_up(_Right):
    def merged(self, levels):
        for coarse in range(1, len(levels)):
            levels[coarse] = levels[coarse] + F.adaptive_max_pool2d(levels[coarse - 1], levels[coarse].shape[-2:])
        return levels


class wrong_one_smoothing_for_all(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels, out_channels)
        self.smooth = nn.ModuleList([self.smooth[0]] * len(in_channels))


class wrong_no_bias(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels, out_channels)
        for layer in (*self.lateral, *self.smooth):
            layer.bias = None


class wrong_layers_in_a_plain_list(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.layers = [_Right(in_channels, out_channels)]

    def forward(self, maps):
        return self.layers[0](maps)


class wrong_no_padding(_Right):
    padding = 0


class wrong_lateral_of_three_by_three(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels, out_channels)
        self.lateral = nn.ModuleList(nn.Conv2d(count, out_channels, 3, padding=1) for count in in_channels)


class wrong_scale_factor_two(_Right):
    def merge(self, fine, coarse):
        return fine + F.interpolate(coarse, scale_factor=2)


# Right answers


class right_one_level_at_a_time(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.levels = nn.ModuleList(
            nn.ModuleDict(
                {"in": nn.Conv2d(count, out_channels, 1), "out": nn.Conv2d(out_channels, out_channels, 3, 1, 1)}
            )
            for count in in_channels
        )

    def forward(self, maps):
        above, outputs = None, []
        for level, features in zip(reversed(self.levels), reversed(maps)):
            here = level["in"](features)
            above = here if above is None else here + F.interpolate(above, size=here.shape[-2:], mode="nearest")
            outputs.insert(0, level["out"](above))
        return outputs


class right_as_a_tuple(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        self.smooth = nn.ModuleList([nn.Conv2d(out_channels, out_channels, 3, padding="same") for _ in in_channels])
        self.lateral = nn.ModuleList([nn.Conv2d(count, out_channels, 1) for count in in_channels])

    def forward(self, maps):
        def merged(i):
            here = self.lateral[i](maps[i])
            return here if i + 1 == len(maps) else here + F.interpolate(merged(i + 1), size=here.shape[-2:])

        return tuple(smooth(merged(i)) for i, smooth in enumerate(self.smooth))


EXERCISE = Exercise(
    "FPN",
    lesson=3,
    minutes=20,
    regions=2,
    reference=fpn.FPN,
    cases=cases,
    call=call,
    hints=(
        "“The finest level doesn't change with the coarsest map.” Going from the top down, each level adds what is *already "
        "merged* above it. In which direction must the loop run?",
        "“The weights have other shapes.” You need two lists of layers: for each map a 1 × 1 convolution from its channels to "
        "out_channels, and for each level a 3 × 3 convolution with padding=1 from out_channels to out_channels. All have a "
        "bias. Use nn.ModuleList: a plain list hides the layers from the optimizer.",
        "“Nearly there.” merged = [lateral(features) for lateral, features in zip(…)]; for fine in reversed(range(len(merged) "
        "- 1)): merged[fine] = merge_top_down(merged[fine], merged[fine + 1]). Only then smooth each level. Finest first.",
    ),
    wrong=(
        Wrong(wrong_no_top_down, "there is no top-down path: each level sees only its own map"),
        Wrong(wrong_not_smoothed, "the levels are not smoothed: the 3 × 3 convolutions are missing"),
        Wrong(
            wrong_smooths_before_it_merges, "levels are smoothed before merging, but the 3 × 3 convolutions come last"
        ),
        Wrong(
            wrong_adds_the_neighbor_before_it_is_merged,
            "each level adds its neighbor before that one was merged: the loop must run from the top down",
        ),
        Wrong(wrong_coarsest_first, "the levels are returned coarsest first"),
        Wrong(wrong_relu_at_the_end, "there is a ReLU at the end, but a pyramid is linear"),
        Wrong(wrong_bottom_up, "it merges from the bottom up"),
        Wrong(wrong_one_smoothing_for_all, "all levels share one 3 × 3 convolution"),
        Wrong(wrong_no_bias, "the convolutions have no bias"),
        Wrong(wrong_layers_in_a_plain_list, "the layers are in a plain list, where the optimizer doesn't find them"),
        Wrong(wrong_passes_smoothed_levels_down),
        Wrong(wrong_no_padding),
        Wrong(wrong_lateral_of_three_by_three),
        Wrong(wrong_scale_factor_two),
    ),
    right=(right_one_level_at_a_time, right_as_a_tuple),
    library=("torchvision.ops.FeaturePyramidNetwork",),
    tolerance=1e-4,
)
