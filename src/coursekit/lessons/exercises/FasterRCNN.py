"""Exercise 7.4: assemble the detector."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.data.boxes import Size
from coursekit.detector import (
    FPN,
    BoxHead,
    FasterRCNN,
    Options,
    RPNHead,
    detection_losses,
    make_anchors,
    pool_levels,
    postprocess,
    propose,
    rpn_losses,
    sample_rois,
)
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case

OPTIONS: dict[str, Any] = {
    "num_classes": 3, "ratios": (1.0, 2.0), "anchor_sizes": ((16.0,), (32.0,), (48.0,)), "rpn_batch_size_per_image": 10**6,
    "box_batch_size_per_image": 10**6, "rpn_pre_nms_top_n": (30, 20), "rpn_post_nms_top_n": (24, 16), "box_score_thresh": 0.2,
}  # fmt: skip


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield sizes, boxes and labels of the images, and options that differ from OPTIONS."""
    box, label = xyxy((8, 8, 40, 40)), torch.tensor([2])
    yield case("one image with one object", [(64, 64)], [box], [label])
    yield case("an image without objects", [(64, 64)], [box[:0]], [label[:0]])
    sizes, boxes = [(64, 50), (40, 96)], [box, xyxy((3, 20, 30, 50), (40, 4, 60, 24), (0, 0, 30, 20))]
    labels = [label, torch.tensor([1, 3, 3])]
    yield case("two images, padded to one size", sizes, boxes, labels)
    other = {"box_nms_thresh": 0.2, "box_detections_per_img": 4, "rpn_nms_thresh": 0.5, "canonical_scale": 24}
    yield case("other numbers in options", sizes[::-1], boxes[::-1], labels[::-1], other)
    yield case("another rpn_score_thresh", sizes, boxes, labels, {"rpn_score_thresh": 0.6})
    few = {"rpn_batch_size_per_image": 20, "box_batch_size_per_image": 8}
    yield case("few anchors and RoIs to sample", sizes, boxes, labels, few)


def call(
    answer: Answer,
    sizes: list[Size],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    options: dict[str, Any] | None = None,
) -> Any:
    """Return the losses in training mode, each part's gradients, and the detections in eval mode.

    OPTIONS samples all anchors and all RoIs, so nothing depends on chance. Where `options` samples fewer, return how many
    go into the losses.
    """
    parts, options = _parts(), options or {}
    made = answer(*parts, Options(**OPTIONS | options))
    if not isinstance(made, nn.Module):
        raise TypeError(f"FasterRCNN(…) should make an nn.Module, and made a {type(made).__name__}")
    detector: Any = made
    batch, sampled = _batch(sizes), _count_sampled(parts[2], parts[3])
    targets = [{"boxes": boxes[i], "labels": labels[i]} for i in range(len(sizes))]
    with _explained():
        losses = detector.train().losses(batch, sizes, targets)
    if isinstance(losses, dict) and losses and all(loss.requires_grad for loss in losses.values()):
        torch.stack(list(losses.values())).sum().backward()
    if options.keys() & {"rpn_batch_size_per_image", "box_batch_size_per_image"}:
        return sampled
    gradients = [sum(float(w.grad.abs().sum()) for w in part.parameters() if w.grad is not None) for part in parts]
    with torch.no_grad(), _explained():
        detections = detector.eval().predict(batch, sizes)
    return {
        "losses": dict(sorted(losses.items())) if isinstance(losses, dict) else losses,
        "gradients of backbone, FPN, RPN head and box head": torch.tensor(gradients),
        "detections": list(detections) if isinstance(detections, list | tuple) else detections,
    }


class _SmallBackbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.strides, self.channels = [8, 16, 32], [4, 5, 6]
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 8, 8), nn.Conv2d(4, 5, 2, 2), nn.Conv2d(5, 6, 2, 2)])

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [images]
        for layer in self.layers:
            maps.append(layer(maps[-1]).tanh())
        return maps[1:]


