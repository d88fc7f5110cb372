"""Copy torchvision's Faster R-CNN or FCOS into ours, with its weights: to compare the two, or to start from them."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection

from coursekit.core.errors import ConfigError
from coursekit.detector.backbone import Backbone
from coursekit.detector.cells import CENTER_RADIUS
from coursekit.detector.fcos import FCOS, FCOSOptions, level_ranges
from coursekit.detector.fpn import FPN
from coursekit.detector.model import FasterRCNN, Options
from coursekit.detector.one_stage import OneStage
from coursekit.detector.roi import BoxHead
from coursekit.detector.rpn import RPNHead

TORCHVISION_RANGE_SCALE = 8.0  # see `level_ranges`


def from_torchvision(model: detection.FasterRCNN | detection.FCOS) -> FasterRCNN | FCOS:
    """Copy torchvision's detector into one made of our parts, of the same dtype and in the same mode.

    Args:
        model: from `fasterrcnn_resnet50_fpn`, `fasterrcnn_mobilenet_v3_large_fpn`, `…_320_fpn` or
            `fcos_resnet50_fpn`, with any weights. torchvision counts the background as a class, so the copy's
            num_classes is one less. Labels are the same. What torchvision's FCOS predicts for the background, which
            no cell is trained to find, is left out.

    Raises:
        ConfigError: the model has other heads, like the v2 models, or another radius of center sampling.
    """
    theirs: Any = model
    ours = _fcos(theirs) if isinstance(model, detection.FCOS) else _faster_rcnn(theirs)
    return ours.train(theirs.training)


def _faster_rcnn(theirs: Any) -> FasterRCNN:
    _check_heads(theirs)
    channels, hidden = theirs.backbone.out_channels, theirs.roi_heads.box_head.fc6.out_features
    options = _options(theirs)
    backbone = _backbone(theirs)
    ours = FasterRCNN(
        backbone,
        FPN(backbone.channels, channels, extra_levels=1),
        RPNHead(channels, theirs.rpn.head.cls_logits.out_channels),
        BoxHead(channels, options.num_classes, hidden),
        options,
    )
    weight = next(theirs.parameters())
    ours.to(weight.device, weight.dtype)
    rpn, roi = theirs.rpn.head, theirs.roi_heads
    _copy_fpn(ours.fpn, theirs)
    _copy_weights(ours.rpn_head.children(), [rpn.conv[0][0], rpn.cls_logits, rpn.bbox_pred])
    _copy_weights(ours.box_head.children(), [*roi.box_head.children(), *roi.box_predictor.children()])
    return ours


def _fcos(theirs: Any) -> FCOS:
    if theirs.center_sampling_radius != CENTER_RADIUS:
        raise ConfigError(
            f"from_torchvision: an FCOS needs a center_sampling_radius of {CENTER_RADIUS}, which is ours."
        )
    backbone, channels = _backbone(theirs), theirs.backbone.out_channels
    fpn = ExtendedFPN(FPN(backbone.channels, channels), copy.deepcopy(theirs.backbone.fpn.extra_blocks))
    classes, boxes = theirs.head.classification_head, theirs.head.regression_head
    convs = sum(isinstance(layer, nn.Conv2d) for layer in classes.conv)
    head = OneStage(channels, classes.num_classes - 1, convs)
    ours = FCOS(backbone, fpn, head, _fcos_options(theirs))
    weight = next(theirs.parameters())
    ours.to(weight.device, weight.dtype)
    _copy_fpn(fpn.fpn, theirs)
    _copy_weights([head.class_tower, head.box_tower], [classes.conv, boxes.conv])
    _copy_weights([head.distances, head.centerness], [boxes.bbox_reg, boxes.bbox_ctrness])
    without_background = {name: value[1:] for name, value in classes.cls_logits.state_dict().items()}
    head.class_logits.load_state_dict(without_background)
    return ours


def _backbone(theirs: Any) -> Backbone:
    body, transform = theirs.backbone.body, theirs.transform
    channels = [block[0].in_channels for block in theirs.backbone.fpn.inner_blocks]
    copied = TorchvisionBody(copy.deepcopy(body))
    return Backbone(copied, channels, _strides(body), transform.image_mean, transform.image_std)


class TorchvisionBody(nn.Module):
    """torchvision's backbone without its pyramid, which returns a list."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> list[Tensor]:
        """Turn (B, 3, H, W) normalized images into maps, finest first."""
        return list(self.body(images).values())


