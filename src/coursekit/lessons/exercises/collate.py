"""Exercise 1.7: join samples of different sizes into one batch."""

import math
from collections.abc import Iterator

import torch
from torch.nn.functional import interpolate, pad

from coursekit.from_scratch.loader import collate
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Case, Exercise, Wrong, case


def cases(generator: torch.Generator) -> Iterator[Case]:
    def samples(*sizes, dtype=torch.uint8):
        images = [torch.randint(1, 255, (3, *size), generator=generator).to(dtype) for size in sizes]
        return [(image, {"boxes": xyxy(*[(0, 0, 1, n + 1.0)] * n), "image_id": n}) for n, image in enumerate(images)]

    yield case("one image whose sides are multiples of the stride", samples((4, 4)), 4)
    yield case("one image a pixel too small", samples((3, 4)), 4)
    yield case("one image a pixel too large", samples((4, 5)), 4)
    yield case("two images of one size", samples((2, 4), (2, 4)), 2)
    yield case("a wide image and a tall one", samples((2, 6), (6, 2)), 2)
    yield case("three images, of which the first is the smallest", samples((1, 2), (3, 5), (2, 2)), 1)
    yield case("a tall image, a small one and a wide one", samples((5, 2), (1, 1), (2, 7)), 4)
    yield case("one image of 33 × 65 pixels, with a stride of 16", samples((33, 65)), 16)
    yield case("floats", samples((2, 3), (3, 3), dtype=torch.float32), 4)
    yield case("no stride given: it is 32", samples((20, 40), (10, 33)))


# Wrong answers


def _size(samples, stride):
    """Return the height and width of the batch."""
    return tuple(math.ceil(max(image.shape[side] for image, _ in samples) / stride) * stride for side in (1, 2))


def _padded(samples, size, value=0, before=0):
    """Pad images to a size, with this share of the padding at the left and top."""
    batch = []
    for image, _ in samples:
        down, right = size[0] - image.shape[1], size[1] - image.shape[2]
        top, left = int(down * before), int(right * before)
        batch.append(pad(image, (left, right - left, top, down - top), value=value))
    return torch.stack(batch), [target for _, target in samples]


