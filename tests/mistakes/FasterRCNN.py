"""Wrong answers that people really give to `FasterRCNN`; those named `right_…` must pass."""

import torch
from torch import nn

from my_detector import detection_losses, make_anchors, pool_levels, postprocess, propose, rpn_losses, sample_rois


class wrong_size_of_the_batch(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [
            propose(logits[i], deltas[i], anchors, counts, batch.shape[2:], *numbers) for i, size in enumerate(sizes)
        ]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_width_before_height(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [
            propose(logits[i], deltas[i], anchors, counts, size[::-1], *numbers) for i, size in enumerate(sizes)
        ]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_numbers_of_training(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_anchors_counted_as_one_level(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [sum(len(one) for one in anchors)], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_without_the_rpns_losses(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        second = detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))
        return {name: one for name, one in second.items() if name not in first}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_the_truth_for_proposals(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, _ = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(truth, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_default_numbers(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts = [len(one) for one in proposals]
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one) for one in parts]


class wrong_anchors_sampled_is_left_alone(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_rois_sampled_is_left_alone(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        samples = [sample_rois(p, t["boxes"], t["labels"]) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_pairs_the_other_way_round(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 1 if self.training else 0
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_pairs_passed_whole(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o = self.options
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before, o.proposals_after, o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_only_the_boxes(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        numbers = o.least_score, o.detection_nms, o.most_detections
        return [postprocess(*one, *numbers)["boxes"] for one in parts]


class wrong_levels_detached(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(
            pool_levels([one.detach() for one in levels], self.backbone.strides, boxes, self.options.canonical_size)
        )

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class wrong_levels_coarsest_first(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels[::-1], self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class right_as_it_is_meant(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.look_at(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.least_score, o.detection_nms, o.most_detections) for one in parts]


class right_image_by_image(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def first_stage(self, batch, sizes):
        o, mode = self.options, 0 if self.training else 1
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, o.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, o.ratios))
        counts, anchors = [len(one) for one in anchors], torch.cat(anchors)
        numbers = o.proposals_before[mode], o.proposals_after[mode], o.proposal_nms, o.proposal_score
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def look_at(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_size))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.anchors_sampled)
        count = self.options.rois_sampled
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.look_at(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def detect(self, batch, sizes):
        found, o = [], self.options
        for i, size in enumerate(sizes):
            levels, *_, proposals = self.first_stage(batch[i : i + 1], [size])
            said = self.look_at(levels, proposals)
            numbers = o.least_score, o.detection_nms, o.most_detections
            found.append(postprocess(*said, proposals[0], size, *numbers))
        return tuple(found)
