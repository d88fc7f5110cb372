"""Exercise 11.4, `centerness`: how near a point is to the center of its box."""

from collections.abc import Iterator

import torch
from torch import Tensor

from coursekit.detector.one_stage import centerness
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.meta_device import anywhere, elsewhere


def ltrb(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("a point in the center", ltrb((3, 3, 3, 3)))
    yield case("a point in the center of a wide box", ltrb((8, 2, 8, 2)))
    yield case("a point a quarter of the width from the left", ltrb((1, 2, 3, 2)))
    yield case("a point a quarter of the height from the bottom", ltrb((4, 3, 4, 1)))
    yield case("a point near a corner", ltrb((0.1, 0.2, 3, 4)))
    yield case("four different distances", ltrb((1, 2, 4, 5), (4, 5, 1, 2), (5, 1, 2, 4)))
    yield case("no points", torch.empty(0, 4))
    yield case("one point without a list", ltrb((1, 2, 4, 5))[0])
    yield case("many points", 9 * torch.rand(20, 4, generator=generator) + 0.01)
    yield case("large distances", ltrb((400, 120, 90, 800)))
    several = 9 * torch.rand(2, 5, 4, generator=generator, dtype=torch.float64) + 0.01
    yield case("two images, float64", several)
    yield elsewhere(ltrb((1, 2, 4, 5)), what="distances")


def ratios(distances):
    """Return min / max of left and right, and of top and bottom."""
    left, top, right, bottom = distances.unbind(-1)
    across = torch.minimum(left, right) / torch.maximum(left, right)
    return across, torch.minimum(top, bottom) / torch.maximum(top, bottom)


def wrong_no_root(distances):
    across, down = ratios(distances)
    return across * down


def wrong_across_only(distances):
    return ratios(distances)[0].sqrt()


def wrong_down_only(distances):
    return ratios(distances)[1].sqrt()


def wrong_mean(distances):
    across, down = ratios(distances)
    return (across + down) / 2


def wrong_root_of_the_mean(distances):
    across, down = ratios(distances)
    return ((across + down) / 2).sqrt()


def wrong_root_of_one(distances):
    across, down = ratios(distances)
    return across * down.sqrt()


def wrong_smaller_ratio(distances):
    return torch.minimum(*ratios(distances)).sqrt()


def wrong_left_with_top(distances):
    first, second, third, fourth = distances.unbind(-1)
    across = torch.minimum(first, second) / torch.maximum(first, second)
    return (across * torch.minimum(third, fourth) / torch.maximum(third, fourth)).sqrt()


def wrong_left_with_bottom(distances):
    return centerness(distances[..., [0, 1, 3, 2]])


def wrong_all_four(distances):
    return (distances.amin(-1) / distances.amax(-1)).sqrt()


def wrong_left_over_right(distances):
    left, top, right, bottom = distances.unbind(-1)
    return (left / right * top / bottom).sqrt()


def wrong_max_over_min(distances):
    return 1 / centerness(distances)


def wrong_one_minus(distances):
    return 1 - centerness(distances)


def wrong_distance_from_the_center(distances):
    left, top, right, bottom = distances.unbind(-1)
    across, down = (left - right).abs() / (left + right), (top - bottom).abs() / (top + bottom)
    return ((1 - across) * (1 - down)).sqrt()


def wrong_gaussian(distances):
    left, top, right, bottom = distances.unbind(-1)
    across, down = (left - right) / (left + right), (top - bottom) / (top + bottom)
    return (-(across**2) - down**2).exp()


def wrong_keeps_the_axis(distances):
    return centerness(distances)[..., None]


def wrong_for_lists_only(distances):
    return centerness(distances[:, :])


def wrong_cube_root(distances):
    across, down = ratios(distances)
    return (across * down) ** (1 / 3)


def wrong_squared(distances):
    across, down = ratios(distances)
    return (across * down) ** 2


def wrong_ones_on_the_cpu(distances):
    across, down = ratios(distances)
    return (torch.ones(distances.shape[:-1], dtype=distances.dtype) * across * down).sqrt()


def wrong_always_float32(distances):
    return centerness(distances.float())


def wrong_in_place(distances):
    result = centerness(distances)
    distances /= distances.amax(-1, keepdim=True)
    return result


def right_with_amin(distances):
    horizontal, vertical = distances[..., 0::2], distances[..., 1::2]
    product = horizontal.amin(-1) * vertical.amin(-1)
    return torch.sqrt(product / (horizontal.amax(-1) * vertical.amax(-1)))


def right_two_roots(distances):
    left, top, right, bottom = distances[..., 0], distances[..., 1], distances[..., 2], distances[..., 3]
    horizontal = torch.where(left < right, left / right, right / left)
    vertical = torch.where(top < bottom, top / bottom, bottom / top)
    return horizontal**0.5 * vertical**0.5


EXERCISE = Exercise(
    "centerness",
    lesson=11,
    minutes=8,
    reference=centerness,
    cases=cases,
    call=anywhere,
    hints=(
        "“It isn't 1 in the center.” In the center, left equals right, and top equals bottom. So the smaller of a pair, divided "
        "by the larger, is 1 there. Which are the pairs, in the order left, top, right, bottom?",
        "“The numbers are too small.” It is the product of two ratios, and then the square root.",
        "“Nearly there.” left, top, right, bottom = distances.unbind(-1); torch.minimum(left, right) / torch.maximum(left, "
        "right), the same for top and bottom; multiply both, then .sqrt().",
    ),
    wrong=(
        Wrong(wrong_no_root, "there is no square root"),
        Wrong(wrong_across_only, "top and bottom are missing"),
        Wrong(wrong_down_only, "left and right are missing"),
        Wrong(wrong_mean, "it is the mean of the two ratios, not the root of their product"),
        Wrong(wrong_root_of_the_mean, "the two ratios are averaged, where they should be multiplied"),
        Wrong(wrong_root_of_one, "the square root is taken of one ratio only"),
        Wrong(wrong_smaller_ratio, "the smaller of the two ratios is taken, where they should be multiplied"),
        Wrong(
            wrong_left_with_top,
            "left is compared with top, and right with bottom: the order is left, top, right, bottom",
        ),
        Wrong(wrong_left_with_bottom, "left is compared with bottom: the order is left, top, right, bottom"),
        Wrong(
            wrong_all_four,
            "the smallest of all four distances is divided by the largest: in a wide box, the center isn't 1",
        ),
        Wrong(wrong_left_over_right, "it is left / right, without min and max: beyond the center, it exceeds 1"),
        Wrong(wrong_max_over_min, "it is max / min: far from the center, it grows"),
        Wrong(wrong_one_minus, "it is 0 in the center and 1 at the sides; it should be the other way around"),
        Wrong(wrong_distance_from_the_center, "it falls in a straight line from the center: the ratio is min / max"),
        Wrong(wrong_gaussian, "it is a bell curve around the center, which isn't 0 at the sides"),
        Wrong(wrong_keeps_the_axis, "the result has an extra last axis of 1"),
        Wrong(wrong_for_lists_only, "it assumes two dimensions: [:, …] where [..., …] is needed"),
        Wrong(wrong_cube_root),
        Wrong(wrong_squared, "the product is squared, where its square root is needed"),
        Wrong(wrong_ones_on_the_cpu),
        Wrong(wrong_always_float32, "the result is always float32"),
        Wrong(wrong_in_place, "an argument is overwritten"),
    ),
    right=(right_with_amin, right_two_roots),
)