def _parts() -> list[nn.Module]:
    """Return backbone, FPN and both heads. Their weights are random, the same each time, and give varied scores and boxes."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    parts: list[nn.Module] = [_SmallBackbone(), FPN([4, 5, 6], 8), RPNHead(8, 2), BoxHead(8, 3, 16)]
    with torch.no_grad():
        for weight in (weight for part in parts for weight in part.parameters()):
            spread = 1.5 / weight[0].numel() ** 0.5 if weight.ndim > 1 else 0.1
            weight.copy_(spread * torch.randn(weight.shape))
        next(parts[0].parameters()).mul_(3)
    torch.set_rng_state(state)
    return parts


def _batch(sizes: list[Size]) -> Tensor:
    """Return (B, 3, H, W) images of noise, padded to multiples of 32."""
    batch = torch.zeros(len(sizes), 3, *(-(-max(sides) // 32) * 32 for sides in zip(*sizes, strict=True)))
    generator = torch.Generator().manual_seed(1)
    for image, (height, width) in zip(batch, sizes, strict=True):
        image[:, :height, :width] = torch.randn(3, height, width, generator=generator)
    return batch


def _count_sampled(rpn_head: nn.Module, box_head: nn.Module) -> dict[str, int]:
    """Return a dict that counts the anchors and RoIs in the losses, during forward and backward."""
    sampled = {"anchors sampled": 0, "RoIs sampled": 0}

    def count_anchors(gradient: Tensor) -> None:
        sampled["anchors sampled"] += int((gradient != 0).sum())

    def wait_for_gradient(module: nn.Module, levels: Any, outputs: Any) -> None:
        if outputs[0].requires_grad:
            outputs[0].register_hook(count_anchors)

    def count_rois(module: nn.Module, patches: Any, outputs: Any) -> None:
        sampled["RoIs sampled"] += len(outputs[0])

    rpn_head.register_forward_hook(wait_for_gradient)
    box_head.register_forward_hook(count_rois)
    return sampled


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Add the likely cause to the error of an answer that passes a pair of options whole."""
    try:
        yield
    except TypeError as error:
        if "tuple" in str(error):
            cause = "Is rpn_pre_nms_top_n or rpn_post_nms_top_n passed whole? Each is a pair: [0] in training, [1] in eval mode."
            error.args = (f"{error}. {cause}",)
        raise


# A right answer, and wrong ones that change one thing in it.


class _Detector(nn.Module):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options = options

    def mode(self):
        return 0 if self.training else 1

    def first_stage(self, batch, sizes):
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        anchors = []
        for level, sides in zip(levels, self.options.anchor_sizes):
            stride = batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3]
            anchors.append(make_anchors(tuple(level.shape[2:]), stride, sides, self.options.ratios))
        return levels, logits, deltas, torch.cat(anchors), self.propose(logits, deltas, anchors, sizes)

    def propose(self, logits, deltas, anchors, sizes):
        options, mode = self.options, self.mode()
        numbers = (
            options.rpn_pre_nms_top_n[mode],
            options.rpn_post_nms_top_n[mode],
            options.rpn_nms_thresh,
            options.rpn_score_thresh,
        )
        counts, anchors = [len(level) for level in anchors], torch.cat(anchors)
        return [propose(logits[i], deltas[i], anchors, counts, size, *numbers) for i, size in enumerate(sizes)]

    def box_branch(self, levels, boxes):
        return self.box_head(pool_levels(levels, self.backbone.strides, boxes, self.options.canonical_scale))

    def losses(self, batch, sizes, targets):
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        gt_boxes = [target["boxes"] for target in targets]
        first = rpn_losses(logits, deltas, anchors, gt_boxes, self.options.rpn_batch_size_per_image)
        return {**first, **self.second_losses(levels, proposals, targets)}

    def second_losses(self, levels, proposals, targets):
        number = self.options.box_batch_size_per_image
        samples = [sample_rois(rois, t["boxes"], t["labels"], number) for rois, t in zip(proposals, targets)]
        rois, labels, boxes = zip(*samples)
        logits, deltas = self.box_branch(levels, list(rois))
        return detection_losses(logits, deltas, torch.cat(rois), torch.cat(labels), torch.cat(boxes))

    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        return self.second_stage(levels, proposals, sizes)

    def second_stage(self, levels, proposals, sizes):
        counts, options = [len(rois) for rois in proposals], self.options
        logits, deltas = (part.split(counts) for part in self.box_branch(levels, proposals))
        numbers = options.box_score_thresh, options.box_nms_thresh, options.box_detections_per_img
        return [postprocess(*image, *numbers) for image in zip(logits, deltas, proposals, sizes)]


