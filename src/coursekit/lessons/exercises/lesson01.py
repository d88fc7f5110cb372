"""01 · The data loader."""

from collections.abc import Iterator

import torch
from torch import Tensor

from coursekit.data.boxes import clean_boxes, flip_with_boxes
from coursekit.lessons.exercise import Case, Exercise, Mistake, case
from coursekit.lessons.exercises.draw import boxes, xyxy

Pair = tuple[Tensor, Tensor]
NAN, INFINITE = float("nan"), float("inf")


def _clean_cases(generator: torch.Generator) -> Iterator[Case]:
    size = (240, 320)
    yield case("a sound box", xyxy((10, 20, 30, 40)), size)
    yield case("one that reaches over the right and lower edges", xyxy((300, 200, 400, 300)), size)
    yield case("one that begins left of and above the image", xyxy((-10, -20, 30, 40)), size)
    yield case("one of no width", xyxy((10, 20, 10, 40), (10, 20, 30, 40)), size)
    yield case("one of no height", xyxy((10, 20, 30, 20), (10, 20, 30, 40)), size)
    yield case("one with its corners exchanged", xyxy((30, 40, 10, 20), (10, 20, 30, 40)), size)
    yield case("one that lies beside the image, and has no area there", xyxy((330, 20, 350, 40)), size)
    yield case("one with a NaN", xyxy((10, NAN, 30, 40), (10, 20, 30, 40)), size)
    yield case("one that is infinite", xyxy((0, 0, INFINITE, INFINITE), (10, 20, 30, 40)), size)
    yield case("a tall image", xyxy((0, 0, 300, 300)), (320, 200))
    yield case("one thinner than a pixel, which is small and sound", xyxy((10, 20, 10.5, 40)), size)
    yield case("none", torch.empty(0, 4), size)
    yield case("many, in float64", 4 * boxes(generator, 30, torch.float64) - 60, size)


def _not_clipped(box: Tensor, size: tuple[int, int]) -> Pair:
    keep = box.isfinite().all(1) & (box[:, 2:] > box[:, :2]).all(1)
    return box[keep], keep


def _axes_swapped(box: Tensor, size: tuple[int, int]) -> Pair:
    return clean_boxes(box, (size[1], size[0]))


def _tested_first(box: Tensor, size: tuple[int, int]) -> Pair:
    keep = box.isfinite().all(1) & (box[:, 2:] > box[:, :2]).all(1)
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    return clipped[keep], keep


