"""Exercise 1.4: resize an image, and its boxes with it."""

from collections.abc import Iterator

import torch
from torch.nn.functional import interpolate

from coursekit.data.boxes import resize_with_boxes
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere_or_here, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    ramp = torch.arange(24.0).reshape(1, 4, 6)
    yield case("half the width, half the height", ramp, xyxy((2, 0, 4, 2)), (2, 3))
    yield case("half the width, the same height", ramp, xyxy((2, 1, 4, 3)), (4, 3))
    yield case("the same width, twice the height", ramp, xyxy((2, 1, 4, 3)), (8, 6))
    yield case("the same size", ramp, xyxy((2, 1, 4, 3)), (4, 6))
    yield case("a box that ends up with fractions of pixels", ramp, xyxy((1, 1, 2, 2)), (3, 4))
    yield case("no boxes", torch.rand(3, 5, 7, generator=generator), torch.empty(0, 4), (4, 4))
    yield case("a tall uint8 image", torch.full((3, 10, 4), 77, dtype=torch.uint8), xyxy((0, 3, 1, 9)), (5, 4))
    stripes = (torch.arange(96).reshape(1, 8, 12) % 2 * 200.0).contiguous()
    yield case("fine stripes, downscaled: each new pixel is the mean of many", stripes, xyxy((0, 0, 6, 4)), (2, 3))
    yield case("boxes in float64", ramp, case_inputs.boxes(generator, 9, torch.float64), (5, 3))
    row = torch.tensor([100, 20, 16, 200], dtype=torch.uint8).reshape(1, 1, 4)
    yield case("a uint8 image whose means are 53.7 and 95.4: they are rounded", row, xyxy((0, 0, 2, 1)), (1, 2))
    yield case("a long image made short, by factors that differ", ramp, xyxy((1, 1, 5, 3)), (1, 9))
    yield case(
        "odd sizes", torch.rand(3, 21, 31, generator=generator), case_inputs.boxes(generator, 9, width=20), (15, 22)
    )
    yield on_a_gpu(ramp, xyxy((2, 0, 4, 2)), (2, 3))


# Wrong answers


def _resized(image, size):
    return interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def _factors(image, size):
    """Return the factors of x and y."""
    return size[1] / image.shape[2], size[0] / image.shape[1]


def _scaled(boxes, *factors):
    return boxes * boxes.new_tensor(factors)


def wrong_boxes_stay(image, boxes, size):
    return _resized(image, size), boxes


def wrong_image_stays(image, boxes, size):
    x, y = _factors(image, size)
    return image, _scaled(boxes, x, y, x, y)


def wrong_width_first(image, boxes, size):
    width, height = size
    x, y = _factors(image, (height, width))
    return _resized(image, (height, width)), _scaled(boxes, x, y, x, y)


def wrong_swaps_the_factors(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes, y, x, y, x)


def wrong_one_factor_of_y(image, boxes, size):
    return _resized(image, size), boxes * _factors(image, size)[1]


def wrong_one_factor_of_x(image, boxes, size):
    return _resized(image, size), boxes * _factors(image, size)[0]


def wrong_divides(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes, 1 / x, 1 / y, 1 / x, 1 / y)


def wrong_scales_one_corner(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes, x, y, 1, 1)


def wrong_rounds(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes, x, y, x, y).round()


def wrong_integer_factors(image, boxes, size):
    x, y = size[1] // image.shape[2], size[0] // image.shape[1]
    return _resized(image, size), _scaled(boxes, x, y, x, y)


def wrong_no_antialias(image, boxes, size, **how):
    x, y = _factors(image, size)
    resized = interpolate(image[None].float(), size, mode="bilinear", **how)[0]
    return resized.to(image.dtype), _scaled(boxes, x, y, x, y)


def wrong_aligns_corners(image, boxes, size):
    return wrong_no_antialias(image, boxes, size, align_corners=True)


def wrong_nearest(image, boxes, size):
    x, y = _factors(image, size)
    return interpolate(image[None], size)[0], _scaled(boxes, x, y, x, y)


def wrong_in_place(image, boxes, size):
    x, y = _factors(image, size)
    boxes *= boxes.new_tensor([x, y, x, y])
    return _resized(image, size), boxes


def wrong_returns_floats(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image.float(), size), _scaled(boxes, x, y, x, y)


def wrong_black_image(image, boxes, size):
    x, y = _factors(image, size)
    return image.new_zeros(image.shape[0], *size), _scaled(boxes, x, y, x, y)


def wrong_bicubic(image, boxes, size):
    x, y = _factors(image, size)
    resized = interpolate(image[None].float(), size, mode="bicubic", antialias=True)[0]
    return resized.to(image.dtype), _scaled(boxes, x, y, x, y)


def wrong_area(image, boxes, size):
    x, y = _factors(image, size)
    return interpolate(image[None].float(), size, mode="area")[0].to(image.dtype), _scaled(boxes, x, y, x, y)


def wrong_smaller_factor(image, boxes, size):
    return _resized(image, size), boxes * min(_factors(image, size))


def wrong_larger_factor(image, boxes, size):
    return _resized(image, size), boxes * max(_factors(image, size))


def wrong_rounds_down(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes, x, y, x, y).int().to(boxes.dtype)


def wrong_clips(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes, x, y, x, y).clamp(min=0)


def wrong_always_float32(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes.float(), x, y, x, y)


def wrong_keeps_the_batch(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size)[None], _scaled(boxes, x, y, x, y)


def wrong_last_pixels(image, boxes, size):
    x, y = (size[1] - 1) / (image.shape[2] - 1), (size[0] - 1) / (image.shape[1] - 1)
    return _resized(image, size), _scaled(boxes, x, y, x, y)