def _padded(batch, sizes):
    return [tuple(batch.shape[2:])] * len(sizes)


class image_by_image(_Detector):
    def predict(self, batch, sizes):
        return tuple(super(image_by_image, self).predict(batch[[i]], [size])[0] for i, size in enumerate(sizes))


class no_rpn_losses(_Detector):
    def losses(self, *args):
        losses = super().losses(*args)
        return {name: losses[name] for name in ("loss_classifier", "loss_box_reg")}


class one_loss(_Detector):
    def losses(self, *args):
        return sum(super().losses(*args).values())


class proposals_in_padding(_Detector):
    def first_stage(self, batch, sizes):
        return super().first_stage(batch, _padded(batch, sizes))


class detections_in_padding(_Detector):
    def predict(self, batch, sizes):
        levels, *_, proposals = self.first_stage(batch, sizes)
        return self.second_stage(levels, proposals, _padded(batch, sizes))


class both_in_padding(proposals_in_padding, detections_in_padding):
    pass


class width_first(_Detector):
    def propose(self, logits, deltas, anchors, sizes):
        return super().propose(logits, deltas, anchors, [size[::-1] for size in sizes])


class proposals_of_the_first(_Detector):
    def propose(self, logits, deltas, anchors, sizes):
        return super().propose(logits[:1].expand_as(logits), deltas[:1].expand_as(deltas), anchors, sizes)


class anchors_as_one_level(_Detector):
    def propose(self, logits, deltas, anchors, sizes):
        return super().propose(logits, deltas, [torch.cat(anchors)], sizes)


class detections_of_the_first(_Detector):
    def predict(self, batch, sizes):
        return super().predict(batch, sizes)[:1] * len(sizes)


class coarsest_first(_Detector):
    def box_branch(self, levels, boxes):
        return super().box_branch(levels[::-1], boxes)


class levels_detached(_Detector):
    def box_branch(self, levels, boxes):
        return super().box_branch([level.detach() for level in levels], boxes)


class maps_detached(_Detector):
    def __init__(self, backbone, fpn, rpn_head, box_head, options):
        super().__init__(backbone, lambda maps: fpn([m.detach() for m in maps]), rpn_head, box_head, options)


class mean_over_images(_Detector):
    def second_losses(self, levels, proposals, targets):
        each = [
            super(mean_over_images, self).second_losses(
                [level[[i]] for level in levels], proposals[i : i + 1], [target]
            )
            for i, target in enumerate(targets)
        ]
        return {name: sum(losses[name] for losses in each) / len(each) for name in each[0]}


class gt_boxes_for_proposals(_Detector):
    def second_losses(self, levels, proposals, targets):
        return super().second_losses(levels, [target["boxes"] for target in targets], targets)


class only_the_boxes(_Detector):
    def predict(self, batch, sizes):
        return [detections["boxes"] for detections in super().predict(batch, sizes)]


def _with_mode(mode, words=""):
    return Wrong(type("Changed", (_Detector,), {"mode": mode}), words)


def _ignoring(*names, words):
    class Changed(_Detector):
        def __init__(self, *args):
            *parts, options = args
            super().__init__(*parts, replace(options, **{name: getattr(Options, name) for name in names}))

    return Wrong(Changed, words)


