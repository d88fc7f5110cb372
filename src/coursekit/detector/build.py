"""Build a detector on one of timm's backbones."""

from collections.abc import Collection, Mapping

import torch

from coursekit.core.config import DEFAULT_BACKBONE, FASTER_RCNN, check_kind
from coursekit.core.errors import ConfigError
from coursekit.detector.backbone import load_backbone
from coursekit.detector.boxes import Part
from coursekit.detector.choose_parts import choose_parts
from coursekit.detector.fcos import FCOS, FCOSOptions, level_ranges
from coursekit.detector.model import ANCHOR_SCALES, FasterRCNN, Options


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
    checked: Collection[str] = (),
    kind: str = FASTER_RCNN,
) -> FasterRCNN | FCOS:
    """Build a detector on one of timm's backbones: by default a Faster R-CNN.

    Args:
        backbone: any timm model that supports `features_only` and has maps at strides 8, 16 and 32.
        num_classes: K, classes to detect, without the background: labels are 1 … K. torchvision's num_classes is K + 1.
        size: pixels; images are resized so that their long side is `size`.
        channels: channels of every pyramid level.
        hidden: width of the box head; an FCOS has none.
        frozen_stages: how many of the backbone's first stages keep their weights; the stem is the first.
        pretrained: start from ImageNet weights.
        parts: name → an intern's or torchvision's function or class to use in place of ours, such as
            {"fpn": MyFPN, "nms": my_nms}.
        checked: names of those in `parts` that are known to give our results; see `FasterRCNN`.
        kind: "faster_rcnn", a detector with two stages, or "fcos", with one.

    Raises:
        ConfigError: no classes, a size too small for three levels, an unknown kind, backbone or part.
        CourseError: the backbone's weights are not on this machine and can't be downloaded.
    """
    if num_classes < 1:
        raise ConfigError("The list of classes is empty. A detector needs at least one class.")
    if size < 64:
        raise ConfigError(f"size {size}: use at least 64 pixels; the coarsest level has a stride of 32.")
    check_kind(kind)
    chosen = choose_parts(parts, kind)
    body = load_backbone(backbone, pretrained=pretrained, frozen_stages=frozen_stages)
    fpn = chosen.fpn(body.channels, channels)
    model: FasterRCNN | FCOS
    if kind == FASTER_RCNN:
        anchor_sizes = tuple([int(scale * stride) for scale in ANCHOR_SCALES] for stride in body.strides)
        # Both limits are equal, so the long side of an image becomes `size`.
        options = Options(num_classes, anchor_sizes, min_size=size, max_size=size)
        rpn_head = chosen.rpn_head(channels, len(ANCHOR_SCALES) * len(options.ratios))
        box_head = chosen.box_head(channels, num_classes, hidden)
        model = FasterRCNN(body, fpn, rpn_head, box_head, options, parts, checked)
    else:
        strides = tuple(body.strides)
        fcos_options = FCOSOptions(num_classes, strides, level_ranges(strides), size, size)
        model = FCOS(body, fpn, chosen.one_stage(channels, num_classes), fcos_options, parts)
    return model.to(memory_format=torch.channels_last)
