"""Exercise 3.2: the feature pyramid network."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from coursekit.detector import fpn
from coursekit.detector.fpn import merge_top_down
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import module_anywhere, on_a_gpu


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
    yield on_a_gpu((3, 5), 4, maps((3, 5), 5, 4), what="the pyramid and its maps")


def call(answer, in_channels, out_channels, maps):
    """Return the levels of a pyramid whose weights depend on their shapes only.

    So it doesn't matter what an answer calls its layers, or in which order it makes them.
    """
    pyramid = answer(list(in_channels), out_channels)
    if not isinstance(pyramid, nn.Module):
        raise TypeError(f"FPN(…) should return an nn.Module, not a {type(pyramid).__name__}")
    if is_elsewhere((maps,)):
        return module_anywhere(pyramid, maps)
    shapes = sorted(tuple(parameter.shape) for parameter in pyramid.parameters())
    lateral, biases = [(out_channels, count, 1, 1) for count in in_channels], [(out_channels,)] * 2 * len(in_channels)
    result = {"weights and biases in parameters()": [str(list(shape)) for shape in shapes]}
    if shapes != sorted([*lateral, *biases, *[(out_channels, out_channels, 3, 3)] * len(in_channels)]):
        return result
    _set_weights(pyramid)
    given, maps = maps, [features.requires_grad_() for features in maps]
    levels = pyramid(given)
    if not isinstance(levels, list | tuple):
        raise TypeError(f"forward should return a list of levels, not a {type(levels).__name__}")
    exact = _right_pyramid(in_channels, out_channels, _merge_exact)(maps)
    if _is_same(levels, exact):  # "nearest-exact" is as good as "nearest"
        levels = _right_pyramid(in_channels, out_channels, merge_top_down)(maps)
        return result | _named(levels) | _reached(levels, maps) | {UNTRAINED: _untrained(pyramid, pyramid(maps))}
    return result | _named(levels) | _reached(levels, maps) | {UNTRAINED: _untrained(pyramid, levels)}


UNTRAINED = "weights and biases that no gradient reaches"


def _set_weights(pyramid):
    with torch.no_grad():
        for parameter in pyramid.parameters():
            generator = torch.Generator().manual_seed(sum(parameter.shape))
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)


def _right_pyramid(in_channels, out_channels, merge):
    pyramid = _Right(list(in_channels), out_channels)  # not the reference: grading counts its uses
    pyramid.merge = merge
    _set_weights(pyramid)
    return pyramid


def _merge_exact(fine, coarse):
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest-exact")


def _is_same(levels, others):
    return len(levels) == len(others) and all(
        isinstance(level, torch.Tensor) and level.shape == other.shape and torch.allclose(level, other, atol=1e-4)
        for level, other in zip(levels, others, strict=True)
    )


def _named(levels):
    return {f"level {n} of {len(levels)}, finest first": level for n, level in enumerate(levels)}


def _reached(levels, maps):
    return gradients(list(levels), {f"map {n}": features for n, features in enumerate(maps)})


def _untrained(pyramid, levels):
    """Return the shapes of the parameters that no gradient reaches."""
    reached = gradients(list(levels), dict(pyramid.named_parameters()))
    shapes = [
        parameter.shape
        for parameter, found in zip(pyramid.parameters(), reached.values(), strict=True)
        if isinstance(found, str)
    ]
    return [str(list(shape)) for shape in shapes]


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


class wrong_smooths_all_but_the_coarsest_before_it_merges(_Right):
    def forward(self, maps):
        levels = self.flat(maps)
        return self.merged([*self.smoothed(levels)[:-1], levels[-1]])


class wrong_smooths_the_finer_ones_before_and_the_coarsest_after(_Right):
    def forward(self, maps):
        levels = self.flat(maps)
        merged = self.merged([*self.smoothed(levels)[:-1], levels[-1]])
        return [*merged[:-1], self.smooth[-1](merged[-1])]


class wrong_smooths_what_it_passes_down(_Right):
    def merged(self, levels):
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = self.merge(levels[fine], self.smooth[fine + 1](levels[fine + 1]))
        return levels

    def smoothed(self, levels):
        return levels


class wrong_smooths_what_it_passes_down_and_the_finest(wrong_smooths_what_it_passes_down):
    def smoothed(self, levels):
        return [self.smooth[0](levels[0]), *levels[1:]]


class wrong_smooths_what_it_passes_down_with_the_finer_layer(wrong_smooths_what_it_passes_down):
    def merged(self, levels):
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = self.merge(levels[fine], self.smooth[fine](levels[fine + 1]))
        return levels


class wrong_smooths_what_it_enlarged(wrong_smooths_what_it_passes_down):
    def merged(self, levels):
        for fine in reversed(range(len(levels) - 1)):
            levels[fine] = levels[fine] + self.smooth[fine](self.merge(0 * levels[fine], levels[fine + 1]))
        return levels


class wrong_smooths_before_and_after(_Right):
    def forward(self, maps):
        return self.smoothed(self.merged(self.smoothed(self.flat(maps))))


class wrong_zeros_on_the_cpu(_Right):
    def merged(self, levels):
        above = torch.zeros(levels[-1].shape)
        for fine in reversed(range(len(levels))):
            above = levels[fine] = self.merge(levels[fine], above)
        return levels


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


class wrong_one_smoothing_used(_Right):
    def smoothed(self, levels):
        return [self.smooth[0](level) for level in levels]


class wrong_one_smoothing_after_another(_Right):
    def smoothed(self, levels):
        for smooth in self.smooth:
            levels = [smooth(level) for level in levels]
        return levels


class wrong_detaches_what_comes_from_above(_Right):
    def merge(self, fine, coarse):
        return super().merge(fine, coarse.detach())


class wrong_detaches_the_maps(_Right):
    def flat(self, maps):
        return super().flat([features.detach() for features in maps])


class wrong_without_gradients(_Right):
    def forward(self, maps):
        with torch.no_grad():
            return super().forward(maps)


class wrong_laterals_without_gradients(_Right):
    def flat(self, maps):
        with torch.no_grad():
            return super().flat(maps)


class wrong_detached_levels(_Right):
    def smoothed(self, levels):
        return [level.detach() for level in super().smoothed(levels)]


class wrong_adds_the_coarsest_to_all(_Right):
    def merged(self, levels):
        return [self.merge(level, levels[-1]) for level in levels[:-1]] + levels[-1:]


class wrong_coarsest_not_smoothed(_Right):
    def smoothed(self, levels):
        return [*super().smoothed(levels)[:-1], levels[-1]]


class wrong_relu_after_the_laterals(_Right):
    def flat(self, maps):
        return [level.relu() for level in super().flat(maps)]


class wrong_bilinear(_Right):
    def merge(self, fine, coarse):
        return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")


class wrong_mean(_Right):
    def merge(self, fine, coarse):
        return super().merge(fine, coarse) / 2


class wrong_finest_only(_Right):
    def forward(self, maps):
        return super().forward(maps)[0]


class wrong_no_lateral_bias(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels, out_channels)
        for layer in self.lateral:
            layer.bias = None


class wrong_batch_norm(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels, out_channels)
        self.norm = nn.BatchNorm2d(out_channels)


class wrong_always_96_channels(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels)


class wrong_dict_of_levels(_Right):
    def forward(self, maps):
        return {f"p{n}": level for n, level in enumerate(super().forward(maps))}


class wrong_in_place_of_the_maps(_Right):
    def forward(self, maps):
        maps[:] = super().forward(maps)
        return maps


class wrong_frozen(_Right):
    def __init__(self, in_channels, out_channels=96):
        super().__init__(in_channels, out_channels)
        self.requires_grad_(False)


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


class right_exact(_Right):
    def merge(self, fine, coarse):
        return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest-exact")


class right_by_name(nn.Module):
    def __init__(self, in_channels, out_channels=96):
        super().__init__()
        for n, channels in enumerate(in_channels):
            self.add_module(f"smooth{n}", nn.Conv2d(out_channels, out_channels, kernel_size=3, stride=1, padding=1))
            self.add_module(f"lateral{n}", nn.Conv2d(channels, out_channels, kernel_size=1))

    def forward(self, maps):
        levels = [getattr(self, f"lateral{len(maps) - 1}")(maps[-1])]
        for n in range(len(maps) - 2, -1, -1):
            height, width = maps[n].shape[2:]
            above = levels[0].repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
            levels = [getattr(self, f"lateral{n}")(maps[n]) + above, *levels]
        return [getattr(self, f"smooth{n}")(level) for n, level in enumerate(levels)]


SMOOTHED_FIRST = "levels are smoothed before merging, but the 3 × 3 convolutions come last"
SMOOTHED_ON_THE_WAY = "what is passed down is smoothed, not the levels: first merge all, then smooth each"

EXERCISE = Exercise(
    "FPN",
    lesson=3,
    minutes=30,
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
        Wrong(wrong_smooths_before_it_merges, SMOOTHED_FIRST),
        Wrong(wrong_smooths_the_finer_ones_before_and_the_coarsest_after, SMOOTHED_FIRST),
        Wrong(wrong_smooths_what_it_passes_down_and_the_finest, SMOOTHED_ON_THE_WAY),
        Wrong(
            wrong_smooths_all_but_the_coarsest_before_it_merges,
            "levels are smoothed before merging, but the 3 × 3 convolutions come last",
        ),
        Wrong(wrong_smooths_what_it_passes_down, SMOOTHED_ON_THE_WAY),
        Wrong(wrong_smooths_what_it_enlarged, SMOOTHED_ON_THE_WAY),
        Wrong(wrong_smooths_what_it_passes_down_with_the_finer_layer, SMOOTHED_ON_THE_WAY),
        Wrong(
            wrong_smooths_before_and_after, "levels are smoothed twice, before and after merging: only after is right"
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
        Wrong(
            wrong_passes_smoothed_levels_down,
            "a level gets the smoothed level above it, but smoothing comes after merging",
        ),
        Wrong(wrong_no_padding, "the 3 × 3 convolutions have no padding"),
        Wrong(wrong_lateral_of_three_by_three, "the lateral convolutions are 3 × 3, not 1 × 1"),
        Wrong(wrong_scale_factor_two, "scale_factor=2 is a row too large if the height of a map is odd"),
        Wrong(wrong_one_smoothing_used, "one 3 × 3 convolution smooths all levels, and the others are never used"),
        Wrong(
            wrong_one_smoothing_after_another, "all 3 × 3 convolutions smooth each level, but each level has its own"
        ),
        Wrong(
            wrong_detaches_what_comes_from_above,
            "no gradient reaches the coarse maps from the fine levels: the top-down path is detached",
        ),
        Wrong(
            wrong_detaches_the_maps, "no gradient reaches the maps, so the backbone isn't trained: they are detached"
        ),
        Wrong(wrong_without_gradients, "no gradient reaches anything: no_grad or detach cuts training off"),
        Wrong(
            wrong_laterals_without_gradients,
            "no gradient reaches the 1 × 1 convolutions and the maps: no_grad or detach cuts training off",
        ),
        Wrong(wrong_detached_levels),
        Wrong(wrong_zeros_on_the_cpu),
        Wrong(wrong_adds_the_coarsest_to_all, "each level adds the coarsest map directly, not what is merged above it"),
        Wrong(wrong_coarsest_not_smoothed, "the coarsest level is not smoothed"),
        Wrong(wrong_relu_after_the_laterals, "there is a ReLU after the 1 × 1 convolutions, but a pyramid is linear"),
        Wrong(wrong_bilinear, "bilinear interpolation blends neighbors, but each cell should be repeated (nearest)"),
        Wrong(wrong_mean, "it takes the mean of two maps, not their sum"),
        Wrong(wrong_finest_only),
        Wrong(wrong_no_lateral_bias, "some of the convolutions have no bias"),
        Wrong(wrong_batch_norm, "there is a layer too many, such as a batch norm: the shapes of the weights differ"),
        Wrong(wrong_always_96_channels, "out_channels is not used: there are always 96 channels"),
        Wrong(wrong_dict_of_levels),
        Wrong(wrong_in_place_of_the_maps),
        Wrong(wrong_frozen, "the weights are frozen: requires_grad is False"),
    ),
    right=(right_one_level_at_a_time, right_as_a_tuple, right_exact, right_by_name),
    library=("torchvision.ops.FeaturePyramidNetwork",),
    tolerance=1e-4,
)
