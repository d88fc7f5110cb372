"""Exercise 6.3, `roi_align`: cut a patch out of a feature map for each box, by two matrix products."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from coursekit.detector import axis_weights, roi_align
from coursekit.detector.roi import fastest_roi_align
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import coordinates, xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    where = "cells that hold their own row and column"
    yield case(f"{where}, one bin", coordinates(5, 8), xyxy((8, 16, 40, 24)), 1 / 8, 1, 1)
    yield case(f"{where}, two bins", coordinates(5, 8), xyxy((8, 16, 40, 24)), 1 / 8, 2, 1)
    yield case(f"{where}, a square map", coordinates(6, 6), xyxy((8, 16, 40, 24)), 1 / 8, 2, 1)
    yield case(f"{where}, a scale of 1", coordinates(6, 9), xyxy((1, 2, 7, 4)), 1.0, 2, 2)
    yield case(f"{where}, a box between cells", coordinates(7, 9), xyxy((13, 9, 41, 30)), 1 / 8, 2, 2)
    yield case(f"{where}, two boxes", coordinates(9, 7), xyxy((16, 0, 32, 48), (0, 8, 48, 16)), 1 / 8, 2, 1)
    yield case(f"{where}, a box half outside", coordinates(4, 6), xyxy((-32, 8, 32, 72)), 1 / 8, 2, 2)
    yield case(f"{where}, a small box", coordinates(4, 6), xyxy((9, 9, 11, 12)), 1 / 8, 2, 2)
    yield case("no box", coordinates(4, 6), torch.empty(0, 4), 1 / 8, 2, 1)
    features = torch.randn(5, 14, 19, generator=generator)
    yield case("five channels, six boxes, 7 bins", features, random_boxes(generator, 6), 1 / 8)
    yield case("stride 16, 5 bins with 3 samples", features, random_boxes(generator, 4, width=200), 1 / 16, 5, 3)
    yield case("float64", features.double(), random_boxes(generator, 3, torch.float64), 1 / 8, 3, 2)
    yield case("features in float64, boxes in float32", coordinates(5, 8).double(), xyxy((8, 16, 40, 24)), 1 / 8, 2, 1)
    channels_last = torch.randn(6, 9, 3, generator=generator).permute(2, 0, 1)
    yield case(
        "features with channels last in memory", channels_last, xyxy((8, 16, 40, 24), (0, 0, 70, 40)), 1 / 8, 3, 2
    )
    needs_gradient = coordinates(4, 6).requires_grad_()
    yield case("features that need a gradient", needs_gradient, xyxy((9, 4, 40, 20), (0, 8, 8, 30)), 1 / 8, 2, 2)
    yield on_a_gpu(coordinates(4, 6), xyxy((9, 4, 40, 20)), 1 / 8, 2, 2, what="features and boxes")


def call(answer: Answer, features: Tensor, boxes: Tensor, spatial_scale: float, *more: int) -> Any:
    """Return the patches; if the features need a gradient, that too."""
    patches = anywhere(answer, features, boxes, spatial_scale, *more)
    if not features.requires_grad or not isinstance(patches, Tensor):
        return patches
    return {"patches": patches, **gradients(patches, {"the features": features})}


def weights_of(features, boxes, output_size, sampling_ratio):
    """Return the weights along y and along x, for boxes in cells."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio).to(features.dtype)
    return a_y, a_x


