"""Exercise 3.1: add a coarse feature map to the next finer one."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from coursekit.detector.fpn import merge_top_down
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    def maps(fine, coarse, images=1):
        return [torch.randn(images, 3, *size, generator=generator) for size in (fine, coarse)]

    yield case("a map of zeros and a coarse map of one cell", torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1), 3.0))
    yield case("a map twice as large", torch.zeros(1, 1, 4, 4), torch.arange(4.0).reshape(1, 1, 2, 2))
    yield case("two random maps", *maps((4, 6), (2, 3)))
    yield case("an odd height: 5 rows and 3", *maps((5, 8), (3, 4)))
    yield case("an odd width: 7 columns and 4", *maps((6, 7), (3, 4)))
    yield case("two images and three channels", *maps((9, 5), (5, 3), images=2))


# Wrong answers


def wrong_doubles(fine, coarse):
    return fine + F.interpolate(coarse, scale_factor=2, mode="nearest")


def wrong_bilinear(fine, coarse):
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")


def wrong_multiplies(fine, coarse):
    return fine * F.interpolate(coarse, size=fine.shape[-2:])


def wrong_forgets_the_fine_map(fine, coarse):
    return F.interpolate(coarse, size=fine.shape[-2:])


def wrong_pools_the_fine_map(fine, coarse):
    return coarse + F.adaptive_max_pool2d(fine, coarse.shape[-2:])


def wrong_in_place(fine, coarse):
    fine += F.interpolate(coarse, size=fine.shape[-2:])
    return fine


def wrong_doubles_and_crops(fine, coarse):
    coarse = F.interpolate(coarse, scale_factor=2, mode="nearest")
    height, width = (min(fine.shape[side], coarse.shape[side]) // 2 * 2 for side in (2, 3))
    return fine[..., :height, :width] + coarse[..., :height, :width]


def wrong_concatenates(fine, coarse):
    return torch.cat([fine, F.interpolate(coarse, size=fine.shape[-2:])], 1)


def wrong_shrinks_the_fine_map(fine, coarse):
    return coarse + F.interpolate(fine, size=coarse.shape[-2:])


def wrong_swaps_height_and_width(fine, coarse):
    return fine + F.interpolate(coarse, size=(fine.shape[3], fine.shape[2]))


def wrong_adds_the_mean(fine, coarse):
    return fine + coarse.mean((2, 3), keepdim=True)


# Right answers


def right_by_index(fine, coarse):
    rows = torch.arange(fine.shape[2]) * coarse.shape[2] // fine.shape[2]
    columns = torch.arange(fine.shape[3]) * coarse.shape[3] // fine.shape[3]
    return fine + coarse[:, :, rows][:, :, :, columns]


def right_by_a_layer(fine, coarse):
    return torch.nn.Upsample(size=tuple(fine.shape[2:]))(coarse) + fine


EXERCISE = Exercise(
    "merge_top_down",
    lesson=3,
    minutes=15,
    reference=merge_top_down,
    cases=cases,
    hints=(
        "“It works until a height is odd.” For 5 rows and 3, twice 3 is 6. Which size must the result have, whatever the "
        "coarse map?",
        "“The values are nearly right.” Use the nearest neighbor: each cell is repeated, nothing is interpolated between them.",
        "“Which function?” torch.nn.functional.interpolate(coarse, size=…, mode='nearest') returns a map of any size. Add it "
        "to fine, and return a new tensor.",
    ),
    wrong=(
        Wrong(wrong_doubles, "scale_factor=2 is a row too large if the height of the fine map is odd"),
        Wrong(wrong_bilinear, "bilinear interpolation blends neighbors, but each cell should be repeated (nearest)"),
        Wrong(wrong_multiplies, "it multiplies the maps instead of adding them"),
        Wrong(wrong_forgets_the_fine_map, "the fine map is missing from the sum"),
        Wrong(wrong_pools_the_fine_map, "the fine map is downscaled, but the coarse one should be upscaled"),
        Wrong(wrong_in_place, "it adds in place (+=), which overwrites the backbone's map"),
        Wrong(wrong_doubles_and_crops),
        Wrong(wrong_concatenates),
        Wrong(wrong_shrinks_the_fine_map),
        Wrong(wrong_swaps_height_and_width),
        Wrong(wrong_adds_the_mean),
    ),
    right=(right_by_index, right_by_a_layer),
)
