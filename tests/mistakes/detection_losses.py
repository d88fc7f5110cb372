"""Wrong answers that people really give to `detection_losses`; those named `right_…` must pass."""

import torch
import torch.nn.functional as F


def wrong_means_by_torch(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    positive = torch.where(labels > 0)[0]
    said, meant = deltas[positive, labels[positive]], encode(boxes[positive], rois[positive])
    return {
        "loss_classifier": F.cross_entropy(logits, labels),
        "loss_box_reg": F.smooth_l1_loss(said, meant, beta=1 / 9),
    }


def wrong_without_weights(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    positive, many = torch.where(labels > 0)[0], max(1, len(labels))
    said, meant = deltas[positive, labels[positive]], encode(boxes[positive], rois[positive], (1.0,) * 4)
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box_reg": F.smooth_l1_loss(said, meant, beta=1 / 9, reduction="sum") / many,
    }


def wrong_all_classes_at_once(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    positive, many = torch.where(labels > 0)[0], max(1, len(labels))
    meant = encode(boxes[positive], rois[positive])[:, None].expand(-1, deltas.shape[1], -1)
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box_reg": F.smooth_l1_loss(deltas[positive], meant, beta=1 / 9, reduction="sum") / many,
    }


def wrong_class_off_by_one(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    positive, many = torch.where(labels > 0)[0], max(1, len(labels))
    said, meant = deltas[positive, labels[positive] - 1], encode(boxes[positive], rois[positive])
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box_reg": F.smooth_l1_loss(said, meant, beta=1 / 9, reduction="sum") / many,
    }


def wrong_boxes_in_pixels(logits, deltas, rois, labels, boxes):
    positive, many = torch.where(labels > 0)[0], max(1, len(labels))
    said = deltas[positive, labels[positive]]
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box_reg": F.smooth_l1_loss(said, boxes[positive], beta=1 / 9, reduction="sum") / many,
    }


def wrong_nan_for_no_positive(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    positive, many = torch.where(labels > 0)[0], max(1, len(labels))
    said, meant = deltas[positive, labels[positive]], encode(boxes[positive], rois[positive])
    return {
        "loss_classifier": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box_reg": F.smooth_l1_loss(said, meant, beta=1 / 9) * 4 * len(positive) / many,
    }


def wrong_the_other_names(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    positive, many = torch.where(labels > 0)[0], max(1, len(labels))
    said, meant = deltas[positive, labels[positive]], encode(boxes[positive], rois[positive])
    return {
        "loss_cls": F.cross_entropy(logits, labels, reduction="sum") / many,
        "loss_box": F.smooth_l1_loss(said, meant, beta=1 / 9, reduction="sum") / many,
    }


def wrong_a_tuple(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    positive, many = torch.where(labels > 0)[0], max(1, len(labels))
    said, meant = deltas[positive, labels[positive]], encode(boxes[positive], rois[positive])
    classifier = F.cross_entropy(logits, labels, reduction="sum") / many
    return classifier, F.smooth_l1_loss(said, meant, beta=1 / 9, reduction="sum") / many


def right_by_hand(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    many = max(1, len(labels))
    rows = torch.arange(len(labels))
    off = (deltas[rows, labels] - encode(boxes, rois)).abs()
    each = torch.where(off < 1 / 9, 4.5 * off**2, off - 1 / 18) * (labels > 0)[:, None]
    return {
        "loss_box_reg": each.sum() / many,
        "loss_classifier": -logits.log_softmax(1)[rows, labels].sum() / many,
    }


def right_in_a_loop(logits, deltas, rois, labels, boxes):
    def encode(boxes, anchors, weights=(10.0, 10.0, 5.0, 5.0)):
        side, extent = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
        shift = (boxes[:, :2] + side / 2 - anchors[:, :2] - extent / 2) / extent
        return torch.cat([shift, (side / extent).log()], 1) * boxes.new_tensor(weights)

    classifier, box = logits.sum() * 0, deltas.sum() * 0
    for row, label in enumerate(labels.tolist()):
        classifier = classifier + F.cross_entropy(logits[row], labels[row])
        if label:
            meant = encode(boxes[row, None], rois[row, None])[0]
            box = box + F.smooth_l1_loss(deltas[row, label], meant, beta=1 / 9, reduction="sum")
    many = max(len(labels), 1)
    return {"loss_classifier": classifier / many, "loss_box_reg": box / many}