class ExtendedFPN(nn.Module):
    """Our pyramid with torchvision's extra levels, such as P6 and P7, which have weights.

    Args:
        fpn: maps → levels.
        extra: torchvision's block for more levels; None for none.
    """

    def __init__(self, fpn: FPN, extra: nn.Module | None) -> None:
        super().__init__()
        self.fpn, self.extra = fpn, extra

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Turn maps into levels, finest first."""
        levels: list[Tensor] = self.fpn(maps)
        return self.extra(levels, maps, [str(level) for level in range(len(levels))])[0] if self.extra else levels


def _check_heads(theirs: Any) -> None:
    heads = [hasattr(theirs.roi_heads.box_head, "fc6"), isinstance(theirs.rpn.head.conv, nn.Sequential)]
    if not all(heads) or len(theirs.rpn.head.conv) != 1:
        raise ConfigError(
            "from_torchvision: this model has different heads. Use fasterrcnn_resnet50_fpn, "
            "fasterrcnn_mobilenet_v3_large_fpn or fasterrcnn_mobilenet_v3_large_320_fpn (not the v2 models)."
        )


def _options(theirs: Any) -> Options:
    rpn, roi, transform = theirs.rpn, theirs.roi_heads, theirs.transform
    return Options(
        num_classes=roi.box_predictor.cls_score.out_features - 1,  # without the background
        anchor_sizes=rpn.anchor_generator.sizes,
        ratios=rpn.anchor_generator.aspect_ratios[0],
        min_size=transform.min_size[-1],
        max_size=transform.max_size,
        rpn_batch_size_per_image=rpn.fg_bg_sampler.batch_size_per_image,
        rpn_pre_nms_top_n=(rpn._pre_nms_top_n["training"], rpn._pre_nms_top_n["testing"]),
        rpn_post_nms_top_n=(rpn._post_nms_top_n["training"], rpn._post_nms_top_n["testing"]),
        rpn_nms_thresh=rpn.nms_thresh,
        rpn_score_thresh=rpn.score_thresh,
        box_batch_size_per_image=roi.fg_bg_sampler.batch_size_per_image,
        canonical_scale=roi.box_roi_pool.canonical_scale,
        box_score_thresh=roi.score_thresh,
        box_nms_thresh=roi.nms_thresh,
        box_detections_per_img=roi.detections_per_img,
    )


def _fcos_options(theirs: Any) -> FCOSOptions:
    transform, strides = theirs.transform, tuple(int(size) for (size,) in theirs.anchor_generator.sizes)
    return FCOSOptions(
        num_classes=theirs.head.classification_head.num_classes - 1,  # without the background
        strides=strides,
        ranges=level_ranges(strides, TORCHVISION_RANGE_SCALE),
        min_size=transform.min_size[-1],
        max_size=transform.max_size,
        score_thresh=theirs.score_thresh,
        nms_thresh=theirs.nms_thresh,
        detections_per_img=theirs.detections_per_img,
        topk_candidates=theirs.topk_candidates,
    )


def _strides(body: nn.Module) -> list[int]:
    """Return the pixels per cell of each map, measured on an empty image."""
    weight = next(body.parameters())
    with torch.no_grad():
        maps = copy.deepcopy(body).eval()(torch.zeros(1, 3, 64, 64, device=weight.device, dtype=weight.dtype))
    return [64 // feature.shape[2] for feature in maps.values()]


def _copy_fpn(fpn: Any, theirs: Any) -> None:
    _copy_weights(fpn.lateral, [block[0] for block in theirs.backbone.fpn.inner_blocks])
    _copy_weights(fpn.smooth, [block[0] for block in theirs.backbone.fpn.layer_blocks])


def _copy_weights(layers: Iterable[nn.Module], sources: Iterable[nn.Module]) -> None:
    """Copy the weights layer by layer: both models have their layers in the same order."""
    for layer, source in zip(layers, sources, strict=True):
        layer.load_state_dict(source.state_dict())
