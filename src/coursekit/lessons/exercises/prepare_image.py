"""Exercise 12.1: turn an image into the input of an exported detector, exactly as training did."""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F

from coursekit.export.prepare import prepare_image
from coursekit.lessons.exercise import Case, Exercise, Wrong, case

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def cases(generator: torch.Generator) -> Iterator[Case]:
    def noise(height: int, width: int) -> torch.Tensor:
        return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)

    red = torch.zeros(3, 4, 4, dtype=torch.uint8)
    red[0] = 255
    yield case("a red image that fits exactly", red, (4, 4))
    yield case("an image with half the sides of the input", noise(2, 2), (4, 4))
    yield case("a black image: the padding is 0, which isn't black", red[:, :2] * 0, (4, 4))
    yield case("a wide image of twice the sides", noise(8, 16), (8, 8))
    yield case("a tall image of twice the sides", noise(16, 8), (8, 8))
    yield case("a wide image for an input that isn't square", noise(12, 20), (8, 16))
    yield case("sides that are rounded: 35 × 1.28 = 44.8 becomes 44", noise(35, 50), (64, 64))
    yield case("98 × (64 / 98) in floating point: a little less than 64, so 63", noise(98, 49), (64, 64))
    yield case("a very long image: its height would become 0", noise(2, 300), (64, 64))
    yield case("a very tall image: its width would become 0", noise(300, 2), (64, 64))
    stripes = (torch.arange(32) % 2 * 200).to(torch.uint8).expand(3, 24, 32).contiguous()
    yield case("fine stripes, a quarter of the size", stripes, (8, 8))
    yield case("a photograph's proportions", noise(75, 100), (64, 64))


def call(answer, image, size):
    return answer(image, size)


# Wrong answers. Written as an intern would.


def resized(image, size, fit=min, to_whole=int, smallest=1, **how):
    """Resize a float image, and return it with its new height and width."""
    height, width = image.shape[1:]
    factor = fit(size[0] / height, size[1] / width)
    new = max(smallest, to_whole(height * factor)), max(smallest, to_whole(width * factor))
    how = {"mode": "bilinear", "align_corners": False} | how
    return F.interpolate(image[None].float(), new, **how)


