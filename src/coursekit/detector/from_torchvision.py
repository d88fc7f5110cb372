"""Copy torchvision's Faster R-CNN into ours, with its weights: to compare the two, or to start from COCO weights."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN

from coursekit.core.errors import ConfigError
from coursekit.detector.backbone import Backbone
from coursekit.detector.fpn import FPN
from coursekit.detector.model import FasterRCNN, Options
from coursekit.detector.roi import BoxHead
from coursekit.detector.rpn import RPNHead


def from_torchvision(model: TorchvisionFasterRCNN) -> FasterRCNN:
    """Copy torchvision's detector into one made of our parts, of the same dtype and in the same mode.

    Args:
        model: from `fasterrcnn_resnet50_fpn`, `fasterrcnn_mobilenet_v3_large_fpn` or `…_320_fpn`, with any weights.
            torchvision counts the background as a class, so the copy's num_classes is one less. Labels are the same.

    Raises:
        ConfigError: the model has other heads, like the v2 models.
    """
    theirs: Any = model
    _check_heads(theirs)
    fpn_in = [block[0].in_channels for block in theirs.backbone.fpn.inner_blocks]
    channels, hidden = theirs.backbone.out_channels, theirs.roi_heads.box_head.fc6.out_features
    options = _options(theirs)
    backbone = Backbone(
        TorchvisionBody(copy.deepcopy(theirs.backbone.body)),
        fpn_in,
        _strides(theirs.backbone.body),
        theirs.transform.image_mean,
        theirs.transform.image_std,
    )
    ours = FasterRCNN(
        backbone,
        FPN(fpn_in, channels, extra_levels=1),
        RPNHead(channels, theirs.rpn.head.cls_logits.out_channels),
        BoxHead(channels, options.num_classes, hidden),
        options,
    )
    weight = next(theirs.parameters())
    ours.to(weight.device, weight.dtype)
    _copy_weights(ours, theirs)
    return ours.train(theirs.training)


class TorchvisionBody(nn.Module):
    """torchvision's backbone without its pyramid, which returns a list."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> list[Tensor]:
        """Turn (B, 3, H, W) normalized images into maps, finest first."""
        return list(self.body(images).values())


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


def _strides(body: nn.Module) -> list[int]:
    """Return the pixels per cell of each map, measured on an empty image."""
    weight = next(body.parameters())
    with torch.no_grad():
        maps = copy.deepcopy(body).eval()(torch.zeros(1, 3, 64, 64, device=weight.device, dtype=weight.dtype))
    return [64 // feature.shape[2] for feature in maps.values()]


def _copy_weights(ours: FasterRCNN, theirs: Any) -> None:
    """Copy the weights layer by layer: both models have their layers in the same order."""
    rpn, roi = theirs.rpn.head, theirs.roi_heads
    fpn: Any = ours.fpn
    pairs: list[tuple[Any, Iterable[nn.Module]]] = [
        (fpn.lateral, [block[0] for block in theirs.backbone.fpn.inner_blocks]),
        (fpn.smooth, [block[0] for block in theirs.backbone.fpn.layer_blocks]),
        (ours.rpn_head.children(), [rpn.conv[0][0], rpn.cls_logits, rpn.bbox_pred]),
        (ours.box_head.children(), [*roi.box_head.children(), *roi.box_predictor.children()]),
    ]
    for layers, sources in pairs:
        for layer, source in zip(layers, sources, strict=True):
            layer.load_state_dict(source.state_dict())
