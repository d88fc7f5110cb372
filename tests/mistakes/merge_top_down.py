"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch
import torch.nn.functional as F


def wrong_doubles(fine, coarse):
    return fine + F.interpolate(coarse, scale_factor=2, mode="nearest")


def wrong_doubles_and_cuts_the_fine_map(fine, coarse):
    up = F.interpolate(coarse, scale_factor=2, mode="nearest")
    height, width = min(fine.shape[2], up.shape[2]) // 2 * 2, min(fine.shape[3], up.shape[3]) // 2 * 2
    return fine[..., :height, :width] + up[..., :height, :width]


def wrong_blends(fine, coarse):
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")


def wrong_multiplies(fine, coarse):
    return fine * F.interpolate(coarse, size=fine.shape[-2:])


def wrong_concatenates(fine, coarse):
    return torch.cat([fine, F.interpolate(coarse, size=fine.shape[-2:])], 1)


def wrong_forgets_the_fine_map(fine, coarse):
    return F.interpolate(coarse, size=fine.shape[-2:])


def wrong_in_place(fine, coarse):
    return fine.add_(F.interpolate(coarse, size=fine.shape[-2:]))


def wrong_makes_the_fine_map_small(fine, coarse):
    return coarse + F.interpolate(fine, size=coarse.shape[-2:])


def wrong_swaps_height_and_width(fine, coarse):
    return fine + F.interpolate(coarse, size=(fine.shape[3], fine.shape[2]))


def wrong_adds_the_mean(fine, coarse):
    return fine + coarse.mean((2, 3), keepdim=True)


def right_by_index(fine, coarse):
    rows = torch.arange(fine.shape[2]) * coarse.shape[2] // fine.shape[2]
    columns = torch.arange(fine.shape[3]) * coarse.shape[3] // fine.shape[3]
    return fine + coarse[:, :, rows][:, :, :, columns]


def right_by_a_layer(fine, coarse):
    return torch.nn.Upsample(size=tuple(fine.shape[2:]))(coarse) + fine
