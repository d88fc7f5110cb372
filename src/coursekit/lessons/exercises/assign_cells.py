"""Exercise 11.1, `assign_cells`: which object each cell of the pyramid answers for."""

from collections.abc import Iterator

import torch
from torch import Tensor

from coursekit.detector.one_stage import assign_cells, cell_points
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

INF = float("inf")


def level(height: int, width: int, stride: int = 8, low: float = 0, high: float = INF) -> tuple[Tensor, Tensor, Tensor]:
    """Return points (N, 2), strides (N,) and ranges (N, 2) of one level."""
    points = cell_points((height, width), stride)
    limits = torch.tensor([low, high], dtype=torch.float32).repeat(len(points), 1)
    return points, torch.full((len(points),), float(stride)), limits


def levels(*each: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    points, strides, ranges = (torch.cat(parts) for parts in zip(*each, strict=True))
    return points, strides, ranges


def cases(generator: torch.Generator) -> Iterator[Case]:
    three = levels(level(15, 20, 8, 0, 32), level(8, 10, 16, 32, 64), level(4, 5, 32, 64))
    corner = xyxy((6, 6, 32, 26))  # the point (16, 16) is 10 px from its left side and 16 px from its right side
    yield case("a box around a single point", *level(3, 4), xyxy((5, 5, 11, 12)))
    yield case("a point on the side of a box", *level(4, 4), xyxy((8, 8, 20, 20)))
    yield case("a large box: only points near its center count", *level(8, 8), xyxy((2, 3, 58, 59)))
    yield case("points exactly 1.5 strides from the center", *level(6, 6), xyxy((1, 1, 39, 39)))
    yield case("a wide box", *level(6, 12), xyxy((2, 11, 90, 21)))
    yield case("a tall box", *level(12, 6), xyxy((11, 2, 21, 90)))
    yield case("a thin box with a point beside it", *level(6, 6), xyxy((18, 2, 22, 38)))
    yield case("no boxes", *level(3, 4), torch.empty(0, 4))
    yield case("a box of zeros, as in padding", *level(3, 4), xyxy((5, 5, 11, 12), (0, 0, 0, 0)))
    yield case("a largest distance of exactly the upper limit", *level(4, 5, high=16), corner)
    yield case("a largest distance of exactly the lower limit", *level(4, 5, low=16), corner)
    yield case("a largest distance above the upper limit", *level(4, 5, high=15), corner)
    yield case("two boxes, one in the other", *level(6, 6), xyxy((4, 4, 36, 36), (12, 12, 28, 28)))
    yield case("the same, the smaller one first", *level(6, 6), xyxy((12, 12, 28, 28), (4, 4, 36, 36)))
    yield case("two boxes of equal area", *level(4, 4), xyxy((10, 10, 22, 22), (11, 11, 23, 23)))
    flat = xyxy((12, 12, 28, 28), (1, 14, 45, 18))
    yield case("a square, and a flat box that is longer and has less area", *level(5, 7), flat)
    yield case("a tall box, and a square with more area", *level(6, 6), xyxy((12, 12, 36, 36), (18, 2, 30, 42)))
    low = xyxy((12, 12, 28, 28), (2, 2, 38, 38))
    yield case("a small box below the level's limits, in a larger one", *level(6, 6, low=14), low)
    side = xyxy((6, 12, 20, 20), (2, 2, 30, 30))
    yield case("a small box whose center is too far from a point inside both", *level(5, 5, 4), side)
    yield case("a box partly outside of the image", *level(3, 4), xyxy((-9, -6, 7, 9)))
    objects = xyxy((10, 10, 22, 21), (30, 5, 70, 60), (60, 20, 150, 110), (31, 30, 47, 44))
    yield case("three levels", *three, objects)
    order = torch.randperm(len(three[0]), generator=generator)
    yield case("three levels whose cells are shuffled", *(part[order] for part in three), objects)
    yield case("many boxes", *three, random_boxes(generator, 12, width=120))
    doubles = (part.double() for part in three)
    yield case("many boxes in float64", *doubles, random_boxes(generator, 9, torch.float64, width=120))
    yield on_a_gpu(*three, objects, what="cells and boxes")
    yield on_a_gpu(*level(3, 4), torch.empty(0, 4), what="cells")


# The right answer in steps. A wrong one changes one of them.


def distances_of(points, gt_boxes):
    """Return left, top, right, bottom of each point in each box: (N, G, 4)."""
    return torch.cat([points[:, None] - gt_boxes[:, :2], gt_boxes[:, 2:] - points[:, None]], dim=2)


def is_inside(points, gt_boxes):
    return distances_of(points, gt_boxes).amin(2) > 0


def is_central(points, strides, gt_boxes):
    centers = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
    return (points[:, None] - centers).abs().amax(2) < 1.5 * strides[:, None]


def is_of_level(points, ranges, gt_boxes):
    largest = distances_of(points, gt_boxes).amax(2)
    return (largest > ranges[:, :1]) & (largest < ranges[:, 1:])


def area_of(gt_boxes):
    return (gt_boxes[:, 2:] - gt_boxes[:, :2]).prod(1)


def least(fits, cost):
    """Return for each row the first column of those that fit with the least cost: (N, G) → (N,); -1 if none fits."""
    lowest, match = torch.where(fits, cost, torch.inf).min(1)
    return match.masked_fill(lowest.isinf(), -1)


def nothing(points):
    return torch.full((len(points),), -1, device=points.device)


def wrong_side_counts(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    inside = distances_of(points, gt_boxes).amin(2) >= 0
    fits = inside & is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return least(fits, area_of(gt_boxes))


def wrong_whole_box(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    return least(is_inside(points, gt_boxes) & is_of_level(points, ranges, gt_boxes), area_of(gt_boxes))


def wrong_outside_counts(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    fits = is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return least(fits, area_of(gt_boxes))


def wrong_no_ranges(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    return least(is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes), area_of(gt_boxes))


def wrong_radius_in_pixels(points, strides, ranges, gt_boxes):
    return assign_cells(points, torch.ones_like(strides), ranges, gt_boxes)


def wrong_one_stride(points, strides, ranges, gt_boxes):
    return assign_cells(points, strides / 1.5, ranges, gt_boxes)


def wrong_radius_inclusive(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    centers = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
    central = (points[:, None] - centers).abs().amax(2) <= 1.5 * strides[:, None]
    fits = central & is_inside(points, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return least(fits, area_of(gt_boxes))


def wrong_round_center(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    centers = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
    central = (points[:, None] - centers).square().sum(2).sqrt() < 1.5 * strides[:, None]
    fits = central & is_inside(points, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return least(fits, area_of(gt_boxes))


def wrong_near_in_one_direction(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    centers = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
    central = (points[:, None] - centers).abs().amin(2) < 1.5 * strides[:, None]
    fits = central & is_inside(points, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return least(fits, area_of(gt_boxes))


def wrong_limits_count(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    largest = distances_of(points, gt_boxes).amax(2)
    of_level = (largest >= ranges[:, :1]) & (largest <= ranges[:, 1:])
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & of_level
    return least(fits, area_of(gt_boxes))


def wrong_lower_limit_counts(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    largest = distances_of(points, gt_boxes).amax(2)
    of_level = (largest >= ranges[:, :1]) & (largest < ranges[:, 1:])
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & of_level
    return least(fits, area_of(gt_boxes))


def wrong_size_of_the_box(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    size = (gt_boxes[:, 2:] - gt_boxes[:, :2]).amax(1)
    of_level = (size > ranges[:, :1]) & (size < ranges[:, 1:])
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & of_level
    return least(fits, area_of(gt_boxes))


def wrong_smallest_distance(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    smallest = distances_of(points, gt_boxes).amin(2)
    of_level = (smallest > ranges[:, :1]) & (smallest < ranges[:, 1:])
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & of_level
    return least(fits, area_of(gt_boxes))


def wrong_limits_in_strides(points, strides, ranges, gt_boxes):
    return assign_cells(points, strides, ranges * strides[:, None], gt_boxes)


def wrong_largest_wins(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return least(fits, -area_of(gt_boxes))


def wrong_first_wins(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return fits.int().argmax(1).masked_fill(~fits.any(1), -1)


def wrong_last_wins(points, strides, ranges, gt_boxes):
    matches = nothing(points)
    for number in range(len(gt_boxes)):
        box = gt_boxes[number : number + 1]
        fits = is_inside(points, box) & is_central(points, strides, box) & is_of_level(points, ranges, box)
        matches[fits[:, 0]] = number
    return matches


def wrong_nearest_center_wins(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    centers = (gt_boxes[:, :2] + gt_boxes[:, 2:]) / 2
    return least(fits, (points[:, None] - centers).square().sum(2))


def wrong_shortest_wins(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    return least(fits, distances_of(points, gt_boxes).amax(2))


def wrong_last_of_equal_areas(points, strides, ranges, gt_boxes):
    matches = assign_cells(points, strides, ranges, gt_boxes.flip(0))
    return torch.where(matches >= 0, len(gt_boxes) - 1 - matches, matches)


def wrong_smallest_chosen_first(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    match = least(is_inside(points, gt_boxes), area_of(gt_boxes))
    fits = is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    is_kept = fits.gather(1, match.clamp(min=0)[:, None])[:, 0]
    return torch.where(is_kept, match, -1)


def wrong_one_cell_per_box(points, strides, ranges, gt_boxes):
    matches = assign_cells(points, strides, ranges, gt_boxes)
    kept = torch.full_like(matches, -1)
    for number in range(len(gt_boxes)):
        cells = torch.where(matches == number)[0]
        if len(cells):
            center = (gt_boxes[number, :2] + gt_boxes[number, 2:]) / 2
            kept[cells[(points[cells] - center).square().sum(1).argmin()]] = number
    return kept


def wrong_y_before_x(points, strides, ranges, gt_boxes):
    return assign_cells(points.flip(1), strides, ranges, gt_boxes)


def wrong_half_a_stride_further(points, strides, ranges, gt_boxes):
    return assign_cells(points + strides[:, None] / 2, strides, ranges, gt_boxes)


def wrong_stride_of_the_first_cell(points, strides, ranges, gt_boxes):
    return assign_cells(points, torch.full_like(strides, float(strides[0])), ranges, gt_boxes)


def wrong_limits_of_the_first_cell(points, strides, ranges, gt_boxes):
    return assign_cells(points, strides, ranges[:1].expand_as(ranges), gt_boxes)


def wrong_fails_without_boxes(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        raise IndexError("min(): Expected reduction dim 1 to have non-zero size.")
    return assign_cells(points, strides, ranges, gt_boxes)


def wrong_zeros_without_boxes(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return torch.zeros(len(points), dtype=torch.int64, device=points.device)
    return assign_cells(points, strides, ranges, gt_boxes)


def wrong_zero_for_background(points, strides, ranges, gt_boxes):
    return assign_cells(points, strides, ranges, gt_boxes).clamp(min=0)


def wrong_counts_from_one(points, strides, ranges, gt_boxes):
    return assign_cells(points, strides, ranges, gt_boxes) + 1


def wrong_floats(points, strides, ranges, gt_boxes):
    return assign_cells(points, strides, ranges, gt_boxes).float()


def wrong_boxes_for_positions(points, strides, ranges, gt_boxes):
    return gt_boxes[assign_cells(points, strides, ranges, gt_boxes).clamp(min=0)] if len(gt_boxes) else gt_boxes


def wrong_cells_for_boxes(points, strides, ranges, gt_boxes):
    matches = assign_cells(points, strides, ranges, gt_boxes)
    return [torch.where(matches == number)[0] for number in range(len(gt_boxes))]


def wrong_on_the_cpu(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return torch.full((len(points),), -1)
    return assign_cells(points, strides, ranges, gt_boxes)


def wrong_limit_of_area(points, strides, ranges, gt_boxes):
    if not len(gt_boxes):
        return nothing(points)
    fits = is_inside(points, gt_boxes) & is_central(points, strides, gt_boxes) & is_of_level(points, ranges, gt_boxes)
    area = torch.where(fits, area_of(gt_boxes), 1000.0)
    return torch.where(area.amin(1) < 1000, area.argmin(1), -1)


# Other right answers.


def right_box_by_box(points, strides, ranges, gt_boxes):
    matches = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    x, y = points.unbind(1)
    area_so_far = torch.full_like(x, torch.inf)
    for number, (x1, y1, x2, y2) in enumerate(gt_boxes):
        sides = torch.stack([x - x1, y - y1, x2 - x, y2 - y])
        fits = sides.amin(0) > 0
        fits &= ((x - (x1 + x2) / 2).abs() < 1.5 * strides) & ((y - (y1 + y2) / 2).abs() < 1.5 * strides)
        fits &= (sides.amax(0) > ranges[:, 0]) & (sides.amax(0) < ranges[:, 1])
        area = (x2 - x1) * (y2 - y1)
        fits &= area < area_so_far
        matches = torch.where(fits, number, matches)
        area_so_far = torch.where(fits, area, area_so_far)
    return matches


def right_smallest_painted_last(points, strides, ranges, gt_boxes):
    areas = (gt_boxes[:, 2] - gt_boxes[:, 0]) * (gt_boxes[:, 3] - gt_boxes[:, 1])
    order = areas.flip(0).argsort(descending=True, stable=True)  # of equal areas, the first comes last
    matches = points.new_full((len(points),), -1).long()
    for number in (len(areas) - 1 - order).tolist():
        top_left, bottom_right = gt_boxes[number, :2], gt_boxes[number, 2:]
        sides = torch.cat([points - top_left, bottom_right - points], 1)
        near = ((points - (top_left + bottom_right) / 2).abs() < 1.5 * strides[:, None]).all(1)
        longest = sides.max(1).values
        matches[(sides > 0).all(1) & near & (ranges[:, 0] < longest) & (longest < ranges[:, 1])] = number
    return matches


EXERCISE = Exercise(
    "assign_cells",
    lesson=11,
    minutes=25,
    reference=assign_cells,
    cases=cases,
    call=anywhere,
    hints=(
        "“Too many cells answer.” Take the questions one by one, each as a table of cells × boxes, (N, G): is the point inside? "
        "Is it near the center? Does the level suit the box? A cell may answer for a box only where all three are true.",
        "“The wrong box wins.” A small box that doesn't fit must not win. So first decide what fits, then compare areas only "
        "among those: put infinity where a box doesn't fit. Where everything is infinite, the answer is -1.",
        "“Nearly there.” distances = torch.cat([points[:, None] - gt_boxes[:, :2], gt_boxes[:, 2:] - points[:, None]], dim=2) is "
        "(N, G, 4). fits: distances.amin(2) > 0, (points[:, None] - centers).abs().amax(2) < 1.5 * strides[:, None], and "
        "distances.amax(2) between ranges[:, :1] and ranges[:, 1:]. Then torch.where(fits, areas, torch.inf).min(1).",
    ),
    wrong=(
        Wrong(wrong_side_counts, "a point on the side of a box counts as inside (>= instead of >)"),
        Wrong(wrong_whole_box, "there is no center sampling: every cell in a box answers for it"),
        Wrong(wrong_outside_counts, "points near the center count even outside of the box"),
        Wrong(wrong_no_ranges, "the limits of the levels are not used: each level answers for boxes of any size"),
        Wrong(wrong_radius_in_pixels, "the distance from the center is limited to 1.5 pixels, not 1.5 strides"),
        Wrong(wrong_one_stride, "the distance from the center is limited to one stride, not 1.5"),
        Wrong(wrong_radius_inclusive, "a point exactly 1.5 strides from the center counts (<= instead of <)"),
        Wrong(wrong_round_center, "the distance from the center is measured in a straight line, not in x and in y"),
        Wrong(wrong_near_in_one_direction, "a point near the center in x or in y counts, but it must be near in both"),
        Wrong(wrong_limits_count, "a distance of exactly a limit of the level counts (<= instead of <)"),
        Wrong(wrong_lower_limit_counts, "a distance of exactly the lower limit counts (>= instead of >)"),
        Wrong(wrong_size_of_the_box, "the limits are compared with the size of the box, not with the largest distance"),
        Wrong(wrong_smallest_distance, "the limits are compared with the smallest distance, not with the largest"),
        Wrong(wrong_limits_in_strides, "the limits are taken for strides, but they are pixels"),
        Wrong(wrong_largest_wins, "of several boxes the largest wins, not the smallest"),
        Wrong(wrong_first_wins, "of several boxes the first wins, whatever their areas"),
        Wrong(wrong_last_wins, "of several boxes the last wins, whatever their areas"),
        Wrong(wrong_nearest_center_wins, "of several boxes the one with the nearest center wins, not the smallest"),
        Wrong(wrong_shortest_wins, "of several boxes the one with the shortest distances wins, not the smallest area"),
        Wrong(wrong_last_of_equal_areas, "of two boxes of equal area the last wins, not the first"),
        Wrong(
            wrong_smallest_chosen_first,
            "the smallest box around a point is chosen first: if it doesn't fit, a larger one that does is lost",
        ),
        Wrong(wrong_one_cell_per_box, "only one cell answers for each box, the nearest to its center"),
        Wrong(wrong_y_before_x, "x and y of the points are swapped"),
        Wrong(wrong_half_a_stride_further, "the points are moved by half a stride: they are given as they should be"),
        Wrong(wrong_stride_of_the_first_cell),
        Wrong(wrong_limits_of_the_first_cell, "the limits of the first cell are used for all levels"),
        Wrong(wrong_fails_without_boxes, "it fails if an image has no box"),
        Wrong(wrong_zeros_without_boxes, "without boxes each cell answers for box 0, but it should be -1"),
        Wrong(wrong_zero_for_background, "cells without a box get 0, which is the first box: they should get -1"),
        Wrong(wrong_counts_from_one, "positions start at 1, but they should start at 0"),
        Wrong(wrong_floats, "the result holds floats, but positions are int64"),
        Wrong(wrong_boxes_for_positions, "the boxes are returned, not their positions"),
        Wrong(
            wrong_cells_for_boxes, "there is a list of cells for each box, where there should be a box for each cell"
        ),
        Wrong(wrong_on_the_cpu),
        Wrong(wrong_limit_of_area),
    ),
    right=(right_box_by_box, right_smallest_painted_last),
)