def normalized(image, mean=MEAN, std=STD):
    return (image - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def padded(image, size, value=0.0):
    return F.pad(image, (0, size[1] - image.shape[3], 0, size[0] - image.shape[2]), value=value)


def scale_of(image, small):
    return small.shape[2] / image.shape[1], small.shape[3] / image.shape[2]


def prepared(image, size, mean=MEAN, std=STD, **how):
    small = resized(image / 255, size, **how)
    return padded(normalized(small, mean, std), size), scale_of(image, small)


def wrong_blue_first(image, size):
    return prepared(image.flip(0), size)


def wrong_blue_first_at_the_end(image, size):
    batch, scale = prepared(image, size)
    return batch.flip(1), scale


def wrong_not_normalized(image, size):
    small = resized(image / 255, size)
    return padded(small, size), scale_of(image, small)


def wrong_not_divided(image, size):
    small = resized(image, size)
    return padded(normalized(small), size), scale_of(image, small)


def wrong_not_divided_not_normalized(image, size):
    small = resized(image, size)
    return padded(small, size), scale_of(image, small)


def wrong_not_divided_by_std(image, size):
    return prepared(image, size, std=(1.0, 1.0, 1.0))


def wrong_minus_one_to_one(image, size):
    return prepared(image, size, mean=(0.5,) * 3, std=(0.5,) * 3)


def wrong_mean_of_blue_first(image, size):
    return prepared(image, size, mean=MEAN[::-1], std=STD[::-1])


def wrong_own_mean(image, size):
    small = resized(image / 255, size)
    own = (small - small.mean((2, 3), keepdim=True)) / small.std((2, 3), keepdim=True).clamp(min=1e-6)
    return padded(own, size), scale_of(image, small)


def wrong_stretched(image, size):
    small = F.interpolate(image[None] / 255, size, mode="bilinear", align_corners=False)
    return normalized(small), scale_of(image, small)


def wrong_smoothed(image, size):
    return prepared(image, size, antialias=True)


def wrong_nearest(image, size):
    return prepared(image, size, mode="nearest", align_corners=None)


def wrong_aligns_corners(image, size):
    return prepared(image, size, align_corners=True)


def wrong_bicubic(image, size):
    return prepared(image, size, mode="bicubic")


def wrong_area(image, size):
    return prepared(image, size, mode="area", align_corners=None)


def wrong_rounded_pixels(image, size):
    small = resized(image, size).round() / 255
    return padded(normalized(small), size), scale_of(image, small)


def wrong_rounds_sides(image, size):
    return prepared(image, size, to_whole=round)


def wrong_whole_numbers(image, size):
    _, height, width = image.shape
    if size[0] * width <= size[1] * height:
        new = size[0], max(1, width * size[0] // height)
    else:
        new = max(1, height * size[1] // width), size[1]
    small = F.interpolate(image[None] / 255, new, mode="bilinear", align_corners=False)
    return padded(normalized(small), size), scale_of(image, small)


def wrong_side_of_0(image, size):
    return prepared(image, size, smallest=0)


def wrong_never_enlarges(image, size):
    return prepared(image, size, fit=lambda *factors: min(1, *factors))


def wrong_height_first_only(image, size):
    small = resized(image / 255, (size[1], size[0]))
    return padded(normalized(small), (size[1], size[0])), scale_of(image, small)


def wrong_crops(image, size):
    small = resized(image / 255, size, fit=max)
    return normalized(small)[:, :, : size[0], : size[1]], scale_of(image, small)


def wrong_no_padding(image, size):
    small = resized(image / 255, size)
    return normalized(small), scale_of(image, small)


def wrong_padded_before(image, size):
    small = resized(image / 255, size)
    return normalized(padded(small, size)), scale_of(image, small)


def wrong_gray_padding(image, size):
    small = resized(image / 255, size)
    return normalized(padded(small, size, 114 / 255)), scale_of(image, small)


def _at(image, size, share):
    small = resized(image / 255, size)
    free = [size[0] - small.shape[2], size[1] - small.shape[3]]
    top, left = (int(side * share) for side in free)
    batch = F.pad(normalized(small), (left, free[1] - left, top, free[0] - top))
    return batch, scale_of(image, small)


def wrong_in_the_middle(image, size):
    return _at(image, size, 0.5)


def wrong_in_the_other_corner(image, size):
    return _at(image, size, 1.0)


def wrong_no_batch(image, size):
    batch, scale = prepared(image, size)
    return batch[0], scale


def wrong_channels_last(image, size):
    batch, scale = prepared(image, size)
    return batch.permute(0, 2, 3, 1), scale


def wrong_float64(image, size):
    batch, scale = prepared(image, size)
    return batch.double(), scale


def wrong_horizontal_first(image, size):
    batch, (vertical, horizontal) = prepared(image, size)
    return batch, (horizontal, vertical)


def wrong_scale_upside_down(image, size):
    batch, (vertical, horizontal) = prepared(image, size)
    return batch, (1 / vertical, 1 / horizontal)


def wrong_one_scale(image, size):
    batch, _ = prepared(image, size)
    factor = min(size[0] / image.shape[1], size[1] / image.shape[2])
    return batch, (factor, factor)


def wrong_scale_of_the_input(image, size):
    batch, _ = prepared(image, size)
    return batch, (size[0] / image.shape[1], size[1] / image.shape[2])


# Right answers


def right_on_a_canvas(image, size):
    height, width = image.shape[-2:]
    factor = min(size[0] / height, size[1] / width)
    inside = [max(1, int(side * factor)) for side in (height, width)]
    small = F.interpolate(image.float().unsqueeze(0), size=inside, mode="bilinear")[0] / 255
    canvas = torch.zeros(1, 3, *size)
    for channel in range(3):
        canvas[0, channel, : inside[0], : inside[1]] = (small[channel] - MEAN[channel]) / STD[channel]
    return canvas, (inside[0] / height, inside[1] / width)


def right_normalized_before_it_is_resized(image, size):
    small = resized(normalized(image / 255), size)
    return padded(small, size), scale_of(image, small)


EXERCISE = Exercise(
    "prepare_image",
    lesson=12,
    minutes=30,
    reference=prepare_image,
    cases=cases,
    call=call,
    results=("input", "scale"),
    tolerance=1e-4,  # resizing rounds, and its order is free
    hints=(
        "“My numbers are too large”, or “they are all above 0”. The weights expect what they were trained with: divided by "
        "255, then minus the mean, then divided by the standard deviation, for each channel.",
        "“The image is right, but what is around it isn't.” In training the padding comes last, so it is exactly 0. "
        "F.pad(x, (left, right, top, bottom)) pads the last dimension first.",
        "“Nearly there.” factor = min(size[0] / height, size[1] / width); new = max(1, int(height * factor)), max(1, "
        "int(width * factor)); F.interpolate(image[None] / 255, new, mode='bilinear', align_corners=False); normalize; "
        "F.pad(…, (0, size[1] - new[1], 0, size[0] - new[0])). The scale is (new[0] / height, new[1] / width).",
    ),
    wrong=(
        Wrong(wrong_blue_first, "red and blue are swapped, as OpenCV reads them"),
        Wrong(wrong_blue_first_at_the_end, "red and blue change places after they were normalized"),
        Wrong(wrong_not_normalized, "the image isn't normalized: it goes from 0 to 1"),
        Wrong(wrong_not_divided, "the pixels aren't divided by 255 before they are normalized"),
        Wrong(wrong_not_divided_not_normalized, "the pixels go in as they are, from 0 to 255"),
        Wrong(wrong_not_divided_by_std, "the mean is subtracted, but nothing is divided by the standard deviation"),
        Wrong(wrong_minus_one_to_one, "the image goes from -1 to 1: these aren't the mean and spread of the training"),
        Wrong(wrong_mean_of_blue_first, "the mean and spread of red and blue are swapped"),
        Wrong(wrong_own_mean, "the image is normalized with its own mean and spread, not with those of the training"),
        Wrong(wrong_stretched, "the image is stretched to the input: its proportions are lost"),
        Wrong(wrong_smoothed, "the image is smoothed when it is resized (antialias), which training doesn't do"),
        Wrong(wrong_nearest, "the nearest pixel is taken, where training interpolates"),
        Wrong(wrong_aligns_corners, "align_corners=True moves the pixels: a pixel is an area, not a point"),
        Wrong(wrong_bicubic, "bicubic interpolation instead of bilinear"),
        Wrong(wrong_area, 'each pixel is the mean of an area (mode "area"), where training interpolates'),
        Wrong(wrong_rounded_pixels, "resized pixels are rounded to whole numbers, as a picture editor would"),
        Wrong(wrong_rounds_sides, "the new sides are rounded to the nearest pixel, not down"),
        Wrong(wrong_whole_numbers, "the new sides are computed with whole numbers: in training, 98 × (64 / 98) is 63"),
        Wrong(wrong_side_of_0, "a very long image gets a side of 0"),
        Wrong(wrong_never_enlarges, "small images aren't enlarged, but training enlarged them"),
        Wrong(wrong_height_first_only, "size is taken for (width, height), but it is (height, width)"),
        Wrong(wrong_crops, "the image fills the input and is cut off, where it should fit"),
        Wrong(wrong_no_padding, "the padding is missing"),
        Wrong(wrong_padded_before, "the image is padded before it is normalized, so the padding isn't 0"),
        Wrong(wrong_gray_padding, "the padding is gray, as in YOLO; in this training it was 0"),
        Wrong(wrong_in_the_middle, "the image is in the middle of the input, not in its top left corner"),
        Wrong(wrong_in_the_other_corner, "the image is in the bottom right corner, not in the top left one"),
        Wrong(wrong_no_batch, "the input isn't a batch of one image: its shape is (1, 3, height, width)"),
        Wrong(wrong_channels_last, "the channels come last"),
        Wrong(wrong_float64, "the input is float64, not float32"),
        Wrong(wrong_horizontal_first, "the scale has the horizontal factor first"),
        Wrong(wrong_scale_upside_down, "the scale is old / new, not new / old"),
        Wrong(wrong_one_scale, "both axes get the same factor, but each side was rounded by itself"),
        Wrong(wrong_scale_of_the_input, "the scale is that of the input with its padding, not that of the image in it"),
        Wrong(partial(prepared, to_whole=lambda side: int(side) + 1)),
        Wrong(lambda image, size: prepared(image, size)[0]),
    ),
    right=(right_on_a_canvas, right_normalized_before_it_is_resized),
)
