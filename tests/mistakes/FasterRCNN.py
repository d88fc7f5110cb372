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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [
            propose(logits[i], deltas[i], anchors, counts, batch.shape[2:], *numbers) for i, size in enumerate(sizes)
        ]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [
            propose(logits[i], deltas[i], anchors, counts, size[::-1], *numbers) for i, size in enumerate(sizes)
        ]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        second = detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))
        return {name: one for name, one in second.items() if name not in first}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, _ = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(truth, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        samples = [sample_rois(p, t["boxes"], t["labels"]) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n, o.rpn_post_nms_top_n, o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        numbers = o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img
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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(
            pool_levels([one.detach() for one in levels], self.backbone.strides, boxes, self.options.canonical_scale)
        )

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels[::-1], self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        logits, deltas = self.box_branch(levels, proposals)
        counts, o = [len(one) for one in proposals], self.options
        parts = zip(logits.split(counts), deltas.split(counts), proposals, sizes)
        return [postprocess(*one, o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img) for one in parts]


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
        numbers = o.rpn_pre_nms_top_n[mode], o.rpn_post_nms_top_n[mode], o.rpn_nms_thresh, o.rpn_score_thresh
        proposals = [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]
        return levels, logits, deltas, anchors, proposals

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        truth = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, truth, self.options.rpn_batch_size_per_image)
        count = self.options.box_batch_size_per_image
        samples = [sample_rois(p, t["boxes"], t["labels"], count) for p, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        said = self.box_branch(levels, list(rois))
        return {**first, **detection_losses(*said, torch.cat(rois), torch.cat(labels), torch.cat(boxes))}

    def predict(self, batch, sizes):
        found, o = [], self.options
        for i, size in enumerate(sizes):
            levels, *_, proposals = self.first_stage(batch[i : i + 1], [size])
            said = self.box_branch(levels, proposals)
            numbers = o.box_score_thresh, o.box_nms_thresh, o.box_detections_per_img
            found.append(postprocess(*said, proposals[0], size, *numbers))
        return tuple(found)