def wrong_mixes_corners(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), _scaled(boxes, x, y, y, x)


def wrong_cuts_fractions_off(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image.float(), size).to(image.dtype), _scaled(boxes, x, y, x, y)


def wrong_keeps_the_aspect_ratio(image, boxes, size):
    factor = min(_factors(image, size))
    inside = [max(1, round(side * factor)) for side in image.shape[1:]]
    padded = image.new_zeros(image.shape[0], *size)
    padded[:, : inside[0], : inside[1]] = _resized(image, inside)
    return padded, boxes * factor


def wrong_factors_on_the_cpu(image, boxes, size):
    x, y = _factors(image, size)
    return _resized(image, size), boxes * torch.tensor([x, y, x, y], dtype=boxes.dtype)


# Right answers


def right_in_float64(image, boxes, size):
    resized = interpolate(image[None].double(), size, mode="bilinear", antialias=True, align_corners=False)[0]
    resized = resized if image.is_floating_point() else resized.round()
    factors = boxes.new_tensor([size[1] / image.shape[2], size[0] / image.shape[1]])
    return resized.to(image.dtype), (boxes.view(-1, 2, 2) * factors).reshape(-1, 4)


def right_column_by_column(image, boxes, size):
    height, width = image.shape[1:]
    resized = interpolate(image.unsqueeze(0), size=size, mode="bilinear", antialias=True).squeeze(0)
    x1, y1, x2, y2 = boxes.unbind(1)
    x, y = size[1] / width, size[0] / height
    return resized, torch.stack([x1 * x, y1 * y, x2 * x, y2 * y], dim=1)


def right_by_fractions_of_the_image(image, boxes, size):
    height, width = image.shape[-2:]
    fractions = boxes / boxes.new_tensor([width, height, width, height])
    return [_resized(image, size), fractions * boxes.new_tensor([size[1], size[0], size[1], size[0]])]


EXERCISE = Exercise(
    "resize_with_boxes",
    lesson=1,
    minutes=10,
    reference=resize_with_boxes,
    cases=cases,
    results=("image", "boxes"),
    call=anywhere_or_here,
    hints=(
        "“My boxes are right in some images only.” x and y each have their own factor. Which side of the image belongs to x: "
        "image.shape[1] or image.shape[2]?",
        "“interpolate complains about the shape.” It wants a batch: image[None] is (1, C, H, W), and [0] takes the image out "
        "again. Use mode='bilinear' and antialias=True: then each pixel of a small image is the mean of the pixels it covers.",
        "“Nearly there.” resized = interpolate(image[None], size, mode='bilinear', antialias=True)[0]; x = size[1] / "
        "image.shape[2]; y = size[0] / image.shape[1]; boxes * boxes.new_tensor([x, y, x, y]). Don't round the boxes.",
    ),
    wrong=(
        Wrong(wrong_boxes_stay, "the image is resized, but the boxes are not"),
        Wrong(wrong_image_stays, "the boxes are resized, but the image is not"),
        Wrong(wrong_width_first, "size is taken for (width, height), but it is (height, width)"),
        Wrong(wrong_swaps_the_factors, "the factors of x and y are swapped"),
        Wrong(wrong_one_factor_of_y, "the factor of y is used for x, too"),
        Wrong(wrong_divides, "the boxes are divided by the factors, not multiplied"),
        Wrong(wrong_scales_one_corner, "only the top left corner is scaled"),
        Wrong(wrong_rounds, "boxes are rounded: a small one loses much of its size"),
        Wrong(wrong_no_antialias, "the image is downscaled without antialiasing, so fine stripes become noise"),
        Wrong(wrong_nearest, "the nearest pixel is taken, not a mean"),
        Wrong(wrong_in_place, "the input boxes are overwritten"),
        Wrong(wrong_returns_floats, "a uint8 image comes back as floats"),
        Wrong(wrong_one_factor_of_x, "the factor of x is used for y, too"),
        Wrong(wrong_integer_factors, "the factors are whole numbers (// instead of /)"),
        Wrong(wrong_aligns_corners, "align_corners=True moves the pixels: a pixel is an area, not a point"),
        Wrong(wrong_black_image),
        Wrong(wrong_bicubic, "bicubic interpolation instead of bilinear"),
        Wrong(wrong_area, 'the mode is "area", not "bilinear" with antialias=True'),
        Wrong(wrong_smaller_factor, "x and y share the smaller factor, but each has its own"),
        Wrong(wrong_larger_factor, "x and y share the larger factor, but each has its own"),
        Wrong(wrong_rounds_down, "boxes are rounded down to whole pixels"),
        Wrong(wrong_clips, "boxes are clipped at 0, which no one asked for"),
        Wrong(wrong_always_float32, "boxes are always float32, whatever they were"),
        Wrong(wrong_keeps_the_batch, "the image is still a batch of one: take [0]"),
        Wrong(
            wrong_last_pixels,
            "the factors are (new - 1) / (old - 1): coordinates are edges of pixels, so it is new / old",
        ),
        Wrong(wrong_mixes_corners, "the second corner has the factors of x and y swapped"),
        Wrong(wrong_cuts_fractions_off, "a uint8 image is resized as floats and cut to whole numbers, not rounded"),
        Wrong(
            wrong_keeps_the_aspect_ratio,
            "the image keeps its aspect ratio and gets a margin, but it should fill the size",
        ),
        Wrong(wrong_factors_on_the_cpu),
    ),
    right=(right_column_by_column, right_in_float64, right_by_fractions_of_the_image),
    library=("torchvision.transforms.v2.functional.resize", "torchvision.transforms.v2.Resize"),
)
