"""Wrong answers that people really give. Each is a function named `wrong_…`; those named `right_…` must pass."""

import torch
import torch.nn.functional as F

from coursekit.detector import axis_weights


def wrong_transposes_each_patch(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio).to(features.dtype)
    return torch.einsum("rph,chw,rqw->rcqp", a_y, features, a_x)


def wrong_unpacks_y_first(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    y1, x1, y2, x2 = (boxes * spatial_scale).unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio).to(features.dtype)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def wrong_takes_width_for_height(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[-1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[-2], output_size, sampling_ratio).to(features.dtype)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def wrong_leaves_the_scale_out(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    x1, y1, x2, y2 = boxes.unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio).to(features.dtype)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def wrong_crops_whole_cells(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    patches = []
    for x1, y1, x2, y2 in (boxes * spatial_scale).round().long().clamp(min=0).tolist():
        crop = features[:, y1 : y2 + 1, x1 : x2 + 1]
        patches.append(F.adaptive_max_pool2d(crop, output_size))
    return torch.stack(patches)


def wrong_scales_in_place(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    boxes *= spatial_scale
    x1, y1, x2, y2 = boxes.unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio).to(features.dtype)
    return torch.einsum("rph,chw,rqw->rcpq", a_y, features, a_x)


def wrong_one_map_for_each_box(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio).to(features.dtype)
    return torch.einsum("rph,rhw,rqw->rpq", a_y, features[: len(boxes)], a_x)


def wrong_mixes_boxes(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    x1, y1, x2, y2 = (boxes * spatial_scale).unbind(-1)
    a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio).to(features.dtype)
    a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio).to(features.dtype)
    rows = torch.einsum("rph,chw->rpcw", a_y, features)
    return torch.einsum("rpcw,sqw->rcpq", rows, a_x)  # sums over all boxes s


def right_with_matmul(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    edges = boxes.to(features.dtype) * spatial_scale
    a_y = axis_weights(edges[:, 1], edges[:, 3], features.size(1), output_size, sampling_ratio)
    a_x = axis_weights(edges[:, 0], edges[:, 2], features.size(2), output_size, sampling_ratio)
    return a_y[:, None] @ features[None] @ a_x[:, None].transpose(-1, -2)


def right_box_by_box(features, boxes, spatial_scale, output_size=7, sampling_ratio=2):
    patches = features.new_zeros(len(boxes), len(features), output_size, output_size)
    for r, box in enumerate(boxes):
        x1, y1, x2, y2 = (box[:, None] * spatial_scale).unbind(0)
        a_y = axis_weights(y1, y2, features.shape[1], output_size, sampling_ratio)[0].to(features.dtype)
        a_x = axis_weights(x1, x2, features.shape[2], output_size, sampling_ratio)[0].to(features.dtype)
        patches[r] = a_y @ features @ a_x.T
    return patches
