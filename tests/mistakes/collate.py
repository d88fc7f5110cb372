"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import math

import torch
from torch.nn.functional import pad


def wrong_stacked(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    return torch.stack(images), list(targets)


def wrong_lists(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def wrong_one_stride_more(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    height, width = ((max(one.shape[n] for one in images) // stride + 1) * stride for n in (1, 2))
    batch = images[0].new_zeros(len(images), 3, height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, list(targets)


def wrong_rounded_down(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    height, width = (max(one.shape[n] for one in images) // stride * stride for n in (1, 2))
    batch = images[0].new_zeros(len(images), 3, height, width)
    for place, image in zip(batch, images, strict=True):
        part = image[:, :height, :width]
        place[:, : part.shape[1], : part.shape[2]] = part
    return batch, list(targets)


def wrong_no_stride(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    height, width = (max(one.shape[n] for one in images) for n in (1, 2))
    return torch.stack([pad(one, (0, width - one.shape[2], 0, height - one.shape[1])) for one in images]), list(targets)


def wrong_size_of_the_first(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    height, width = (math.ceil(images[0].shape[n] / stride) * stride for n in (1, 2))
    batch = images[0].new_zeros(len(images), 3, height, width)
    for place, image in zip(batch, images, strict=True):
        part = image[:, :height, :width]
        place[:, : part.shape[1], : part.shape[2]] = part
    return batch, list(targets)


def wrong_filled_at_the_left_and_top(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    height, width = (math.ceil(max(one.shape[n] for one in images) / stride) * stride for n in (1, 2))
    return torch.stack([pad(one, (width - one.shape[2], 0, height - one.shape[1], 0)) for one in images]), list(targets)


def wrong_floats(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    height, width = (math.ceil(max(one.shape[n] for one in images) / stride) * stride for n in (1, 2))
    batch = torch.zeros(len(images), 3, height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, list(targets)


def wrong_uninitialised(samples, stride=32):
    images, targets = zip(*samples, strict=True)
    height, width = (math.ceil(max(one.shape[n] for one in images) / stride) * stride for n in (1, 2))
    batch = images[0].new_ones(len(images), 3, height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, list(targets)


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
