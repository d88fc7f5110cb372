"""The whole detector: backbone, pyramid, and for now torchvision's RPN and box head."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign

from coursekit.detector.backbone import DEFAULT, Backbone
from coursekit.detector.fpn import FPN
from coursekit.errors import SettingError

ANCHOR_SCALES = (1.5, 2.5, 4.0)  # sides of an anchor, in strides of its level
ASPECT_RATIOS = (0.5, 1.0, 2.0)
CANONICAL_SIZE = 64  # pixels: a box of this size reads level 4; the paper's 224 is for images of 1,000 pixels


class Pyramid(nn.Module):
    """Backbone and FPN, named as torchvision's FasterRCNN wants them."""

    def __init__(self, backbone: Backbone, fpn: FPN) -> None:
        super().__init__()
        self.backbone, self.fpn = backbone, fpn
        self.out_channels = fpn.out_channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(B, 3, H, W) normalised images → level name → (B, C, H/stride, W/stride)."""
        maps = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return OrderedDict((str(level), feature) for level, feature in enumerate(self.fpn(maps)))


def build_detector(
    backbone: str = DEFAULT,
    *,
    num_classes: int,
    size: int = 320,
    channels: int = 96,
    hidden: int = 256,
    frozen_stages: int = 3,
    pretrained: bool = True,
) -> FasterRCNN:
    """A Faster R-CNN (Ren et al., 2015) on a feature pyramid, called as torchvision's detectors are.

    Args:
        backbone: a timm model that can be `features_only`.
        num_classes: classes to find, without the background. Labels run from 1 to num_classes.
        size: the long side in pixels that images are resized to.
        channels: of every level of the pyramid.
        hidden: width of the box head.
        frozen_stages: first stages of the backbone that stay as pre-trained.
        pretrained: start from ImageNet weights.

    Returns:
        In training: (list of (3, H, W) float images in 0 to 1, list of targets) → dict of losses. In eval mode: images
        → a list of dicts with `boxes` (N, 4) xyxy in pixels of the image given, `labels` (N,) and `scores` (N,).

    Raises:
        SettingError: no classes, a size too small for three levels, an unknown backbone.
        CourseError: the backbone's weights are not here and can't be fetched.
    """
    if num_classes < 1:
        raise SettingError("The list of classes is empty. A detector needs at least one class to find.")
    if size < 64:
        raise SettingError(f"size {size}: take at least 64 pixels; the coarsest level has a stride of 32.")
    body = Backbone(backbone, pretrained=pretrained, frozen_stages=frozen_stages)
    pyramid = Pyramid(body, FPN(body.channels, channels))
    levels = [str(level) for level in range(len(body.strides))]
    sizes = tuple(tuple(int(scale * stride) for scale in ANCHOR_SCALES) for stride in body.strides)
    model = FasterRCNN(
        pyramid,
        min_size=size,  # with min and max alike the long side becomes `size`
        max_size=size,
        image_mean=body.mean.flatten().tolist(),
        image_std=body.std.flatten().tolist(),
        rpn_anchor_generator=AnchorGenerator(sizes, (ASPECT_RATIOS,) * len(sizes)),
        rpn_pre_nms_top_n_train=500,
        rpn_post_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=500,
        rpn_post_nms_top_n_test=200,
        box_roi_pool=MultiScaleRoIAlign(levels, 7, 2, canonical_scale=CANONICAL_SIZE, canonical_level=4),
        box_head=TwoMLPHead(channels * 7 * 7, hidden),
        box_predictor=FastRCNNPredictor(hidden, num_classes + 1),
        box_batch_size_per_image=64,
    )
    return model.to(memory_format=torch.channels_last)
