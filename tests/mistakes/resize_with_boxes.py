"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch
from torch.nn import functional


def wrong_boxes_stay(image, boxes, size):
    return functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0], boxes


def wrong_factors_exchanged(image, boxes, size):
    new = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    first, second = size[0] / image.shape[1], size[1] / image.shape[2]
    return new, boxes * boxes.new_tensor([first, second, first, second])


def wrong_one_factor(image, boxes, size):
    new = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    return new, boxes * (size[1] / image.shape[2])


def wrong_inverse(image, boxes, size):
    new = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    x, y = image.shape[2] / size[1], image.shape[1] / size[0]
    return new, boxes * boxes.new_tensor([x, y, x, y])


def wrong_whole_factors(image, boxes, size):
    new = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    x, y = size[1] // image.shape[2], size[0] // image.shape[1]
    return new, boxes * boxes.new_tensor([x, y, x, y])


def wrong_rounded(image, boxes, size):
    new = functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
    x, y = size[1] / image.shape[2], size[0] / image.shape[1]
    return new, (boxes * boxes.new_tensor([x, y, x, y])).round()


def wrong_aliased(image, boxes, size):
    new = functional.interpolate(image[None].float(), size, mode="bilinear")[0].to(image.dtype)
    x, y = size[1] / image.shape[2], size[0] / image.shape[1]
    return new, boxes * boxes.new_tensor([x, y, x, y])


def wrong_in_place(image, boxes, size):
    boxes *= boxes.new_tensor([size[1] / image.shape[2], size[0] / image.shape[1]] * 2)
    return functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0], boxes


def wrong_corners_aligned(image, boxes, size):
    new = functional.interpolate(image[None].float(), size, mode="bilinear", align_corners=True)[0].to(image.dtype)
    x, y = size[1] / image.shape[2], size[0] / image.shape[1]
    return new, boxes * boxes.new_tensor([x, y, x, y])


def wrong_reshaped(image, boxes, size):
    x, y = size[1] / image.shape[2], size[0] / image.shape[1]
    return image.new_zeros(image.shape[0], *size), boxes * boxes.new_tensor([x, y, x, y])


def right_through_floats(image, boxes, size):
    new = functional.interpolate(image[None].double(), size, mode="bilinear", antialias=True, align_corners=False)[0]
    new = new if image.is_floating_point() else new.round()
    factor = boxes.new_tensor([size[1] / image.shape[2], size[0] / image.shape[1]])
    return new.to(image.dtype), (boxes.view(-1, 2, 2) * factor).reshape(-1, 4)


def right_column_by_column(image, boxes, size):
    height, width = image.shape[1:]
    new = functional.interpolate(image.unsqueeze(0), size=size, mode="bilinear", antialias=True).squeeze(0)
    x1, y1, x2, y2 = boxes.unbind(1)
    x, y = size[1] / width, size[0] / height
    return new, torch.stack([x1 * x, y1 * y, x2 * x, y2 * y], dim=1)
