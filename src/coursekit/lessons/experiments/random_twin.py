"""torchvision's detectors with random weights, as a yardstick for detectors with the same weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from coursekit.data.boxes import Target

LIMITS: dict[str, Any] = {"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 50, "box_score_thresh": 0.2}


def random_torchvision_detector(num_classes: int, seed: int = 3) -> detection.FasterRCNN:
    """Build torchvision's detector on a ResNet-18, in float64 and eval mode, for images of 160 to 224 pixels.

    Random weights give scores that are all alike. So the weights of its last two layers are multiplied.

    Args:
        num_classes: without the background; torchvision counts it.
        seed: for the weights.
    """
    torch.manual_seed(seed)
    body = resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    detector = detection.FasterRCNN(body, num_classes + 1, min_size=160, max_size=224, **LIMITS)
    with torch.no_grad():
        detector.roi_heads.box_predictor.cls_score.weight *= 30
        detector.roi_heads.box_predictor.bbox_pred.weight *= 5
    return detector.double().eval()


@torch.no_grad()
def compare_detections(first: nn.Module, second: nn.Module, images: Sequence[Tensor]) -> None:
    """Print how far apart the detections of two detectors are, image by image.

    Args:
        first, second: detectors in eval mode, called with a list of images.
        images: (3, H, W) float in 0 to 1.
    """
    for detections, other in zip(first(images), second(images), strict=True):
        same = detections["labels"].tolist() == other["labels"].tolist()
        apart = (detections["boxes"] - other["boxes"]).abs().max().item() if same else float("inf")
        counts = f"{len(detections['labels'])} and {len(other['labels'])} detections"
        print(f"{counts}, {'the same classes' if same else 'OTHER CLASSES'}, corners at most {apart:.0e} pixels apart")


def random_torchvision_fcos(num_classes: int, seed: int = 3) -> detection.FCOS:
    """Build torchvision's FCOS on a ResNet-18, in float64, for images of 160 to 224 pixels. Arguments as above."""
    torch.manual_seed(seed)
    coarser = LastLevelP6P7(256, 256)
    body = resnet_fpn_backbone(backbone_name="resnet18", weights=None, returned_layers=[2, 3, 4], extra_blocks=coarser)
    return detection.FCOS(body, num_classes + 1, min_size=160, max_size=224).double()


@torch.no_grad()
def compare_losses(first: nn.Module, second: nn.Module, samples: Sequence[tuple[Tensor, Target]]) -> None:
    """Print the losses of two detectors, and how far apart they are.

    Args:
        first, second: detectors in float64, called with a list of images and one of targets; they end up in train mode.
        samples: images (3, H, W) uint8, each with its target.
    """
    images = [image.double() / 255 for image, _ in samples]
    targets = [{"boxes": target["boxes"].double(), "labels": target["labels"]} for _, target in samples]
    losses, others = first.train()(images, targets), second.train()(images, targets)
    for name, loss in losses.items():
        print(f"{name:16} {loss:9.6f} and {others[name]:9.6f}: {abs(loss - others[name]):.0e} apart")