def _nothing_dropped(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    return clipped, torch.ones(len(box), dtype=torch.bool)


def _nan_stays(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    keep = ~((clipped[:, 2:] <= clipped[:, :2]).any(1))
    return clipped[keep], keep


def _infinite_clipped(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    keep = (clipped[:, 2:] > clipped[:, :2]).all(1)
    return clipped[keep], keep


def _one_pixel(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped, keep = _tested_first(box, size)
    large = (clipped[:, 2:] - clipped[:, :2] >= 1).all(1)
    kept = keep.clone()
    kept[keep] = large
    return clipped[large], kept


def _last_pixel(box: Tensor, size: tuple[int, int]) -> Pair:
    return clean_boxes(box, (size[0] - 1, size[1] - 1))


CLEAN = Exercise(
    "clean_boxes",
    lesson=1,
    minutes=10,
    reference=clean_boxes,
    cases=_clean_cases,
    library=("torchvision.ops.remove_small_boxes", "torchvision.ops.clip_boxes_to_image"),
    hints=(
        "“A box beside the image is still there.” In which order do you cut and test? Cut first: a box outside has no area "
        "left, and the test finds it.",
        "“The NaN gets through.” Every comparison with NaN is False: ask for what is good (x2 > x1), not for what is bad "
        "(x2 <= x1). And an infinite box was not measured by anybody: boxes.isfinite().all(1), before you cut.",
        "“Right for a square image only.” size is (height, width), and a box is (x, y, x, y). x1, y1, x2, y2 = "
        "boxes.unbind(1); x1.clamp(0, width), y1.clamp(0, height) and so on; torch.stack(…, dim=1); keep = finite & "
        "(x2 > x1) & (y2 > y1); return clipped[keep], keep.",
    ),
    mistakes=(
        Mistake("nothing is cut at the edges of the image", _not_clipped),
        Mistake("height and width are swapped: size is (height, width), a box begins with x", _axes_swapped),
        Mistake("tested before it was cut: a box beside the image has an area until then", _tested_first),
        Mistake("nothing is dropped", _nothing_dropped),
        Mistake("a NaN gets through: it is not smaller than anything, and not larger either", _nan_stays),
        Mistake("an infinite box is cut to the image's size, as if somebody had measured it", _infinite_clipped),
        Mistake("boxes thinner than a pixel are dropped: small is not broken", _one_pixel),
        Mistake("cut at width - 1: an edge lies behind the last pixel", _last_pixel),
    ),
)


def _flip_cases(generator: torch.Generator) -> Iterator[Case]:
    ramp = torch.arange(12.0).reshape(1, 2, 6)
    yield case("an image 6 wide, with a box at its left edge", ramp, xyxy((0, 0, 2, 1)))
    yield case("a box in the middle", ramp, xyxy((2, 0, 4, 2)))
    yield case("no box", torch.rand(3, 5, 7, generator=generator), torch.empty(0, 4))
    yield case("bytes, and a tall image", torch.arange(30, dtype=torch.uint8).reshape(1, 10, 3), xyxy((0, 3, 1, 9)))
    yield case("boxes in float64", torch.rand(3, 40, 60, generator=generator), boxes(generator, 9, torch.float64))


def _boxes_stay(image: Tensor, box: Tensor) -> Pair:
    return image.flip(-1), box.clone()


def _image_stays(image: Tensor, box: Tensor) -> Pair:
    return image.clone(), flip_with_boxes(image, box)[1]


def _corners_exchanged(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    width = image.shape[-1]
    return image.flip(-1), torch.stack([width - x1, y1, width - x2, y2], -1)


def _upside_down(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    height = image.shape[-2]
    return image.flip(-2), torch.stack([x1, height - y2, x2, height - y1], -1)


def _by_height(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    height = image.shape[-2]
    return image.flip(-1), torch.stack([height - x2, y1, height - x1, y2], -1)


def _a_pixel_off(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    width = image.shape[-1] - 1
    return image.flip(-1), torch.stack([width - x2, y1, width - x1, y2], -1)


def _written_over(image: Tensor, box: Tensor) -> Pair:
    box[:, [0, 2]] = image.shape[-1] - box[:, [2, 0]]
    return image.flip(-1), box


FLIP = Exercise(
    "flip_with_boxes",
    lesson=1,
    minutes=10,
    reference=flip_with_boxes,
    cases=_flip_cases,
    library=("torchvision.transforms.v2.functional.horizontal_flip", "torchvision.transforms.v2.RandomHorizontalFlip"),
    hints=(
        "“My boxes have a negative width.” What was the right edge is the left edge in a mirror. Which of the two becomes x1?",
        "“Off by one pixel.” In an image 6 wide, a box from 0 to 2 becomes one from 4 to 6, not from 3 to 5: coordinates "
        "are edges of pixels, not their numbers.",
        "“The check says that I changed an argument.” Take x1, y1, x2, y2 = boxes.unbind(-1), and return image.flip(-1), "
        "torch.stack([width - x2, y1, width - x1, y2], dim=-1), where width = image.shape[-1].",
    ),
    mistakes=(
        Mistake("the image is mirrored, and the boxes stay", _boxes_stay),
        Mistake("the boxes are mirrored, and the image stays", _image_stays),
        Mistake("x1 and x2 don't change places: the boxes have negative widths", _corners_exchanged),
        Mistake("it is turned upside down, not left to right", _upside_down),
        Mistake("the height is taken for the width", _by_height),
        Mistake("a pixel off: width - 1 - x", _a_pixel_off),
        Mistake("the boxes that came in are written to", _written_over),
    ),
)

EXERCISES = (CLEAN, FLIP)
