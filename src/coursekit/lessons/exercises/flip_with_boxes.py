"""Exercise 1.5: mirror an image, and its boxes with it."""

from collections.abc import Iterator

import torch

from coursekit.data.boxes import flip_with_boxes
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case
from coursekit.lessons.pretended_gpu import anywhere_or_here, on_a_gpu


def cases(generator: torch.Generator) -> Iterator[Case]:
    ramp = torch.arange(12.0).reshape(1, 2, 6)
    yield case("an image 6 pixels wide, with a box at its left edge", ramp, xyxy((0, 0, 2, 1)))
    yield case("a box in the middle", ramp, xyxy((2, 0, 4, 2)))
    yield case("a box that reaches beyond both edges", ramp, xyxy((-2, 0, 9, 2)))
    yield case("no boxes", torch.rand(3, 5, 7, generator=generator), torch.empty(0, 4))
    yield case("a tall uint8 image", torch.arange(30, dtype=torch.uint8).reshape(1, 10, 3), xyxy((0, 3, 1, 9)))
    yield case(
        "boxes in float64", torch.rand(3, 40, 60, generator=generator), case_inputs.boxes(generator, 9, torch.float64)
    )
    yield on_a_gpu(ramp, xyxy((0, 0, 2, 1)))


# Wrong answers


def wrong_boxes_stay(image, boxes):
    return image.flip(-1), boxes


def wrong_image_stays(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image, torch.stack([image.shape[-1] - x2, y1, image.shape[-1] - x1, y2], -1)


def wrong_corners_keep_their_places(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([image.shape[-1] - x1, y1, image.shape[-1] - x2, y2], -1)


def wrong_upside_down(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(1), torch.stack([x1, image.shape[1] - y2, x2, image.shape[1] - y1], -1)


def wrong_height_for_width(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([image.shape[1] - x2, y1, image.shape[1] - x1, y2], -1)


def wrong_a_pixel_off(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([image.shape[-1] - 1 - x2, y1, image.shape[-1] - 1 - x1, y2], -1)


def wrong_in_place(image, boxes):
    boxes[:, [0, 2]] = image.shape[-1] - boxes[:, [2, 0]]
    return image.flip(-1), boxes


def wrong_width_of_the_box(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([x2 - x1, y1, x2, y2], -1)


def _mirrored(boxes, width):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)


def wrong_clips(image, boxes):
    return image.flip(-1), _mirrored(boxes, image.shape[-1]).clamp(min=0)


def wrong_both_ways(image, boxes):
    return image.flip(-1, -2), _mirrored(boxes, image.shape[-1])


def wrong_channels(image, boxes):
    return image.flip(0), _mirrored(boxes, image.shape[-1])


X2 = "x2 keeps its value: only x1 is mirrored, or x1 is overwritten before x2 is computed from it"


def wrong_keeps_x2(image, boxes):
    return image.flip(-1), torch.cat([_mirrored(boxes, image.shape[-1])[:, :2], boxes[:, 2:]], 1)


def wrong_reads_what_it_wrote(image, boxes):
    boxes, width = boxes.clone(), image.shape[-1]
    boxes[:, 0] = width - boxes[:, 2]
    boxes[:, 2] = width - boxes[:, 0]
    return image.flip(-1), boxes


def wrong_always_float32(image, boxes):
    return image.flip(-1), _mirrored(boxes.float(), image.shape[-1])


def wrong_floats(image, boxes):
    return image.flip(-1).float(), _mirrored(boxes, image.shape[-1])


def wrong_fails_without_boxes(image, boxes):
    width = image.shape[-1]
    return image.flip(-1), torch.stack([torch.stack([width - x2, y1, width - x1, y2]) for x1, y1, x2, y2 in boxes])


def wrong_image_in_place(image, boxes):
    image[:] = image.flip(-1)
    return image, _mirrored(boxes, image.shape[-1])


def wrong_about_the_last_box(image, boxes):
    return image.flip(-1), _mirrored(boxes, boxes[:, 2].max() if len(boxes) else 0)


def wrong_signs_on_the_cpu(image, boxes):
    width = image.shape[-1]
    return image.flip(-1), (boxes * torch.tensor([-1, 1, -1, 1]) + torch.tensor([width, 0, width, 0]))[:, [2, 1, 0, 3]]


# Another right answer


def right_by_a_copy(image, boxes):
    mirrored = boxes.clone()
    mirrored[:, [0, 2]] = image.shape[2] - boxes[:, [2, 0]]
    return torch.flip(image, dims=[2]), mirrored


def right_by_a_sign(image, boxes):
    width = image.shape[-1]
    mirrored = boxes * boxes.new_tensor([-1, 1, -1, 1]) + boxes.new_tensor([width, 0, width, 0])
    return image[..., torch.arange(width - 1, -1, -1)], mirrored[:, [2, 1, 0, 3]]


EXERCISE = Exercise(
    "flip_with_boxes",
    lesson=1,
    minutes=8,
    reference=flip_with_boxes,
    cases=cases,
    results=("image", "boxes"),
    call=anywhere_or_here,
    hints=(
        "“My boxes have a negative width.” In a mirror, the right edge becomes the left one. Which of the two becomes x1?",
        "“I am off by one pixel.” In an image 6 pixels wide, a box from 0 to 2 becomes a box from 4 to 6, not from 3 to 5: "
        "coordinates are edges of pixels, not their indices.",
        "“The check says that I changed an argument.” x1, y1, x2, y2 = boxes.unbind(-1); width = image.shape[-1]; return "
        "image.flip(-1), torch.stack([width - x2, y1, width - x1, y2], dim=-1).",
    ),
    wrong=(
        Wrong(wrong_boxes_stay, "the image is mirrored, but the boxes are not"),
        Wrong(wrong_image_stays, "the boxes are mirrored, but the image is not"),
        Wrong(wrong_corners_keep_their_places, "x1 and x2 are not swapped, so boxes have a negative width"),
        Wrong(wrong_upside_down, "the image is turned upside down, not mirrored left to right"),
        Wrong(wrong_height_for_width, "the height is taken for the width"),
        Wrong(wrong_a_pixel_off, "width - 1 - x is a pixel off: coordinates are edges of pixels"),
        Wrong(wrong_in_place, "the input boxes are overwritten"),
        Wrong(wrong_width_of_the_box),
        Wrong(wrong_clips, "boxes are clipped at 0, which no one asked for"),
        Wrong(wrong_both_ways, "the image is turned by 180°, not mirrored"),
        Wrong(wrong_channels, "the channels are flipped: the width is the last dimension"),
        Wrong(wrong_keeps_x2, X2),
        Wrong(wrong_reads_what_it_wrote, X2),
        Wrong(wrong_always_float32, "boxes are always float32, whatever they were"),
        Wrong(wrong_floats, "a uint8 image comes back as floats"),
        Wrong(wrong_fails_without_boxes, "it fails if there are no boxes: stack needs at least one tensor"),
        Wrong(wrong_image_in_place, "the input image is overwritten"),
        Wrong(wrong_about_the_last_box, "boxes are mirrored about the rightmost box, not about the image"),
        Wrong(wrong_signs_on_the_cpu),
    ),
    right=(right_by_a_copy, right_by_a_sign),
    library=("torchvision.transforms.v2.functional.horizontal_flip", "torchvision.transforms.v2.RandomHorizontalFlip"),
)
