"""What does an RPN propose that has learned nothing yet?"""

from dataclasses import replace
from typing import Any

import torch

from coursekit.data import CocoDataset
from coursekit.detector import box_iou, build_detector
from coursekit.detector.resize import resize_boxes, to_batch

PROPOSALS = 150  # in each image
IOU = 0.5  # from which a proposal fits an object


@torch.no_grad()
def untrained_rpn(dataset: CocoDataset, size: int = 256) -> tuple[float, float]:
    """Count and print which objects an untrained RPN finds, and which of its proposals fit an object.

    Args:
        dataset: images to propose boxes in.
        size: pixels to which the long side of an image is resized.

    Returns:
        The share of the objects that have a proposal with an IoU of 0.5 or more, and the share of the proposals that
        fit an object.
    """
    torch.manual_seed(0)
    detector: Any = build_detector(num_classes=len(dataset.classes), size=size).eval()
    detector.options = replace(
        detector.options, rpn_pre_nms_top_n=(PROPOSALS,) * 2, rpn_post_nms_top_n=(PROPOSALS,) * 2
    )
    is_found: list[bool] = []
    fits_object: list[bool] = []
    for image, target in (dataset[i] for i in range(len(dataset))):
        batch, (resized,) = to_batch([image / 255], size, size, detector.backbone.mean, detector.backbone.std)
        *_, proposals = detector.first_stage(batch, torch.tensor([resized], dtype=torch.float32))
        gt_boxes = resize_boxes(target["boxes"], (image.shape[1], image.shape[2]), resized)
        fits = box_iou(gt_boxes, proposals.by_image()[0]) >= IOU
        is_found += fits.any(1).tolist()
        fits_object += fits.any(0).tolist()
    found, useful = sum(is_found) / len(is_found), sum(fits_object) / len(fits_object)
    print(f"{found:.0%} of {len(is_found)} objects have a proposal that fits (IoU {IOU} or more)")
    print(f"{useful:.1%} of {len(fits_object)} proposals fit an object")
    return found, useful
