"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch

from coursekit.detector import level_for_box, roi_align


def wrong_leaves_them_sorted_by_level(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = []
    for image, mine in enumerate(boxes):
        numbers = level_for_box(mine, first, last, canonical_scale)
        for k, stride in enumerate(strides):
            patches.append(roi_align(levels[k][image], mine[numbers == first + k], 1 / stride))
    return torch.cat(patches)


def wrong_indexes_by_the_places(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches, places, start = [], [], 0
    for image, mine in enumerate(boxes):
        numbers = level_for_box(mine, first, last, canonical_scale)
        for k, stride in enumerate(strides):
            here = (numbers == first + k).nonzero().flatten()
            patches.append(roi_align(levels[k][image], mine[here], 1 / stride))
            places.append(here + start)
        start += len(mine)
    return torch.cat(patches)[torch.cat(places)]


def wrong_all_from_the_finest(levels, strides, boxes, canonical_scale=64):
    return torch.cat([roi_align(levels[0][image], mine, 1 / strides[0]) for image, mine in enumerate(boxes)])


def wrong_all_from_the_first_image(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    every = torch.cat(list(boxes))
    numbers = level_for_box(every, first, last, canonical_scale)
    patches = torch.zeros(len(every), levels[0].shape[1], 7, 7)
    for k, stride in enumerate(strides):
        patches[numbers == first + k] = roi_align(levels[k][0], every[numbers == first + k], 1 / stride)
    return patches


def wrong_stride_for_scale(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = torch.zeros(sum(len(one) for one in boxes), levels[0].shape[1], 7, 7)
    start = 0
    for image, mine in enumerate(boxes):
        numbers = level_for_box(mine, first, last, canonical_scale)
        for k, stride in enumerate(strides):
            here = torch.where(numbers == first + k)[0]
            patches[start + here] = roi_align(levels[k][image], mine[here], stride)
        start += len(mine)
    return patches


def wrong_forgets_the_canonical_size(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = torch.zeros(sum(len(one) for one in boxes), levels[0].shape[1], 7, 7)
    start = 0
    for image, mine in enumerate(boxes):
        numbers = level_for_box(mine, first, last)
        for k, stride in enumerate(strides):
            here = torch.where(numbers == first + k)[0]
            patches[start + here] = roi_align(levels[k][image], mine[here], 1 / stride)
        start += len(mine)
    return patches


def wrong_overwrites_the_first_image(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = torch.zeros(sum(len(one) for one in boxes), levels[0].shape[1], 7, 7)
    for image, mine in enumerate(boxes):
        numbers = level_for_box(mine, first, last, canonical_scale)
        for k, stride in enumerate(strides):
            here = torch.where(numbers == first + k)[0]
            patches[here] = roi_align(levels[k][image], mine[here], 1 / stride)
    return patches


def wrong_stacks_one_by_one(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = []
    for image, mine in enumerate(boxes):
        for box, number in zip(mine, level_for_box(mine, first, last, canonical_scale).tolist()):
            k = number - first
            patches.append(roi_align(levels[k][image], box[None], 1 / strides[k])[0])
    return torch.stack(patches)  # nothing to stack where there is no box


def wrong_gives_a_list(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = []
    for image, mine in enumerate(boxes):
        numbers = level_for_box(mine, first, last, canonical_scale)
        each = torch.zeros(len(mine), levels[0].shape[1], 7, 7)
        for k, stride in enumerate(strides):
            each[numbers == first + k] = roi_align(levels[k][image], mine[numbers == first + k], 1 / stride)
        patches.append(each)
    return patches


def right_into_zeros(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = []
    for image, mine in enumerate(boxes):
        numbers = level_for_box(mine, first, last, canonical_scale)
        each = levels[0].new_zeros(len(mine), levels[0].shape[1], 7, 7)
        for k, stride in enumerate(strides):
            each[numbers == first + k] = roi_align(levels[k][image], mine[numbers == first + k], 1 / stride)
        patches.append(each)
    return torch.cat(patches)


def right_box_by_box(levels, strides, boxes, canonical_scale=64):
    first, last = strides[0].bit_length() - 1, strides[-1].bit_length() - 1
    patches = [levels[0].new_zeros(0, levels[0].shape[1], 7, 7)]
    for image, mine in enumerate(boxes):
        for box, number in zip(mine, level_for_box(mine, first, last, canonical_scale).tolist()):
            k = number - first
            patches.append(roi_align(levels[k][image], box[None], 1 / strides[k]))
    return torch.cat(patches)
