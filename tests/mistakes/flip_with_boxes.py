"""Wrong answers that people really give to `flip_with_boxes`; those named `right_…` must pass."""

import torch


def wrong_corners_keep_their_places(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([image.shape[-1] - x1, y1, image.shape[-1] - x2, y2], -1)


def wrong_a_pixel_off(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([image.shape[-1] - 1 - x2, y1, image.shape[-1] - 1 - x1, y2], -1)


def wrong_upside_down(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(1), torch.stack([x1, image.shape[1] - y2, x2, image.shape[1] - y1], -1)


def wrong_only_the_image(image, boxes):
    return image.flip(-1), boxes


def wrong_by_the_boxes_own_width(image, boxes):
    x1, y1, x2, y2 = boxes.unbind(-1)
    return image.flip(-1), torch.stack([x2 - x1, y1, x2, y2], -1)


def wrong_writes_into_the_boxes(image, boxes):
    boxes[:, 0], boxes[:, 2] = image.shape[-1] - boxes[:, 2].clone(), image.shape[-1] - boxes[:, 0].clone()
    return image.flip(-1), boxes


def right_by_a_copy(image, boxes):
    mirrored = boxes.clone()
    mirrored[:, [0, 2]] = image.shape[2] - boxes[:, [2, 0]]
    return torch.flip(image, dims=[2]), mirrored
