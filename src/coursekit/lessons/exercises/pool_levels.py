"""Exercise 6.4, `pool_levels`: a patch for each box, from the level that suits its size."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit.detector import level_for_box, pool_levels, roi_align
from coursekit.lessons.case_inputs import boxes as random_boxes
from coursekit.lessons.case_inputs import coordinates, xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case
from coursekit.lessons.gradients import gradients
from coursekit.lessons.meta_device import is_elsewhere
from coursekit.lessons.pretended_gpu import anywhere, on_a_gpu

SMALL, MEDIUM, LARGE = (8, 16, 28, 36), (100, 40, 180, 120), (40, 8, 200, 150)  # √area 20, 80 and 151 pixels


def maps_of_places(images: int, strides: Sequence[int], height: int = 160, width: int = 256) -> list[Tensor]:
    """Return levels whose cells hold their stride, their image, and the row and column of their pixel."""
    levels = []
    for stride in strides:
        pixels = stride * coordinates(height // stride, width // stride)
        image = torch.arange(images).view(-1, 1, 1, 1).expand(-1, 1, *pixels.shape[1:])
        levels.append(torch.cat([torch.full_like(image, stride), image, pixels.expand(images, -1, -1, -1)], 1))
    return levels


def cases(generator: torch.Generator) -> Iterator[Case]:
    def places(words: str, boxes: Sequence[Tensor], strides: Sequence[int] = (8, 16, 32), *more: Any) -> Case:
        return case(words, maps_of_places(len(boxes), strides), list(strides), list(boxes), *more)

    yield places("one small box", [xyxy(SMALL)])
    yield places("one large box", [xyxy(LARGE)])
    yield places("a small box, then a large one", [xyxy(SMALL, LARGE)])
    yield places("a large box, then a small one", [xyxy(LARGE, SMALL)])
    yield places("a large, a small and a medium box", [xyxy(LARGE, SMALL, MEDIUM)])
    yield places("a box of exactly 64 × 64 pixels", [xyxy((40, 40, 104, 104))])
    yield places("two images with a small box each", [xyxy(SMALL), xyxy((60, 60, 80, 80))])
    yield places("two images, a large and a small box each", [xyxy(LARGE, SMALL), xyxy(MEDIUM, (60, 60, 80, 80))])
    yield places("an image without a box between two others", [xyxy(LARGE, SMALL), xyxy(), xyxy(SMALL)])
    yield places("two images without a box", [xyxy(), xyxy()])
    yield places("a single level", [xyxy(LARGE, SMALL)], [16])
    yield places("levels from stride 4 on", [xyxy(LARGE, SMALL, (30, 30, 44, 44))], [4, 8, 16])
    yield places("the paper's canonical scale, 224", [xyxy(LARGE, SMALL, MEDIUM)], [8, 16, 32], 224)
    many = [random_boxes(generator, count, width=150) for count in (7, 4, 9)]
    yield places("twenty boxes in three images", many, [4, 8, 16, 32])
    levels = [torch.randn(2, 3, 160 // stride, 256 // stride, generator=generator) for stride in (8, 16, 32)]
    boxes = [random_boxes(generator, 5, width=150), random_boxes(generator, 3, width=150)]
    yield case("random features", levels, [8, 16, 32], boxes)
    wide = [level.double() for level in levels[1:]]
    yield case("float64", wide, [16, 32], [in_image.double() for in_image in boxes])
    need_gradients = [level.clone().requires_grad_() for level in levels]
    yield case("levels that need gradients", need_gradients, [8, 16, 32], [xyxy(LARGE, SMALL), xyxy(MEDIUM)])
    yield on_a_gpu(levels, [8, 16, 32], [xyxy(LARGE, SMALL), xyxy(MEDIUM)], what="levels and boxes")


def call(answer: Answer, levels: list[Tensor], strides: list[int], boxes: list[Tensor], *more: Any) -> Any:
    """Return the patches, and before them, for people, what each patch has read: the mean over its cells."""
    if is_elsewhere((levels,)):
        return anywhere(answer, levels, strides, boxes, *more)
    patches = answer(levels, strides, boxes, *more)
    if not isinstance(patches, Tensor):
        raise TypeError(f"pool_levels(…) should return one tensor, and returned a {type(patches).__name__}")
    if levels[0].requires_grad:
        inputs = {f"the level of stride {stride}": level for stride, level in zip(strides, levels, strict=True)}
        return {"patches": patches, **gradients(patches, inputs)}
    if patches.ndim != 4 or patches.shape[1] != 4:
        return {"patches": patches}
    return {"read by each patch (stride, image, y, x)": patches.mean((2, 3)), "patches": patches}


def pooled(levels, strides, boxes, canonical_scale, scale_of=lambda strides, k: 1 / strides[k], order="argsort"):
    """Return the right answer; `scale_of` or `order` turns it into a wrong one."""
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches, places, start = [], [], 0
    for image, in_image in enumerate(boxes):
        level_of = level_for_box(in_image, finest, coarsest, canonical_scale) - finest
        for k in range(len(levels)):
            here = torch.where(level_of == k)[0]
            patches.append(roi_align(levels[k][image], in_image[here], scale_of(strides, k)))
            places.append(here + start)
        start += 0 if order == "restart" else len(in_image)
    patches, places = torch.cat(patches), torch.cat(places)
    if order == "levels":
        return patches
    return patches[places] if order == "places" else patches[places.argsort(stable=True)]


def wrong_sorted_by_level(levels, strides, boxes, canonical_scale=64):
    return pooled(levels, strides, boxes, canonical_scale, order="levels")


def wrong_indexes_by_the_places(levels, strides, boxes, canonical_scale=64):
    return pooled(levels, strides, boxes, canonical_scale, order="places")


def wrong_places_restart(levels, strides, boxes, canonical_scale=64):
    return pooled(levels, strides, boxes, canonical_scale, order="restart")


def wrong_stride_for_scale(levels, strides, boxes, canonical_scale=64):
    return pooled(levels, strides, boxes, canonical_scale, lambda strides, k: strides[k])


def wrong_scale_of_the_finest(levels, strides, boxes, canonical_scale=64):
    return pooled(levels, strides, boxes, canonical_scale, lambda strides, k: 1 / strides[0])


def wrong_all_from_the_finest(levels, strides, boxes, canonical_scale=64):
    return pool_levels(levels[:1], strides[:1], boxes, canonical_scale)


def wrong_all_from_the_first_image(levels, strides, boxes, canonical_scale=64):
    return pool_levels([level[:1].expand_as(level) for level in levels], strides, boxes, canonical_scale)


def wrong_levels_3_to_5(levels, strides, boxes, canonical_scale=64):
    patches = levels[0].new_zeros(sum(map(len, boxes)), levels[0].shape[1], 7, 7)
    start = 0
    for image, in_image in enumerate(boxes):
        level_of = level_for_box(in_image, 3, 5, canonical_scale) - 3
        for k in range(len(levels)):
            here = torch.where(level_of == k)[0]
            patches[start + here] = roi_align(levels[k][image], in_image[here], 1 / strides[k])
        start += len(in_image)
    return patches


def wrong_forgets_the_canonical_scale(levels, strides, boxes, canonical_scale=64):
    return pool_levels(levels, strides, boxes)


def wrong_small_from_the_coarsest(levels, strides, boxes, canonical_scale=64):
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = [levels[0].new_zeros(0, levels[0].shape[1], 7, 7)]
    for image, in_image in enumerate(boxes):
        for box, level in zip(in_image, level_for_box(in_image, finest, coarsest, canonical_scale)):
            k = coarsest - int(level)
            patches.append(roi_align(levels[k][image], box[None], 1 / strides[k]))
    return torch.cat(patches)


def wrong_fails_without_boxes(levels, strides, boxes, canonical_scale=64):
    if not sum(map(len, boxes)):
        raise RuntimeError("stack expects a non-empty TensorList")
    return pool_levels(levels, strides, boxes, canonical_scale)


def wrong_overwrites_the_first_image(levels, strides, boxes, canonical_scale=64):
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = levels[0].new_zeros(sum(map(len, boxes)), levels[0].shape[1], 7, 7)
    for image, in_image in enumerate(boxes):
        level_of = level_for_box(in_image, finest, coarsest, canonical_scale) - finest
        for k in range(len(levels)):
            here = torch.where(level_of == k)[0]
            patches[here] = roi_align(levels[k][image], in_image[here], 1 / strides[k])
    return patches


def wrong_detached(levels, strides, boxes, canonical_scale=64):
    return pool_levels([level.detach() for level in levels], strides, boxes, canonical_scale)


def wrong_patches_in_float32(levels, strides, boxes, canonical_scale=64):
    return pool_levels(levels, strides, boxes, canonical_scale).float()


def wrong_all_boxes_in_each_image(levels, strides, boxes, canonical_scale=64):
    return pool_levels(levels, strides, [torch.cat(list(boxes))] * len(boxes), canonical_scale)


def wrong_fails_if_an_image_has_none(levels, strides, boxes, canonical_scale=64):
    if not all(map(len, boxes)):
        raise RuntimeError("stack expects a non-empty TensorList")
    return pool_levels(levels, strides, boxes, canonical_scale)


def wrong_last_image_only(levels, strides, boxes, canonical_scale=64):
    return pool_levels([level[-1:] for level in levels], strides, boxes[-1:], canonical_scale)


def wrong_one_level_for_all_boxes_of_an_image(levels, strides, boxes, canonical_scale=64):
    sizes = [(in_image[:, 2:] - in_image[:, :2]).prod(1).mean() for in_image in boxes]
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = []
    for image, (in_image, area) in enumerate(zip(boxes, sizes)):
        side = float(area.nan_to_num(1).sqrt())
        box = torch.tensor([[0, 0, side, side]])
        k = int(level_for_box(box, finest, coarsest, canonical_scale)) - finest
        patches.append(roi_align(levels[k][image], in_image, 1 / strides[k]))
    return torch.cat(patches)


def wrong_returns_a_list(levels, strides, boxes, canonical_scale=64):
    return list(pool_levels(levels, strides, boxes, canonical_scale).split([len(in_image) for in_image in boxes]))


def right_into_zeros(levels, strides, boxes, canonical_scale=64):
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = []
    for image, in_image in enumerate(boxes):
        level_of = level_for_box(in_image, finest, coarsest, canonical_scale)
        patches.append(levels[0].new_zeros(len(in_image), levels[0].shape[1], 7, 7))
        for k, stride in enumerate(strides):
            here = level_of == finest + k
            patches[-1][here] = roi_align(levels[k][image], in_image[here], 1 / stride)
    return torch.cat(patches)


def right_box_by_box(levels, strides, boxes, canonical_scale=64):
    finest, coarsest = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = [levels[0].new_zeros(0, levels[0].shape[1], 7, 7)]
    for image, in_image in enumerate(boxes):
        for box, level in zip(in_image, level_for_box(in_image, finest, coarsest, canonical_scale).tolist()):
            k = level - finest
            patches.append(roi_align(levels[k][image], box[None], 1 / strides[k]))
    return torch.cat(patches)


EXERCISE = Exercise(
    "pool_levels",
    lesson=6,
    minutes=20,
    reference=pool_levels,
    cases=cases,
    call=call,
    library=("torchvision.ops.MultiScaleRoIAlign",),
    hints=(
        "“The right patches, in the wrong order.” Level by level, the patches come out sorted by level. Remember for each patch "
        "the place of its box among all boxes of all images. With those numbers, how do you put the patches back?",
        "“The second image gets patches of the first.” Two things change from image to image: features[image], and how many "
        "boxes came before. From level to level, the map changes and so does its scale, 1 / stride. Level numbers begin at "
        "that of strides[0]: 3 for a stride of 8 = 2 ** 3.",
        "“Nearly there.” patches = levels[0].new_zeros(total, C, 7, 7); for each image the level numbers of its boxes; for each "
        "level here = torch.where(level_of == number)[0] and patches[start + here] = roi_align(features[image], "
        "in_image[here], 1 / stride); after an image start += len(in_image). (8).bit_length() - 1 is 3.",
    ),
    wrong=(
        Wrong(wrong_sorted_by_level, "the patches come level by level, not in the order of the boxes"),
        Wrong(
            wrong_indexes_by_the_places,
            "the patches are put back with the order in which they were read, not with its inverse: right for two boxes only",
        ),
        Wrong(wrong_places_restart, "the places start at 0 again with each image"),
        Wrong(wrong_stride_for_scale, "the scale is the stride, not 1 / stride"),
        Wrong(wrong_scale_of_the_finest, "every level is read with the scale of the finest"),
        Wrong(wrong_all_from_the_finest, "all boxes read the finest level"),
        Wrong(wrong_all_from_the_first_image, "all boxes read the first image"),
        Wrong(wrong_levels_3_to_5, "levels 3 to 5 are hard-coded, whatever the strides are"),
        Wrong(wrong_forgets_the_canonical_scale, "canonical_scale is not passed on"),
        Wrong(wrong_small_from_the_coarsest, "small boxes read the coarsest level, large ones the finest"),
        Wrong(wrong_fails_without_boxes, "it fails if there is no box at all"),
        Wrong(wrong_detached, "no gradient reaches the levels (detach, .data or no_grad on the way)"),
        Wrong(wrong_returns_a_list, "it returns a list of patches, where it should be one tensor"),
        Wrong(wrong_patches_in_float32, "the patches are float32, whatever the dtype of the levels is"),
        Wrong(wrong_all_boxes_in_each_image, "each image gets the boxes of all images"),
        Wrong(wrong_fails_if_an_image_has_none, "it fails if an image has no box"),
        Wrong(wrong_last_image_only, "only the last image has patches"),
        Wrong(wrong_overwrites_the_first_image, "each image writes its patches over those of the image before"),
        Wrong(wrong_one_level_for_all_boxes_of_an_image),
    ),
    right=(right_into_zeros, right_box_by_box),
)
