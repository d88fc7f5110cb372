"""The whole detector: Faster R-CNN (Ren et al., 2015) on a feature pyramid (Lin et al., 2017).

    images ── to_batch ──► batch
    batch ─── dense ─────► levels (backbone, FPN), logits and deltas (RPN head)  ┐
    levels ── anchors ───► anchors                                               │ first_stage
    logits, deltas, anchors ── propose ──► proposals                             ┘

    in training: proposals ── sample_rois ──► RoIs ──┐
    otherwise:   every proposal is an RoI ───────────┴─ box_branch ──► class_logits, box_deltas

    in training: rpn_losses and detection_losses ──► four losses
    otherwise:   postprocess ──► detections, in pixels of the images

`coursekit.detector` explains the shapes and names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.errors import ConfigError
from coursekit.data.boxes import Size, Target
from coursekit.detector.backbone import Backbone, load_backbone
from coursekit.detector.boxes import Part
from coursekit.detector.describe import describe
from coursekit.detector.parts import choose_parts
from coursekit.detector.resize import resize_boxes, resize_targets, size_of, to_batch
from coursekit.detector.targets import check_images, check_targets

ANCHOR_SCALES = (1.5, 2.5, 4.0)  # sides of an anchor, in strides of its level


@dataclass(frozen=True)
class Options:
    """A detector's options, named as in torchvision's FasterRCNN.

    The defaults are for small images and short training runs; torchvision's are larger. In a pair, the first number is
    for training and the second for inference.
    """

    num_classes: int  # K, without the background; torchvision's num_classes is K + 1
    anchor_sizes: tuple[Sequence[float], ...]  # for each level, in pixels
    ratios: Sequence[float] = (0.5, 1.0, 2.0)  # height / width of the anchors
    min_size: int = 320  # pixels, see `resized_size`
    max_size: int = 320
    rpn_batch_size_per_image: int = 256  # anchors sampled for the losses of the RPN
    rpn_pre_nms_top_n: tuple[int, int] = (500, 500)  # per level
    rpn_post_nms_top_n: tuple[int, int] = (300, 200)
    rpn_nms_thresh: float = 0.7
    rpn_score_thresh: float = 0.0
    box_batch_size_per_image: int = 64  # RoIs sampled for the losses of the second stage
    canonical_scale: float = 64  # pixels, see `level_for_box`
    box_score_thresh: float = 0.05
    box_nms_thresh: float = 0.5
    box_detections_per_img: int = 100


class FasterRCNN(nn.Module):
    """A two-stage detector, called like torchvision's.

    In training, images and targets → a dict of four losses. In eval mode, images → for each image a dict of "boxes"
    (D, 4) xyxy in pixels of that image, "labels" (D,) int64 from 1 to K, and "scores" (D,), best first.

    Args:
        backbone: (B, 3, H, W) → maps, finest first.
        fpn: maps → levels, (B, C, H_i, W_i); there may be more levels than maps.
        rpn_head: levels → logits (B, N) and deltas (B, N, 4).
        box_head: patches (R, C, 7, 7) → class_logits (R, K + 1) and box_deltas (R, K + 1, 4).
        options: the numbers. Its num_classes does not count the background; torchvision's does.
        parts: functions to use in place of ours, by name; see `choose_parts`.

    Attributes:
        parts: all functions by name.
        dense: batch → levels, logits, deltas. No shape in it depends on the data, so it can be compiled:
            `detector.dense = torch.compile(detector.dense)`.
    """

    dense: Callable[[Tensor], tuple[list[Tensor], Tensor, Tensor]]

    def __init__(
        self,
        backbone: Backbone,
        fpn: nn.Module,
        rpn_head: nn.Module,
        box_head: nn.Module,
        options: Options,
        parts: Mapping[str, Part] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.fpn, self.rpn_head, self.box_head = backbone, fpn, rpn_head, box_head
        self.options, self.parts = options, choose_parts(parts)
        self.dense = self._dense

    def forward(
        self,
        images: Sequence[Tensor],
        targets: Sequence[Target] | None = None,
        *,
        pad_to: Size = (0, 0),
        seeds: Sequence[int] | None = None,
    ) -> Any:
        """Return losses in training, detections in eval mode; see the class.

        Args:
            images: (3, H, W) float in 0 to 1, of any sizes.
            targets: for each image, "boxes" (G, 4) float xyxy in its pixels and "labels" (G,) from 1 to K.
            pad_to: the smallest (height, width) of the padded batch, in pixels. With it, a part of a batch is padded
                like the whole.
            seeds: one for each image. What is sampled in an image then depends on its seed alone.

        Raises:
            DataError: an image or a box can't be used; the message names it.
        """
        check_images(images)
        limits, backbone = (self.options.min_size, self.options.max_size), self.backbone
        batch, sizes = to_batch(images, *limits, backbone.mean, backbone.std, pad_to)
        if self.training:
            targets = check_targets(images, targets, self.options.num_classes)
            return self.losses(batch, sizes, resize_targets(targets, images, sizes), seeds)
        detections = self.predict(batch, sizes)
        return [
            detection | {"boxes": resize_boxes(detection["boxes"], size, size_of(image))}
            for detection, size, image in zip(detections, sizes, images, strict=True)
        ]

    def losses(
        self, batch: Tensor, sizes: list[Size], targets: Sequence[Target], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """Compute four losses: two of the RPN, two of the second stage.

        Args:
            batch: (B, 3, H, W) float, normalized and padded.
            sizes: (height, width) of each image in the batch, without padding.
            targets: for each image, in pixels of the batch.
            seeds: see `forward`.
        """
        levels, logits, deltas, anchors, proposals = self.first_stage(batch, sizes)
        generators = [torch.Generator(batch.device).manual_seed(seed) for seed in seeds] if seeds else None
        gt_boxes, count = [target["boxes"] for target in targets], self.options.rpn_batch_size_per_image
        rpn_losses = self.parts.rpn_losses(logits, deltas, torch.cat(anchors), gt_boxes, count, generators=generators)
        rois, target_labels, target_boxes = self.sample(proposals, targets, generators)
        class_logits, box_deltas = self.box_branch(levels, rois)
        box_losses = self.parts.detection_losses(
            class_logits, box_deltas, torch.cat(rois), torch.cat(target_labels), torch.cat(target_boxes)
        )
        return {**box_losses, **rpn_losses}

    def predict(self, batch: Tensor, sizes: list[Size]) -> list[dict[str, Tensor]]:
        """Return the detections of each image, in pixels of the batch. Arguments as in `losses`."""
        levels, *_, proposals = self.first_stage(batch, sizes)
        class_logits, box_deltas = self.box_branch(levels, proposals)
        counts, options = [len(boxes) for boxes in proposals], self.options
        limits = options.box_score_thresh, options.box_nms_thresh, options.box_detections_per_img
        images = zip(class_logits.split(counts), box_deltas.split(counts), proposals, sizes, strict=True)
        return [self.parts.postprocess(*image, *limits) for image in images]

    def first_stage(
        self, batch: Tensor, sizes: list[Size]
    ) -> tuple[list[Tensor], Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Run the detector up to the proposals; training, inference and cached features share this.

        Args:
            batch: (B, 3, H, W) float, normalized and padded.
            sizes: (height, width) of each image in the batch, without padding.

        Returns:
            The levels, (B, C, H_i, W_i); logits (B, N) and deltas (B, N, 4) of the RPN; the anchors of each level,
            (N_i, 4) xyxy; and the proposals of each image, (P, 4) xyxy. Boxes are in pixels of the batch.
        """
        levels, logits, deltas = self.dense(batch)
        anchors = self.anchors(batch, levels)
        proposals = self.propose(logits, deltas, anchors, sizes)
        return levels, logits, deltas, anchors, proposals

    def _dense(self, batch: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Run the part without data-dependent shapes: backbone, FPN and RPN head."""
        levels = self.fpn(self.backbone(batch))
        logits, deltas = self.rpn_head(levels)
        return levels, logits, deltas

    def anchors(self, batch: Tensor, levels: list[Tensor]) -> list[Tensor]:
        """Return the anchors of each level, (N_i, 4) xyxy in pixels: the same for all images of a batch."""
        anchors = []
        for level, sizes in zip(levels, self.options.anchor_sizes, strict=True):
            stride = (batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3])
            on_level = self.parts.make_anchors(tuple(level.shape[2:]), stride, sizes, self.options.ratios)
            anchors.append(on_level.to(batch.device, batch.dtype, non_blocking=True))
        return anchors

    def propose(self, logits: Tensor, deltas: Tensor, anchors: list[Tensor], sizes: list[Size]) -> list[Tensor]:
        """Return the proposals of each image, (P, 4) xyxy in pixels. Arguments as `first_stage` returns them."""
        options, mode = self.options, 0 if self.training else 1
        top_n = options.rpn_pre_nms_top_n[mode], options.rpn_post_nms_top_n[mode]
        limits = *top_n, options.rpn_nms_thresh, options.rpn_score_thresh
        level_sizes, boxes = [len(on_level) for on_level in anchors], torch.cat(anchors)
        return [
            self.parts.propose(logits[image], deltas[image], boxes, level_sizes, size, *limits)
            for image, size in enumerate(sizes)
        ]

    def sample(
        self, proposals: list[Tensor], targets: Sequence[Target], generators: Sequence[torch.Generator] | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Sample RoIs in each image: boxes (R_i, 4), target labels (R_i,) and target boxes (R_i, 4) of each."""
        count, samples = self.options.box_batch_size_per_image, []
        for image, (boxes, target) in enumerate(zip(proposals, targets, strict=True)):
            generator = generators[image] if generators else None
            samples.append(self.parts.sample_rois(boxes, target["boxes"], target["labels"], count, generator=generator))
        rois, target_labels, target_boxes = (list(images) for images in zip(*samples, strict=True))
        return rois, target_labels, target_boxes

    def box_branch(self, levels: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the second stage on boxes of each image, (R_i, 4) xyxy in pixels.

        Returns:
            class_logits (R, K + 1) and box_deltas (R, K + 1, 4), image after image.
        """
        strides = self.backbone.strides
        patches = self.parts.pool_levels(levels[: len(strides)], strides, boxes, self.options.canonical_scale)
        return self.box_head(patches)

    def describe(self, size: Size | None = None) -> None:
        """Print a table of the parts, their strides, parameters and shapes, for one image of this (height, width)."""
        describe(self, size or (self.options.min_size, self.options.max_size))


def build_detector(
    backbone: str = DEFAULT_BACKBONE,
    *,
    num_classes: int,
    size: int = 320,
    channels: int = 96,
    hidden: int = 256,
    frozen_stages: int = 3,
    pretrained: bool = True,
    parts: Mapping[str, Part] | None = None,
) -> FasterRCNN:
    """Build a Faster R-CNN on one of timm's backbones.

    Args:
        backbone: any timm model that supports `features_only` and has maps at strides 8, 16 and 32.
        num_classes: K, classes to detect, without the background: labels are 1 … K. torchvision's num_classes is K + 1.
        size: pixels; images are resized so that their long side is `size`.
        channels: channels of every pyramid level.
        hidden: width of the box head.
        frozen_stages: how many of the backbone's first stages keep their weights; the stem is the first.
        pretrained: start from ImageNet weights.
        parts: name → an intern's or torchvision's function or class to use in place of ours, such as
            {"fpn": MyFPN, "nms": my_nms}.

    Raises:
        ConfigError: no classes, a size too small for three levels, an unknown backbone or part.
        CourseError: the backbone's weights are not on this machine and can't be downloaded.
    """
    if num_classes < 1:
        raise ConfigError("The list of classes is empty. A detector needs at least one class.")
    if size < 64:
        raise ConfigError(f"size {size}: use at least 64 pixels; the coarsest level has a stride of 32.")
    chosen = choose_parts(parts)
    body = load_backbone(backbone, pretrained=pretrained, frozen_stages=frozen_stages)
    anchor_sizes = tuple([int(scale * stride) for scale in ANCHOR_SCALES] for stride in body.strides)
    options = Options(num_classes, anchor_sizes, min_size=size, max_size=size)  # equal: the long side becomes `size`
    model = FasterRCNN(
        body,
        chosen.fpn(body.channels, channels),
        chosen.rpn_head(channels, len(ANCHOR_SCALES) * len(options.ratios)),
        chosen.box_head(channels, num_classes, hidden),
        options,
        parts,
    )
    return model.to(memory_format=torch.channels_last)
