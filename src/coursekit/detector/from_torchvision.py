"""torchvision's Faster R-CNN as ours, with its weights: to compare with, or to start from what it learned on COCO."""

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
    """A copy of torchvision's detector, made of our parts, of the same dtype and in the same mode.

    Args:
        model: of `fasterrcnn_resnet50_fpn`, `fasterrcnn_mobilenet_v3_large_fpn` or `…_320_fpn`, with any weights.

    Raises:
        ConfigError: a model of another make, such as the v2 ones.
    """
    theirs: Any = model
    _refuse_others(theirs)
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
    """torchvision's backbone without its pyramid, giving a list."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) → maps, finest first."""
        return list(self.body(images).values())


def _refuse_others(theirs: Any) -> None:
    heads = [hasattr(theirs.roi_heads.box_head, "fc6"), isinstance(theirs.rpn.head.conv, nn.Sequential)]
    if not all(heads) or len(theirs.rpn.head.conv) != 1:
        raise ConfigError(
            "from_torchvision: this model's heads are of another make. Take fasterrcnn_resnet50_fpn, "
            "fasterrcnn_mobilenet_v3_large_fpn or fasterrcnn_mobilenet_v3_large_320_fpn (not the v2 models)."
        )


def _options(theirs: Any) -> Options:
    rpn, roi, transform = theirs.rpn, theirs.roi_heads, theirs.transform
    return Options(
        num_classes=roi.box_predictor.cls_score.out_features - 1,
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
    """Pixels a cell of each map, found by looking at one."""
    weight = next(body.parameters())
    with torch.no_grad():
        maps = copy.deepcopy(body).eval()(torch.zeros(1, 3, 64, 64, device=weight.device, dtype=weight.dtype))
    return [64 // one.shape[2] for one in maps.values()]


def _copy_weights(ours: FasterRCNN, theirs: Any) -> None:
    """In the order of the layers, which is the same."""
    rpn, roi = theirs.rpn.head, theirs.roi_heads
    fpn: Any = ours.fpn
    pairs: list[tuple[Any, Iterable[nn.Module]]] = [
        (fpn.lateral, [block[0] for block in theirs.backbone.fpn.inner_blocks]),
        (fpn.smooth, [block[0] for block in theirs.backbone.fpn.layer_blocks]),
        (ours.rpn_head.children(), [rpn.conv[0][0], rpn.cls_logits, rpn.bbox_pred]),
        (ours.box_head.children(), [*roi.box_head.children(), *roi.box_predictor.children()]),
    ]
    for mine, their in pairs:
        for layer, source in zip(mine, their, strict=True):
            layer.load_state_dict(source.state_dict())