def wrong_stacked(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    return torch.stack(images), list(targets)


def wrong_list_of_images(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def wrong_centered(samples, stride=32):
    return _padded(samples, _size(samples, stride), before=0.5)


def wrong_no_stride(samples, stride=32):
    return _padded(samples, _size(samples, 1))


def wrong_one_stride_more(samples, stride=32):
    return _padded(samples, [(side // stride + 1) * stride for side in _size(samples, 1)])


def wrong_square(samples, stride=32):
    return _padded(samples, [max(_size(samples, stride))] * 2)


def wrong_white(samples, stride=32):
    return _padded(samples, _size(samples, stride), value=255)


def wrong_crops_to_the_smallest(samples, stride=32):
    height, width = (min(image.shape[side] for image, _ in samples) for side in (1, 2))
    return _padded([(image[:, :height, :width], target) for image, target in samples], _size(samples, stride))


def wrong_stretches(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    size = _size(samples, stride)
    batch = [interpolate(image[None].float(), size, mode="bilinear")[0].to(image.dtype) for image in images]
    return torch.stack(batch), list(targets)


def wrong_floats(samples, stride=32):
    batch, targets = _padded(samples, _size(samples, stride))
    return batch.float(), targets


def wrong_one_dict_of_targets(samples, stride=32):
    batch, targets = _padded(samples, _size(samples, stride))
    return batch, {key: [target[key] for target in targets] for key in targets[0]}


def wrong_always_32(samples, stride=32):
    return _padded(samples, _size(samples, 32))


def wrong_rounds_down(samples, stride=32):
    return _padded(samples, [side // stride * stride for side in _size(samples, 1)])  # a negative pad crops


def wrong_size_of_the_first(samples, stride=32):
    return _padded(samples, _size(samples[:1], stride))


def wrong_padding_at_the_left_and_top(samples, stride=32):
    return _padded(samples, _size(samples, stride), before=1)


def wrong_padding_of_ones(samples, stride=32):
    return _padded(samples, _size(samples, stride), value=1)


def wrong_nearest_multiple(samples, stride=32):
    sides = [max(round(side / stride), 1) * stride for side in _size(samples, 1)]
    return _padded(samples, sides)


def wrong_powers_of_two(samples, stride=32):
    return _padded(samples, [stride * 2 ** math.ceil(math.log2(side / stride)) for side in _size(samples, stride)])


def wrong_size_of_the_largest(samples, stride=32):
    largest = max(samples, key=lambda sample: sample[0].numel())
    return _padded(samples, _size([largest], stride))


def wrong_edges_repeated(samples, stride=32):
    height, width = _size(samples, stride)
    images = [image[:, torch.arange(height).clamp(max=image.shape[1] - 1)] for image, _ in samples]
    batch = [image[:, :, torch.arange(width).clamp(max=image.shape[2] - 1)] for image in images]
    return torch.stack(batch), [target for _, target in samples]


def wrong_always_uint8(samples, stride=32):
    batch, targets = _padded(samples, _size(samples, stride))
    return batch.to(torch.uint8), targets


def wrong_boxes_only(samples, stride=32):
    batch, targets = _padded(samples, _size(samples, stride))
    return batch, [target["boxes"] for target in targets]


def wrong_adds_to_the_targets(samples, stride=32):
    batch, targets = _padded(samples, _size(samples, stride))
    for (image, _), target in zip(samples, targets, strict=True):
        target["size"] = tuple(image.shape[1:])
    return batch, targets


def wrong_drops_images_without_boxes(samples, stride=32):
    kept = [sample for sample in samples if len(sample[1]["boxes"])] or samples
    return _padded(kept, _size(kept, stride))


def wrong_swaps_height_and_width(samples, stride=32):
    return _padded(samples, _size(samples, stride)[::-1])


def wrong_default_of_64(samples, stride=64):
    return _padded(samples, _size(samples, stride))


def wrong_sorted_by_size(samples, stride=32):
    return _padded(sorted(samples, key=lambda sample: -sample[0].numel()), _size(samples, stride))


def wrong_no_targets(samples, stride=32):
    return _padded(samples, _size(samples, stride))[0]


# Right answers


def right_by_padding(samples, stride=32):
    images = [image for image, _ in samples]
    height = math.ceil(max(image.shape[1] for image in images) / stride) * stride
    width = math.ceil(max(image.shape[2] for image in images) / stride) * stride
    batch = [pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in images]
    return torch.stack(batch), [target for _, target in samples]


def right_with_a_tuple_of_targets(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    sizes = torch.tensor([image.shape[1:] for image in images])
    height, width = ((sizes.amax(0) + stride - 1) // stride * stride).tolist()
    batch = torch.zeros(len(images), *images[0].shape[:1], height, width, dtype=images[0].dtype)
    for number, image in enumerate(images):
        batch[number, :, : image.shape[1], : image.shape[2]] = image
    return batch, targets


def right_by_concatenation(samples, stride=32):
    height, width = _size(samples, stride)
    batch = []
    for image, _ in samples:
        tall = torch.cat([image, image.new_zeros(len(image), height - image.shape[1], image.shape[2])], dim=1)
        batch.append(torch.cat([tall, tall.new_zeros(len(image), height, width - image.shape[2])], dim=2)[None])
    return torch.cat(batch), [dict(target) for _, target in samples]


EXERCISE = Exercise(
    "collate",
    lesson=1,
    minutes=12,
    reference=collate,
    cases=cases,
    results=("batch", "targets"),
    hints=(
        "“stack expects each tensor to be equal size.” Make a batch of zeros that is large enough for the tallest image and "
        "for the widest, and copy each image into its top left corner.",
        "“The batch is one stride too large.” 64 is a multiple of 32, but 64 // 32 + 1 is 3. Round up instead: -(-64 // 32) "
        "is 2, and -(-65 // 32) is 3. math.ceil(64 / 32) works, too.",
        "“Nearly there.” images, targets = zip(*samples); batch = images[0].new_zeros(len(images), 3, height, width), which "
        "keeps the dtype; for row, image in zip(batch, images): row[:, :image.shape[1], :image.shape[2]] = image. Return "
        "batch, list(targets).",
    ),
    wrong=(
        Wrong(wrong_stacked, "images are stacked without padding, so only images of one size work"),
        Wrong(wrong_list_of_images, "the images are still a list, not one tensor"),
        Wrong(wrong_centered, "images are centered, so each box would have to move"),
        Wrong(wrong_no_stride, "height and width are not multiples of the stride"),
        Wrong(wrong_one_stride_more, "a side that is a multiple of the stride already gets another stride"),
        Wrong(wrong_square, "the batch is a square, which is larger than necessary"),
        Wrong(wrong_white, "the padding is 255, not 0"),
        Wrong(
            wrong_crops_to_the_smallest, "images are cropped to the smallest: objects are lost, but their boxes stay"
        ),
        Wrong(wrong_stretches, "images are stretched to one size, but their boxes are not"),
        Wrong(wrong_floats, "uint8 images become floats, which take four times the memory"),
        Wrong(wrong_one_dict_of_targets, "targets are joined into one dict, but a batch has a list of them"),
        Wrong(wrong_always_32, "the stride is always 32, whatever `stride` is"),
        Wrong(wrong_rounds_down, "sides are rounded down to a multiple of the stride, so images are cropped"),
        Wrong(wrong_size_of_the_first, "the batch has the size of the first image, not of the largest"),
        Wrong(wrong_padding_at_the_left_and_top, "the padding is left and above, so each box would have to move"),
        Wrong(wrong_padding_of_ones, "the padding is 1, not 0"),
        Wrong(wrong_nearest_multiple, "sides are rounded to the nearest multiple of the stride: it must be up"),
        Wrong(wrong_powers_of_two, "sides grow to the next power of two, which is larger than necessary"),
        Wrong(
            wrong_size_of_the_largest, "height and width come from one image, but the tallest need not be the widest"
        ),
        Wrong(wrong_edges_repeated, "the padding repeats the edge, but it should be 0"),
        Wrong(wrong_always_uint8, "the batch is always uint8, whatever the images are"),
        Wrong(wrong_boxes_only, "only the boxes are returned, not the targets"),
        Wrong(wrong_adds_to_the_targets, "the targets are changed, but they belong to the data set"),
        Wrong(wrong_drops_images_without_boxes, "images without boxes are dropped"),
        Wrong(wrong_swaps_height_and_width, "height and width of the batch are swapped"),
        Wrong(wrong_default_of_64, "the default stride is not 32"),
        Wrong(wrong_sorted_by_size, "the images are in another order"),
        Wrong(wrong_no_targets, "the targets are missing"),
    ),
    right=(right_by_padding, right_with_a_tuple_of_targets, right_by_concatenation),
    library=("torch.utils.data.default_collate", "torchvision.models.detection.transform.GeneralizedRCNNTransform"),
)
