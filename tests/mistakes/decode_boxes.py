"""Wrong answers that people really give to `decode_boxes`; those named `right_…` must pass.

The first three round-trip with an encoder that is wrong in the same way.
"""

import math

import torch


def wrong_ratio_less_one(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * (1 + deltas[..., 2:]).clamp(max=1000 / 16) / 2
    return torch.cat([center - half, center + half], -1)


def wrong_corners_for_centres(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    corner = anchors[..., :2] + deltas[..., :2] * side
    return torch.cat([corner, corner + side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp()], -1)


def wrong_shift_in_pixels(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2]
    half = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([center - half, center + half], -1)


def wrong_without_the_clamp(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].exp() / 2
    return torch.cat([center - half, center + half], -1)


def wrong_clamp_before_the_weights(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    dx, dy, dw, dh = deltas.unbind(-1)
    cap = math.log(1000 / 16)
    dx, dy, dw, dh = dx / weights[0], dy / weights[1], dw.clamp(max=cap) / weights[2], dh.clamp(max=cap) / weights[3]
    w, h = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    x, y = anchors[..., 0] + w / 2 + dx * w, anchors[..., 1] + h / 2 + dy * h
    w, h = w * dw.exp(), h * dh.exp()
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)


def wrong_exp_clamped_afterwards_too_low(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].exp().clamp(max=math.log(1000 / 16)) / 2
    return torch.cat([center - half, center + half], -1)


def wrong_gives_xywh(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    grown = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp()
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    return torch.cat([center - grown / 2, grown], -1)


def wrong_cut_at_zero(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([center - half, center + half], -1).clamp(min=0)


def wrong_changes_the_deltas(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas /= deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([center - half, center + half], -1)


def wrong_weights_on_the_cpu(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / torch.tensor(weights, dtype=deltas.dtype)
    side = anchors[..., 2:] - anchors[..., :2]
    center = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = side * deltas[..., 2:].clamp(max=math.log(1000 / 16)).exp() / 2
    return torch.cat([center - half, center + half], -1)


def right_number_by_number(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    x1, y1, x2, y2 = anchors.unbind(-1)
    dx, dy, dw, dh = (one / weight for one, weight in zip(deltas.unbind(-1), weights, strict=True))
    cap = math.log(1000 / 16)
    x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
    w, h = (x2 - x1) * torch.exp(dw.clamp(max=cap)), (y2 - y1) * torch.exp(dh.clamp(max=cap))
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)


def right_clamped_after_exp(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    deltas = deltas / deltas.new_tensor(weights)
    side = anchors[..., 2:] - anchors[..., :2]
    center = (anchors[..., 2:] + anchors[..., :2]) / 2 + deltas[..., :2] * side
    grown = side * deltas[..., 2:].exp().clamp(max=1000 / 16)
    return torch.cat([center - grown / 2, center + grown / 2], -1)
