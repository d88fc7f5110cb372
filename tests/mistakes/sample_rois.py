"""Wrong answers that people really give to `sample_rois`; those named `right_…` must pass."""

import torch
from torchvision.ops import box_iou


def wrong_without_the_truth(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    if not len(boxes):
        rois = proposals[torch.randperm(len(proposals))[:batch_size_per_image]]
        return rois, torch.zeros(len(rois), dtype=torch.int64), rois
    if not len(proposals):
        return proposals, labels[:0], proposals
    best, match = box_iou(proposals, boxes).max(1)
    positive, negative = torch.where(best >= 0.5)[0], torch.where(best < 0.5)[0]
    positive = positive[torch.randperm(len(positive))[: int(batch_size_per_image * positive_fraction)]]
    negative = negative[torch.randperm(len(negative))[: batch_size_per_image - len(positive)]]
    found = match[positive]
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([labels[found], torch.zeros_like(negative)]),
        torch.cat([boxes[found], proposals[negative]]),
    )


def wrong_fails_without_objects(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    proposals = torch.cat([proposals, boxes])
    best, match = box_iou(proposals, boxes).max(1)
    positive, negative = torch.where(best >= 0.5)[0], torch.where(best < 0.5)[0]
    positive = positive[torch.randperm(len(positive))[: int(batch_size_per_image * positive_fraction)]]
    negative = negative[torch.randperm(len(negative))[: batch_size_per_image - len(positive)]]
    found = match[positive]
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([labels[found], torch.zeros_like(negative)]),
        torch.cat([boxes[found], proposals[negative]]),
    )


def wrong_more_than_a_half(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(
        proposals, boxes, labels, batch_size_per_image, positive_fraction, strict=True
    )
    found = match[positive]
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([labels[found], torch.zeros_like(negative)]),
        torch.cat([boxes[found], proposals[negative]]),
    )


def wrong_limit_of_the_rpn(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(
        proposals, boxes, labels, batch_size_per_image, positive_fraction, 0.7
    )
    found = match[positive]
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([labels[found], torch.zeros_like(negative)]),
        torch.cat([boxes[found], proposals[negative]]),
    )


def wrong_labels_without_the_match(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(proposals, boxes, labels, batch_size_per_image, positive_fraction)
    padded = torch.cat([labels, torch.zeros(len(proposals), dtype=torch.int64)])
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([padded[: len(positive)], torch.zeros_like(negative)]),
        torch.cat([boxes[match[positive]], proposals[negative]]),
    )


def wrong_background_gets_a_label(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(proposals, boxes, labels, batch_size_per_image, positive_fraction)
    chosen = torch.cat([positive, negative])
    if not len(boxes):
        return proposals[chosen], torch.zeros(len(chosen), dtype=torch.int64), proposals[chosen]
    return proposals[chosen], labels[match[chosen]], boxes[match[chosen]]


def wrong_a_full_count_of_background(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(proposals, boxes, labels, 10**6, 1.0)
    positive = positive[torch.randperm(len(positive))[: int(batch_size_per_image * positive_fraction)]]
    negative = negative[torch.randperm(len(negative))[:batch_size_per_image]]
    found = match[positive]
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([labels[found], torch.zeros_like(negative)]),
        torch.cat([boxes[found], proposals[negative]]),
    )


def wrong_draws_with_replacement(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(proposals, boxes, labels, 10**6, 1.0)
    if len(positive):
        positive = positive[torch.randint(len(positive), (int(batch_size_per_image * positive_fraction),))]
    if len(negative):
        negative = negative[torch.randint(len(negative), (batch_size_per_image - len(positive),))]
    found = match[positive]
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([labels[found], torch.zeros_like(negative)]),
        torch.cat([boxes[found], proposals[negative]]),
    )


def right_background_first(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(proposals, boxes, labels, batch_size_per_image, positive_fraction)
    chosen = torch.cat([negative, positive])
    is_object = torch.arange(len(chosen)) >= len(negative)
    names, targets = torch.zeros(len(chosen), dtype=torch.int64), proposals[chosen].clone()
    names[is_object], targets[is_object] = labels[match[positive]], boxes[match[positive]]
    return proposals[chosen], names, targets


def right_the_first_so_many(proposals, boxes, labels, batch_size_per_image=64, positive_fraction=0.25):
    def sample(proposals, boxes, labels, count, share, at_least=0.5, strict=False, draw=torch.randperm):
        proposals = torch.cat([proposals, boxes])
        if len(boxes):
            best, match = box_iou(proposals, boxes).max(1)
        else:
            best, match = torch.zeros(len(proposals)), torch.zeros(len(proposals), dtype=torch.int64)
        is_object = best > at_least if strict else best >= at_least
        positive, negative = torch.where(is_object)[0], torch.where(~is_object)[0]
        positive = positive[draw(len(positive))[: int(count * share)]]
        negative = negative[draw(len(negative))[: count - len(positive)]]
        return proposals, positive, negative, match

    proposals, positive, negative, match = sample(
        proposals,
        boxes,
        labels,
        batch_size_per_image,
        positive_fraction,
        draw=lambda number: torch.arange(number).flip(0),
    )
    found = match[positive]
    return (
        proposals[torch.cat([positive, negative])],
        torch.cat([labels[found], torch.zeros_like(negative)]),
        torch.cat([boxes[found], proposals[negative]]),
    )