EXERCISE = Exercise(
    "FasterRCNN",
    lesson=7,
    minutes=40,
    regions=3,
    reference=FasterRCNN,
    cases=cases,
    call=call,
    tolerance=1e-4,
    library=("torchvision.models.detection.FasterRCNN", "torchvision.models.detection.faster_rcnn.FasterRCNN"),
    hints=(
        "“The shapes don't match.” Maps, levels, anchors and the RPN's outputs are made once for the whole batch; propose, "
        "sample_rois and postprocess work on one image. Print the shapes of the first kind; [i] takes image i out of them.",
        "“Right for one image, wrong for two.” sizes[i] is the size of image i without padding: propose and postprocess clip to "
        "it. The second stage sees the RoIs of all images in one long list; .split(counts) divides its outputs again.",
        "“Nearly there.” In losses: first_stage; rpn_losses(logits, deltas, torch.cat(anchors), gt_boxes, "
        "options.rpn_batch_size_per_image); for each image sample_rois(…, options.box_batch_size_per_image); box_branch(levels, rois); detection_losses(…, "
        "torch.cat(rois), torch.cat(labels), torch.cat(boxes)); return both dicts as one.",
    ),
    wrong=(
        Wrong(no_rpn_losses, "the RPN's two losses are left out: it never learns to propose"),
        Wrong(one_loss, "the losses are summed: return a dict of the four"),
        Wrong(proposals_in_padding, "proposals are clipped to the padded batch, not to the image"),
        Wrong(both_in_padding, "proposals and detections are clipped to the padded batch, not to the image"),
        Wrong(detections_in_padding, "detections are clipped to the padded batch, not to the image"),
        Wrong(width_first, "height and width are swapped where proposals are clipped"),
        _with_mode(lambda self: 0, "rpn_pre_nms_top_n and rpn_post_nms_top_n are those of training, also in eval mode"),
        _with_mode(lambda self: 1, "rpn_pre_nms_top_n and rpn_post_nms_top_n are those of eval mode, also in training"),
        _with_mode(
            lambda self: 1 if self.training else 0, "the pairs in options are swapped: the first is for training"
        ),
        _ignoring("rpn_batch_size_per_image", words="rpn_losses doesn't get rpn_batch_size_per_image"),
        _ignoring("box_batch_size_per_image", words="sample_rois doesn't get box_batch_size_per_image"),
        _ignoring(
            "rpn_batch_size_per_image",
            "box_batch_size_per_image",
            words="rpn_batch_size_per_image and box_batch_size_per_image of options are not used",
        ),
        _ignoring(
            "box_score_thresh",
            "box_nms_thresh",
            "box_detections_per_img",
            words="postprocess doesn't get the numbers in options",
        ),
        _ignoring("rpn_score_thresh", words="propose doesn't get rpn_score_thresh of options"),
        _ignoring("rpn_nms_thresh", words="propose doesn't get rpn_nms_thresh of options"),
        _ignoring(
            "rpn_nms_thresh",
            "rpn_score_thresh",
            words="propose doesn't get rpn_nms_thresh and rpn_score_thresh of options",
        ),
        _ignoring("box_score_thresh", words="postprocess doesn't get box_score_thresh of options"),
        _ignoring("box_nms_thresh", words="postprocess doesn't get box_nms_thresh of options"),
        _ignoring("box_detections_per_img", words="postprocess doesn't get box_detections_per_img of options"),
        Wrong(proposals_of_the_first, "each image gets the first image's proposals"),
        Wrong(detections_of_the_first, "each image gets the first image's detections"),
        Wrong(coarsest_first, "the second stage gets the levels coarsest first"),
        Wrong(maps_detached, "no gradient reaches the backbone"),
        Wrong(levels_detached, "the levels are detached before the second stage: only the RPN trains the FPN"),
        Wrong(mean_over_images, "the second stage's losses are a mean over images: put all RoIs into one list"),
        Wrong(anchors_as_one_level),
        Wrong(gt_boxes_for_proposals),
        Wrong(only_the_boxes),
        _with_mode(lambda self: slice(None)),  # pairs passed whole
    ),
    right=(_Detector, image_by_image),
)