def wrong_transposes_each_patch(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    a_y, a_x = weights_of(features, boxes * spatial_scale, output_size, sampling_ratio)
    return torch.einsum("rph,chw,rqw->rcqp", a_y, features, a_x)


def wrong_unpacks_y_first(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    a_y, a_x = weights_of(features, boxes[:, [1, 0, 3, 2]] * spatial_scale, output_size, sampling_ratio)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def wrong_width_for_height(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    a_y, a_x = weights_of(features.transpose(1, 2), boxes * spatial_scale, output_size, sampling_ratio)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def wrong_leaves_the_scale_out(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    a_y, a_x = weights_of(features, boxes, output_size, sampling_ratio)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def wrong_divides_by_the_scale(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, 1 / spatial_scale, output_size, sampling_ratio)


def wrong_rounds_to_cells(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, (boxes * spatial_scale).round(), 1.0, output_size, sampling_ratio)


def wrong_always_7_and_2(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, spatial_scale)


def wrong_always_2_samples(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, spatial_scale, output_size)


def wrong_aligned(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes - 0.5 / spatial_scale, spatial_scale, output_size, sampling_ratio)


def wrong_channels_last(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, spatial_scale, output_size, sampling_ratio).permute(0, 2, 3, 1)


def wrong_scales_in_place(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    boxes *= spatial_scale
    return roi_align(features, boxes, 1.0, output_size, sampling_ratio)


def wrong_needs_one_dtype(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    if features.dtype != boxes.dtype:
        raise RuntimeError("expected scalar type Float but found Double")
    return roi_align(features, boxes, spatial_scale, output_size, sampling_ratio)


def wrong_crops_whole_cells(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    patches = []
    for x1, y1, x2, y2 in (boxes * spatial_scale).round().long().clamp(min=0).tolist():
        crop = features[:, y1 : y2 + 1, x1 : x2 + 1]
        patches.append(F.adaptive_max_pool2d(crop, output_size))
    return torch.stack(patches)


def wrong_detached(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features.detach(), boxes, spatial_scale, output_size, sampling_ratio)


def wrong_rounds_down(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, (boxes * spatial_scale).floor(), 1.0, output_size, sampling_ratio)


def wrong_bins_swapped_with_boxes(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, spatial_scale, output_size, sampling_ratio).transpose(0, 1)


def wrong_clipped_to_the_map(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    height, width = features.shape[1:]
    edges = (boxes * spatial_scale).clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]) - 1)
    return roi_align(features, edges, 1.0, output_size, sampling_ratio)


def wrong_in_the_dtype_of_the_boxes(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features.to(boxes.dtype), boxes, spatial_scale, output_size, sampling_ratio)


def wrong_arguments_swapped(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, spatial_scale, sampling_ratio, output_size)


def wrong_fails_without_boxes(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    patches = [roi_align(features, box[None], spatial_scale, output_size, sampling_ratio)[0] for box in boxes]
    return torch.stack(patches)


def wrong_sum_of_samples(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, spatial_scale, output_size, sampling_ratio) * sampling_ratio**2


def wrong_flat(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes, spatial_scale, output_size, sampling_ratio).flatten(1)


def wrong_first_box_for_all(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    return roi_align(features, boxes[:1].expand_as(boxes), spatial_scale, output_size, sampling_ratio)


def wrong_one_channel_per_box(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    a_y, a_x = weights_of(features, boxes * spatial_scale, output_size, sampling_ratio)
    return torch.einsum("rph,rhw,rqw->rpq", a_y, features[: len(boxes)], a_x)


def wrong_sums_over_all_boxes(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    a_y, a_x = weights_of(features, boxes * spatial_scale, output_size, sampling_ratio)
    rows = torch.einsum("rph,chw->rpcw", a_y, features)
    return torch.einsum("rpcw,sqw->rcpq", rows, a_x)


def right_with_matmul(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    edges = boxes.to(features.dtype) * spatial_scale
    a_y = axis_weights(edges[:, 1], edges[:, 3], features.size(1), output_size, sampling_ratio)
    a_x = axis_weights(edges[:, 0], edges[:, 2], features.size(2), output_size, sampling_ratio)
    return a_y[:, None] @ features[None] @ a_x[:, None].transpose(-1, -2)


def right_box_by_box(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    patches = features.new_zeros(len(boxes), len(features), output_size, output_size)
    for r, box in enumerate(boxes):
        x1, y1, x2, y2 = (box[:, None] * spatial_scale).unbind(0)
        a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio)[0].to(features.dtype)
        a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio)[0].to(features.dtype)
        patches[r] = a_y @ features @ a_x.T
    return patches


EXERCISE = Exercise(
    "roi_align",
    lesson=6,
    minutes=15,
    reference=roi_align,
    cases=cases,
    call=call,
    twin=fastest_roi_align,
    library=("torchvision.ops.roi_align", "torchvision.ops.RoIAlign", "torchvision.ops.ps_roi_align"),
    hints=(
        "“Rows and columns are swapped.” The map is (C, H, W). Which edges of a box belong to its rows, those along x or those "
        "along y? And how many cells does each axis have?",
        "“The shapes don't fit.” a_y is (R, output_size, H), the map (C, H, W), a_x (R, output_size, W). H and W are summed "
        "away; R, C and both output sizes remain. torch.einsum takes exactly that, written down: a letter for each axis.",
        "“Nearly there.” x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1); two calls of axis_weights, each followed by "
        '.to(features.dtype); then torch.einsum("rph,chw->rpcw", …), and a second einsum with a_x that ends in "->rcpq".',
    ),
    wrong=(
        Wrong(wrong_transposes_each_patch, "each patch is transposed: its rows run along x"),
        Wrong(wrong_unpacks_y_first, "x and y of the boxes are swapped"),
        Wrong(wrong_width_for_height, "height and width of the map are swapped: it works on square maps only"),
        Wrong(wrong_leaves_the_scale_out, "the scale is left out: pixels are used as cells"),
        Wrong(wrong_divides_by_the_scale, "the boxes are divided by the scale, which is cells per pixel"),
        Wrong(wrong_rounds_to_cells, "the box is rounded to whole cells"),
        Wrong(wrong_always_7_and_2, "`output_size` and `sampling_ratio` are not passed on: it always uses 7 and 2"),
        Wrong(wrong_always_2_samples, "`sampling_ratio` is not passed on"),
        Wrong(wrong_aligned, "everything is shifted by half a cell (torchvision's aligned=True)"),
        Wrong(wrong_channels_last, "the channels come last: (R, output_size, output_size, C)"),
        Wrong(wrong_scales_in_place, "the boxes are scaled in place (*=), which changes the caller's boxes"),
        Wrong(wrong_needs_one_dtype, "weights and features of different dtypes are multiplied"),
        Wrong(wrong_detached, "no gradient reaches the features (detach, .data or no_grad on the way)"),
        Wrong(wrong_rounds_down, "the box is rounded down to whole cells"),
        Wrong(wrong_bins_swapped_with_boxes, "channels come before boxes: (C, R, …) instead of (R, C, …)"),
        Wrong(wrong_clipped_to_the_map, "boxes are clipped to the map, so what is left of them is stretched"),
        Wrong(wrong_in_the_dtype_of_the_boxes, "the patches have the dtype of the boxes, not of the features"),
        Wrong(wrong_arguments_swapped, "`output_size` and `sampling_ratio` are swapped"),
        Wrong(wrong_fails_without_boxes, "it fails if there is no box"),
        Wrong(wrong_sum_of_samples, "the samples of a bin are summed instead of averaged"),
        Wrong(wrong_flat, "the patches are flat: (R, C, output_size, output_size) is asked"),
        Wrong(wrong_first_box_for_all, "all patches are that of the first box"),
        Wrong(wrong_crops_whole_cells),
        Wrong(wrong_one_channel_per_box),
        Wrong(wrong_sums_over_all_boxes),
    ),
    right=(right_with_matmul, right_box_by_box),
)
