"""Wrong answers that people really give to `encode_boxes`; those named `right_…` must pass.

The first three round-trip with a decoder that is wrong in the same way.
"""

import torch


def wrong_ratio_without_its_logarithm(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, side / extent - 1], -1) * boxes.new_tensor(weights)


def wrong_corners_for_centres(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] - anchors[..., :2]) / extent
    return torch.cat([shift, (side / extent).log()], -1) * boxes.new_tensor(weights)


def wrong_shift_in_pixels(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2
    return torch.cat([shift, (side / extent).log()], -1) * boxes.new_tensor(weights)


def wrong_growth_before_shift(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([(side / extent).log(), shift], -1) * boxes.new_tensor(weights)


def wrong_takes_xywh(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:], anchors[..., 2:]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], -1) * boxes.new_tensor(weights)


def wrong_forgets_the_weights(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], -1)


def wrong_for_lists_only(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)


def wrong_weights_on_the_cpu(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], -1) * torch.tensor(weights, dtype=boxes.dtype)


def wrong_float32_for_float16(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    side, extent = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + side / 2 - anchors[..., :2] - extent / 2) / extent
    return torch.cat([shift, (side / extent).log()], -1) * torch.tensor(weights, device=boxes.device)


def right_number_by_number(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    x1, y1, x2, y2 = boxes.unbind(-1)
    a1, b1, a2, b2 = anchors.unbind(-1)
    wx, wy, ww, wh = weights
    dx = ((x1 + x2) - (a1 + a2)) / 2 / (a2 - a1)
    dy = ((y1 + y2) - (b1 + b2)) / 2 / (b2 - b1)
    dw = torch.log(x2 - x1) - torch.log(a2 - a1)
    dh = torch.log(y2 - y1) - torch.log(b2 - b1)
    return torch.stack([wx * dx, wy * dy, ww * dw, wh * dh], dim=-1)
