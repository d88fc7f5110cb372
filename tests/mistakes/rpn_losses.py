"""Wrong answers that people really give; those named `right_…` must pass."""

import torch
import torch.nn.functional as F

from coursekit.detector import encode_boxes, match_anchors, sample_balanced


def wrong_box_loss_by_the_positives(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    scores, labels, said, meant = [], [], [], []
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        scores += [logits[i, pos], logits[i, neg]]
        labels += [torch.ones(len(pos)), torch.zeros(len(neg))]
        said.append(deltas[i, pos])
        meant.append(encode_boxes(truth[matches[pos]], anchors[pos]))
    said, meant = torch.cat(said), torch.cat(meant)
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels)),
        "loss_rpn_box_reg": F.smooth_l1_loss(said, meant, beta=1 / 9, reduction="sum") / max(1, len(said)),
    }


def wrong_torchs_own_mean(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    scores, labels, said, meant = [], [], [], []
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        scores += [logits[i, pos], logits[i, neg]]
        labels += [torch.ones(len(pos)), torch.zeros(len(neg))]
        said.append(deltas[i, pos])
        meant.append(encode_boxes(truth[matches[pos]], anchors[pos]))
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels)),
        "loss_rpn_box_reg": F.smooth_l1_loss(torch.cat(said), torch.cat(meant), beta=1 / 9),
    }


def wrong_beta_forgotten(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    scores, labels, box, n = [], [], 0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        scores += [logits[i, pos], logits[i, neg]]
        labels += [torch.ones(len(pos)), torch.zeros(len(neg))]
        target = encode_boxes(truth[matches[pos]], anchors[pos])
        box = box + F.smooth_l1_loss(deltas[i, pos], target, reduction="sum")
        n += len(pos) + len(neg)
    loss = F.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels))
    return {"loss_objectness": loss, "loss_rpn_box_reg": box / n}


def wrong_every_anchor_counts(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    labels, box, n = [], 0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        labels.append((matches >= 0).float())
        pos = torch.where(matches >= 0)[0]
        target = encode_boxes(truth[matches[pos]], anchors[pos])
        box = box + F.smooth_l1_loss(deltas[i, pos], target, beta=1 / 9, reduction="sum")
        n += len(anchors)
    loss = F.binary_cross_entropy_with_logits(logits, torch.stack(labels))
    return {"loss_objectness": loss, "loss_rpn_box_reg": box / n}


def wrong_boxes_in_turn(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    scores, labels, box, n = [], [], 0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        scores += [logits[i, pos], logits[i, neg]]
        labels += [torch.ones(len(pos)), torch.zeros(len(neg))]
        if len(truth):
            target = encode_boxes(truth[torch.arange(len(pos)) % len(truth)], anchors[pos])
            box = box + F.smooth_l1_loss(deltas[i, pos], target, beta=1 / 9, reduction="sum")
        n += len(pos) + len(neg)
    loss = F.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels))
    return {"loss_objectness": loss, "loss_rpn_box_reg": box / n}


def wrong_mean_of_images(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    first, second = 0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        label = torch.cat([torch.ones(len(pos)), torch.zeros(len(neg))])
        first = first + F.binary_cross_entropy_with_logits(logits[i, torch.cat([pos, neg])], label)
        target = encode_boxes(truth[matches[pos]], anchors[pos])
        second = second + F.smooth_l1_loss(deltas[i, pos], target, beta=1 / 9, reduction="sum") / len(label)
    return {"loss_objectness": first / len(boxes), "loss_rpn_box_reg": second / len(boxes)}


def wrong_fails_without_objects(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    scores, labels, box, n = [], [], 0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        scores += [logits[i, pos], logits[i, neg]]
        labels += [torch.ones(len(pos)), torch.zeros(len(neg))]
        target = encode_boxes(truth[matches], anchors)  # truth[-1] of no boxes
        box = box + F.smooth_l1_loss(deltas[i, pos], target[pos], beta=1 / 9, reduction="sum")
        n += len(pos) + len(neg)
    loss = F.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels))
    return {"loss_objectness": loss, "loss_rpn_box_reg": box / n}


def wrong_numbers_without_gradient(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    scores, labels, box, n = [], [], 0.0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        scores += [logits[i, pos], logits[i, neg]]
        labels += [torch.ones(len(pos)), torch.zeros(len(neg))]
        target = encode_boxes(truth[matches[pos]], anchors[pos])
        box += F.smooth_l1_loss(deltas[i, pos], target, beta=1 / 9, reduction="sum").item()
        n += len(pos) + len(neg)
    loss = F.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels))
    return {"loss_objectness": loss, "loss_rpn_box_reg": torch.tensor(box / n)}


def wrong_sigmoid_of_sigmoid(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    scores, labels, box, n = [], [], 0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        scores += [logits[i, pos].sigmoid(), logits[i, neg].sigmoid()]
        labels += [torch.ones(len(pos)), torch.zeros(len(neg))]
        target = encode_boxes(truth[matches[pos]], anchors[pos])
        box = box + F.smooth_l1_loss(deltas[i, pos], target, beta=1 / 9, reduction="sum")
        n += len(pos) + len(neg)
    loss = F.binary_cross_entropy_with_logits(torch.cat(scores), torch.cat(labels))
    return {"loss_objectness": loss, "loss_rpn_box_reg": box / n}


def right_written_out(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    first, second, n = 0, 0, 0
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        first = first + F.softplus(-logits[i, pos]).sum() + F.softplus(logits[i, neg]).sum()
        error = (deltas[i, pos] - encode_boxes(truth[matches[pos]], anchors[pos])).abs()
        second = second + torch.where(error < 1 / 9, 4.5 * error**2, error - 1 / 18).sum()
        n += len(pos) + len(neg)
    return {"loss_rpn_box_reg": second / n, "loss_objectness": first / n}


def right_with_a_label_for_each_anchor(logits, deltas, anchors, boxes, batch_size_per_image=256, positive_fraction=0.5):
    labels, targets = torch.full_like(logits, -1), torch.zeros_like(deltas)
    for i, truth in enumerate(boxes):
        matches = match_anchors(anchors, truth)
        pos, neg = sample_balanced(matches, batch_size_per_image, positive_fraction)
        labels[i, pos], labels[i, neg] = 1.0, 0.0
        targets[i, pos] = encode_boxes(truth[matches[pos]], anchors[pos])
    used = labels >= 0
    box = F.smooth_l1_loss(deltas[labels == 1], targets[labels == 1], beta=1 / 9, reduction="sum")
    return {
        "loss_objectness": F.binary_cross_entropy_with_logits(logits[used], labels[used]),
        "loss_rpn_box_reg": box / used.sum(),
    }
