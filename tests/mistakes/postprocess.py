"""Wrong answers that people really give to `postprocess`; those named `right_…` must pass."""

import torch
from torchvision.ops import batched_nms, clip_boxes_to_image, nms


def wrong_labels_from_zero(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, scores, labels = all(logits, deltas, rois, size)
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good] - 1
    kept = batched_nms(boxes, scores, labels, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_background_is_a_class(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes = clip_boxes_to_image(decode(deltas, rois[:, None]).reshape(-1, 4), size)
    labels, scores = torch.arange(logits.shape[1]).repeat(len(rois)), logits.softmax(1).flatten()
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = batched_nms(boxes, scores, labels, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_nms_across_classes(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, scores, labels = all(logits, deltas, rois, size)
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = nms(boxes, scores, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_best_class_only(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    scores, labels = logits.softmax(1)[:, 1:].max(1)
    boxes = clip_boxes_to_image(decode(deltas[torch.arange(len(rois)), labels + 1], rois), size)
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good] + 1
    kept = batched_nms(boxes, scores, labels, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_boxes_are_the_proposals(
    logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100
):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    _, scores, labels = all(logits, deltas, rois, size)
    boxes = clip_boxes_to_image(rois.repeat_interleave(logits.shape[1] - 1, 0), size)
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = batched_nms(boxes, scores, labels, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_no_clipping(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
    labels, scores = torch.arange(1, logits.shape[1]).repeat(len(rois)), logits.softmax(1)[:, 1:].flatten()
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = batched_nms(boxes, scores, labels, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_the_first_hundred_of_each_class(
    logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100
):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, scores, labels = all(logits, deltas, rois, size)
    good, kept = sound(boxes, scores, score_thresh), []
    for label in range(1, logits.shape[1]):
        here = torch.where(good & (labels == label))[0]
        kept.append(here[nms(boxes[here], scores[here], nms_thresh)][:detections_per_img])
    kept = torch.cat(kept)
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_logits_for_scores(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, _, labels = all(logits, deltas, rois, size)
    scores = logits[:, 1:].flatten()
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = batched_nms(boxes, scores, labels, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_offset_too_small(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, scores, labels = all(logits, deltas, rois, size)
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = nms(boxes + labels[:, None], scores, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def wrong_classes_1000_pixels_apart(
    logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100
):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, scores, labels = all(logits, deltas, rois, size)
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    kept = nms(boxes + 1000 * labels[:, None], scores, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def right_class_by_class(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, scores, labels = all(logits, deltas, rois, size)
    good, kept = sound(boxes, scores, score_thresh), []
    for label in range(1, logits.shape[1]):
        here = torch.where(good & (labels == label))[0]
        kept.append(here[nms(boxes[here], scores[here], nms_thresh)])
    kept = torch.cat(kept)
    kept = kept[scores[kept].argsort(descending=True)][:detections_per_img]
    return {"scores": scores[kept], "labels": labels[kept], "boxes": boxes[kept]}


def right_with_an_offset(logits, deltas, rois, size, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    def decode(deltas, rois, weights=(10.0, 10.0, 5.0, 5.0)):
        deltas = deltas / deltas.new_tensor(weights)
        extent = rois[..., 2:] - rois[..., :2]
        center = rois[..., :2] + extent / 2 + deltas[..., :2] * extent
        half = extent / 2 * deltas[..., 2:].clamp(max=4.1351665567423558).exp()
        return torch.cat([center - half, center + half], -1)

    def all(logits, deltas, rois, size):
        boxes = decode(deltas[:, 1:], rois[:, None]).reshape(-1, 4)
        labels = torch.arange(1, logits.shape[1]).repeat(len(rois))
        return clip_boxes_to_image(boxes, size), logits.softmax(1)[:, 1:].flatten(), labels

    def sound(boxes, scores, box_score_thresh):
        return (scores > box_score_thresh) & (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(1)

    boxes, scores, labels = all(logits, deltas, rois, size)
    good = sound(boxes, scores, score_thresh)
    boxes, scores, labels = boxes[good], scores[good], labels[good]
    apart = boxes + (max(size) + 1) * labels[:, None].to(boxes.dtype)
    kept = nms(apart, scores, nms_thresh)[:detections_per_img]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}
