"""Exercise 3.1: add a coarse feature map to the next finer one."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from coursekit.detector.fpn import merge_top_down
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients, is_trained, trained
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    def maps(fine, coarse, images=1):
        return [torch.randn(images, 3, *size, generator=generator) for size in (fine, coarse)]

    yield case("a map of zeros and a coarse map of one cell", torch.zeros(1, 1, 2, 2), torch.full((1, 1, 1, 1), 3.0))
    yield case("a map twice as large", torch.zeros(1, 1, 4, 4), torch.arange(4.0).reshape(1, 1, 2, 2))
    yield case("two random maps", *maps((4, 6), (2, 3)))
    yield case("an odd height: 5 rows and 3", *maps((5, 8), (3, 4)))
    yield case("an odd width: 7 columns and 4", *maps((6, 7), (3, 4)))
    yield case("two images and three channels", *maps((9, 5), (5, 3), images=2))
    yield case("float64", *(level.double() for level in maps((4, 6), (2, 3))))
    yield case(
        "a fine map that is not contiguous", torch.randn(1, 3, 6, 4, generator=generator).mT, *maps((4, 6), (2, 3))[1:]
    )
    yield trained("two maps of a network that is trained", *maps((4, 6), (2, 3)))
    yield on_a_gpu(*maps((5, 8), (3, 4)), what="maps")


def call(answer, fine, coarse):
    """Return the sum of the maps; where training goes through them, their gradients too.

    For odd sizes, torch has two nearest neighbors, "nearest" and "nearest-exact". Both are right.
    """
    if is_trained([fine, coarse]):
        result = answer(fine, coarse)
        return {"sum": result} | gradients(result, {"fine": fine, "coarse": coarse})
    exact = anywhere(_exact, fine, coarse)
    expected = anywhere(merge_top_down, fine, coarse)
    result = anywhere(answer, fine, coarse)
    return expected if _is_same(result, exact) else result


def _exact(fine, coarse):
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest-exact")


def _is_same(result, other):
    return (
        isinstance(result, torch.Tensor)
        and result.dtype == other.dtype
        and result.shape == other.shape
        and (torch.allclose(result, other))
    )


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


def wrong_detached(fine, coarse):
    return fine + F.interpolate(coarse.detach(), size=fine.shape[-2:])


def wrong_detached_fine(fine, coarse):
    return fine.detach() + F.interpolate(coarse, size=fine.shape[-2:])


def wrong_without_gradients(fine, coarse):
    with torch.no_grad():
        return fine + F.interpolate(coarse, size=fine.shape[-2:])


def wrong_data(fine, coarse):
    return fine.data + F.interpolate(coarse.data, size=fine.shape[-2:])


def wrong_mean_of_both(fine, coarse):
    return (fine + F.interpolate(coarse, size=fine.shape[-2:])) / 2


def wrong_larger_of_both(fine, coarse):
    return torch.maximum(fine, F.interpolate(coarse, size=fine.shape[-2:]))


def wrong_forgets_to_add(fine, coarse):
    F.interpolate(coarse, size=fine.shape[-2:]) + fine
    return fine


def wrong_aligned_corners(fine, coarse):
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=True)


def wrong_bicubic(fine, coarse):
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bicubic")


def wrong_tiled(fine, coarse):
    height, width = fine.shape[-2:]
    return fine + coarse.repeat(1, 1, 2, 2)[..., :height, :width]


def wrong_padded(fine, coarse):
    height, width = (fine.shape[side] - coarse.shape[side] for side in (2, 3))
    return fine + F.pad(coarse, (0, width, 0, height))


def wrong_transposed_convolution(fine, coarse):
    return fine + F.conv_transpose2d(coarse, torch.ones(coarse.shape[1], 1, 2, 2), stride=2, groups=coarse.shape[1])


def wrong_relu(fine, coarse):
    return (fine + F.interpolate(coarse, size=fine.shape[-2:])).relu()


def wrong_always_float32(fine, coarse):
    return (fine + F.interpolate(coarse, size=fine.shape[-2:])).float()


def wrong_made_on_the_cpu(fine, coarse):
    upsampled = torch.zeros(fine.shape, dtype=fine.dtype)
    rows, columns = torch.arange(fine.shape[2]) // 2, torch.arange(fine.shape[3]) // 2
    upsampled[:] = coarse[:, :, rows][:, :, :, columns]
    return fine + upsampled


def wrong_area(fine, coarse):
    return fine + F.adaptive_avg_pool2d(coarse, fine.shape[-2:])


def wrong_subtracts(fine, coarse):
    return fine - F.interpolate(coarse, size=fine.shape[-2:])


# Right answers


def right_by_index(fine, coarse):
    rows = torch.arange(fine.shape[2]) * coarse.shape[2] // fine.shape[2]
    columns = torch.arange(fine.shape[3]) * coarse.shape[3] // fine.shape[3]
    return fine + coarse[:, :, rows][:, :, :, columns]


def right_by_a_layer(fine, coarse):
    return torch.nn.Upsample(size=tuple(fine.shape[2:]))(coarse) + fine


def right_exact(fine, coarse):
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest-exact")


def right_by_repeating(fine, coarse):
    height, width = fine.shape[-2:]
    return coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)[..., :height, :width] + fine


EXERCISE = Exercise(
    "merge_top_down",
    lesson=3,
    minutes=15,
    reference=merge_top_down,
    cases=cases,
    call=call,
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
        Wrong(wrong_doubles_and_crops, "the fine map is cropped, but the result should have its size"),
        Wrong(wrong_concatenates, "it joins the channels instead of adding the maps"),
        Wrong(wrong_shrinks_the_fine_map, "the fine map is downscaled, but the coarse one should be upscaled"),
        Wrong(
            wrong_swaps_height_and_width, "the size is not the (height, width) of the fine map, unless that is a square"
        ),
        Wrong(wrong_adds_the_mean, "it adds the mean of the coarse map, the same number everywhere"),
        Wrong(
            wrong_detached,
            "no gradient reaches the coarse map: it is detached, so coarse levels learn nothing from fine ones",
        ),
        Wrong(wrong_detached_fine, "no gradient reaches the fine map: it is detached"),
        Wrong(wrong_without_gradients, "no gradient reaches the maps: no_grad, detach or .data cuts training off"),
        Wrong(wrong_data),
        Wrong(wrong_mean_of_both, "it returns the mean of both maps, not their sum"),
        Wrong(wrong_larger_of_both, "it returns the larger of both maps, not their sum"),
        Wrong(wrong_forgets_to_add, "the fine map is returned unchanged: the sum is a new tensor"),
        Wrong(
            wrong_aligned_corners, "bilinear interpolation blends neighbors, but each cell should be repeated (nearest)"
        ),
        Wrong(wrong_bicubic, "bicubic interpolation blends neighbors, but each cell should be repeated (nearest)"),
        Wrong(wrong_tiled, "the whole map is repeated (repeat), not each cell (repeat_interleave)"),
        Wrong(wrong_padded, "the coarse map is padded with zeros, not upsampled"),
        Wrong(wrong_transposed_convolution),
        Wrong(wrong_relu, "there is a ReLU, but a pyramid is linear"),
        Wrong(wrong_always_float32, "the result is always float32"),
        Wrong(wrong_made_on_the_cpu),
        Wrong(wrong_area, "for odd sizes, neighbors are averaged (area), but each cell should be repeated (nearest)"),
        Wrong(wrong_subtracts, "it subtracts the coarse map"),
    ),
    right=(right_by_index, right_by_a_layer, right_exact, right_by_repeating),
)
