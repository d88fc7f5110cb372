"""The whole detector: Faster R-CNN (Ren et al., 2015) on a feature pyramid (Lin et al., 2017)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.errors import ConfigError
from coursekit.data.boxes import Size, Target
from coursekit.detector import resize
from coursekit.detector.backbone import Backbone, load_backbone
from coursekit.detector.boxes import only_known
from coursekit.detector.describe import describe
from coursekit.detector.parts import choose_parts
from coursekit.detector.resize import resize_boxes, size_of
from coursekit.detector.targets import check_images, check_targets

ANCHOR_SCALES = (1.5, 2.5, 4.0)  # sides of an anchor, in strides of its level


@dataclass(frozen=True)
class Options:
    """The numbers of a detector. The defaults are for small images and little time: torchvision's are larger.

    Pairs are for training and for inference.
    """

    num_classes: int  # without the background
    anchor_sizes: tuple[Sequence[float], ...]  # of each level, in pixels
    ratios: Sequence[float] = (0.5, 1.0, 2.0)  # height over width
    min_size: int = 320  # with `max_size`: what images are resized to, see `to_batch`
    max_size: int = 320
    rpn_batch_size_per_image: int = 256  # of each image
    rpn_pre_nms_top_n: tuple[int, int] = (500, 500)  # of each level, into non-maximum suppression
    rpn_post_nms_top_n: tuple[int, int] = (300, 200)
    rpn_nms_thresh: float = 0.7
    rpn_score_thresh: float = 0.0
    box_batch_size_per_image: int = 64
    canonical_scale: float = 64  # of the boxes that read level 4; the paper's 224 is for images of 1,000 pixels
    box_score_thresh: float = 0.05
    box_nms_thresh: float = 0.5
    box_detections_per_img: int = 100


class FasterRCNN(nn.Module):
    """A two-stage detector, called as torchvision's are.

    In training: (list of (3, H, W) float images in 0 to 1, list of targets with `boxes` (N, 4) xyxy and `labels` (N,)
    from 1) → dict of four losses. In eval mode: images → a list of dicts with `boxes` (N, 4) xyxy in pixels of the
    image given, `labels` (N,) and `scores` (N,), best first.

    Attributes:
        options: its numbers.
        parts: its functions by name; see `choose_parts`.
        dense: images → maps and what the RPN says. No shape in it depends on the data, so it can be compiled:
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
        parts: Mapping[str, Callable[..., Any]] | None = None,
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
        """See the class.

        Args:
            images, targets: see the class.
            pad_to: height and width of the padded batch, at least: a part of a batch is then padded like the whole.
            seeds: one for each image: what is sampled in it then depends on nothing else.

        Raises:
            DataError: an image or a box can't be used; it is named.
        """
        check_images(images)
        limits, backbone = (self.options.min_size, self.options.max_size), self.backbone
        batch, sizes = resize.to_batch(images, *limits, backbone.mean, backbone.std, pad_to)
        if self.training:
            checked = check_targets(images, targets, self.options.num_classes)
            return self.losses(batch, sizes, resize.resize_targets(checked, images, sizes), seeds)
        detections = self.predict(batch, sizes)
        return [
            one | {"boxes": resize_boxes(one["boxes"], size, size_of(image))}
            for one, size, image in zip(detections, sizes, images, strict=True)
        ]

    def losses(
        self, batch: Tensor, sizes: list[Size], targets: Sequence[Target], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """The four losses of a padded batch: two of the RPN, two of the second stage."""
        levels, logits, deltas = self.dense(batch)
        anchors = self.anchors(batch, levels)
        boxes, labels = [target["boxes"] for target in targets], [target["labels"] for target in targets]
        proposals = self.propose(logits, deltas, anchors, sizes)
        drawn = [torch.Generator(batch.device).manual_seed(seed) for seed in seeds] if seeds else None
        known = only_known(self.parts.rpn_losses, generators=drawn)
        first = self.parts.rpn_losses(
            logits, deltas, torch.cat(anchors), boxes, self.options.rpn_batch_size_per_image, **known
        )

        count, samples = self.options.box_batch_size_per_image, []
        for image, truth in enumerate(zip(proposals, boxes, labels, strict=True)):
            known = only_known(self.parts.sample_rois, generator=drawn[image] if drawn else None)
            samples.append(self.parts.sample_rois(*truth, count, **known))
        rois, roi_labels, roi_boxes = (list(each) for each in zip(*samples, strict=True))
        opinion = self.box_branch(levels, rois)
        second = self.parts.detection_losses(*opinion, torch.cat(rois), torch.cat(roi_labels), torch.cat(roi_boxes))
        return {**second, **first}

    def predict(self, batch: Tensor, sizes: list[Size]) -> list[dict[str, Tensor]]:
        """Detections in each image of a padded batch, in its pixels."""
        levels, logits, deltas = self.dense(batch)
        proposals = self.propose(logits, deltas, self.anchors(batch, levels), sizes)
        classes, offsets = self.box_branch(levels, proposals)
        counts, options = [len(one) for one in proposals], self.options
        numbers = options.box_score_thresh, options.box_nms_thresh, options.box_detections_per_img
        each = zip(classes.split(counts), offsets.split(counts), proposals, sizes, strict=True)
        return [self.parts.postprocess(*one, *numbers) for one in each]

    def _dense(self, batch: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """(B, 3, H, W) → levels of the pyramid, logits (B, N) and deltas (B, N, 4) of all anchors."""
        levels = self.fpn(self.backbone(batch))
        return levels, *self.rpn_head(levels)

    def anchors(self, batch: Tensor, levels: list[Tensor]) -> list[Tensor]:
        """(N_level, 4) anchors of each level, the same for all images of a batch."""
        anchors = []
        for level, sizes in zip(levels, self.options.anchor_sizes, strict=True):
            stride = (batch.shape[2] // level.shape[2], batch.shape[3] // level.shape[3])
            one = self.parts.make_anchors(tuple(level.shape[2:]), stride, sizes, self.options.ratios)
            anchors.append(one.to(batch.device, batch.dtype, non_blocking=True))
        return anchors

    def propose(self, logits: Tensor, deltas: Tensor, anchors: list[Tensor], sizes: list[Size]) -> list[Tensor]:
        """(P, 4) boxes for each image that the second stage should look at."""
        options, mode = self.options, 0 if self.training else 1
        before, after = options.rpn_pre_nms_top_n[mode], options.rpn_post_nms_top_n[mode]
        numbers = before, after, options.rpn_nms_thresh, options.rpn_score_thresh
        counts, every = [len(one) for one in anchors], torch.cat(anchors)
        return [self.parts.propose(logits[i], deltas[i], every, counts, size, *numbers) for i, size in enumerate(sizes)]

    def box_branch(self, levels: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The second stage's opinion of boxes: logits (R, K + 1) and deltas (R, K + 1, 4), image after image."""
        strides = self.backbone.strides
        patches = self.parts.pool_levels(levels[: len(strides)], strides, boxes, self.options.canonical_scale)
        return self.box_head(patches)

    def describe(self, size: Size | None = None) -> None:
        """Print the parts, their strides, parameters and shapes for one image of this height and width, as a table."""
        describe(self, size or (self.options.min_size, self.options.max_size))


Detector = FasterRCNN


def build_detector(
    backbone: str = DEFAULT_BACKBONE,
    *,
    num_classes: int,
    size: int = 320,
    channels: int = 96,
    hidden: int = 256,
    frozen_stages: int = 3,
    pretrained: bool = True,
    parts: Mapping[str, Callable[..., Any]] | None = None,
) -> FasterRCNN:
    """A Faster R-CNN with a backbone of timm's.

    Args:
        backbone: a timm model that can be `features_only`.
        num_classes: classes to find, without the background. Labels run from 1 to num_classes.
        size: the long side in pixels that images are resized to.
        channels: of every level of the pyramid.
        hidden: width of the box head.
        frozen_stages: first stages of the backbone that stay as pre-trained.
        pretrained: start from ImageNet weights.
        parts: name → an intern's or torchvision's in the place of ours, such as {"fpn": MyFPN, "nms": my_nms}.

    Raises:
        ConfigError: no classes, a size too small for three levels, an unknown backbone or part.
        CourseError: the backbone's weights are not here and can't be fetched.
    """
    if num_classes < 1:
        raise ConfigError("The list of classes is empty. A detector needs at least one class to find.")
    if size < 64:
        raise ConfigError(f"size {size}: take at least 64 pixels; the coarsest level has a stride of 32.")
    chosen = choose_parts(parts)
    body = load_backbone(backbone, pretrained=pretrained, frozen_stages=frozen_stages)
    sizes = tuple([int(scale * stride) for scale in ANCHOR_SCALES] for stride in body.strides)
    options = Options(num_classes, sizes, min_size=size, max_size=size)  # both alike: the long side becomes `size`
    model = FasterRCNN(
        body,
        chosen.fpn(body.channels, channels),
        chosen.rpn_head(channels, len(ANCHOR_SCALES) * len(options.ratios)),
        chosen.box_head(channels, num_classes, hidden),
        options,
        parts,
    )
    return model.to(memory_format=torch.channels_last)
