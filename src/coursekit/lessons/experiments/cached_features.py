"""Cached features: the maps of a frozen backbone, computed once for a data set. The rest then trains in seconds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.core.config import TrainConfig
from coursekit.core.device import autocast, helps_bf16
from coursekit.data import CocoDataset
from coursekit.data.boxes import Size, Target
from coursekit.detector.backbone import Backbone, load_backbone
from coursekit.detector.base import Detector
from coursekit.detector.model import FasterRCNN, Options
from coursekit.detector.padded_boxes import pad_targets
from coursekit.detector.resize import resize_boxes, resize_targets, to_batch
from coursekit.detector.roi import BoxHead
from coursekit.detector.rpn import RPNHead
from coursekit.evaluation import Detection, to_coco_results
from coursekit.evaluation.results import Result
from coursekit.training.forward_backward import forward_backward, update
from coursekit.training.optimizer import warmup_cosine

CPU = torch.device("cpu")


@dataclass(frozen=True)
class CachedFeatures:
    """The maps of a frozen backbone for all images of a data set. Each image is padded to a square.

    Attributes:
        dataset: the data set.
        maps: for each level, (number of images, C_i, H_i, W_i), finest first; bfloat16 on machines that are faster with
            it, else float32.
        strides: pixels per cell of each level.
        side: side of the square, in pixels.
        sizes: (height, width) in pixels of each image in its square.
        targets: targets of each image, in pixels of its square.
    """

    dataset: CocoDataset
    maps: list[Tensor]
    strides: list[int]
    side: int
    sizes: list[Size]
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def channels(self) -> list[int]:
        """Channels of each level."""
        return [level.shape[1] for level in self.maps]

    def levels(self, *numbers: int) -> "CachedFeatures":
        """Return a copy with these levels only. Level k has a stride of 2^k pixels."""
        indices = [self.strides.index(2**number) for number in numbers]
        return replace(self, maps=[self.maps[i] for i in indices], strides=[self.strides[i] for i in indices])


@torch.no_grad()
def cache_features(
    dataset: CocoDataset, backbone: Backbone | None = None, side: int = 320, batch: int = 8
) -> CachedFeatures:
    """Run a backbone over a data set once, with a progress bar.

    Args:
        dataset: the data set; its images are resized as in `build_detector(size=side)`.
        backbone: by default the course's, pretrained.
        side: side of the square to which images are padded, in pixels.
        batch: images per forward pass.
    """
    backbone = backbone or load_backbone()
    dtype = torch.bfloat16 if helps_bf16(CPU) else torch.float32
    batches: list[list[Tensor]] = []
    sizes: list[Size] = []
    targets: list[Target] = []
    for start in tqdm(range(0, len(dataset), batch), "features, once", unit="batch"):
        samples = [dataset[i] for i in range(start, min(start + batch, len(dataset)))]
        images = [image / 255 for image, _ in samples]
        pixels, resized = to_batch(images, side, side, backbone.mean, backbone.std, (side, side))
        with autocast(CPU):
            batches.append([level.to(dtype) for level in backbone(pixels)])
        targets += resize_targets([target for _, target in samples], images, resized)
        sizes += resized
    maps = [torch.cat(level).contiguous(memory_format=torch.channels_last) for level in zip(*batches, strict=True)]
    return CachedFeatures(dataset, maps, backbone.strides, side, sizes, targets)


class CachedBackbone(nn.Module):
    """A stand-in for a detector's backbone that returns cached maps."""

    def __init__(self, strides: list[int]) -> None:
        super().__init__()
        self.strides = strides
        self.maps: list[Tensor] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return `maps`, whatever the images."""
        return self.maps


def detector_on(
    cached: CachedFeatures,
    neck: nn.Module,
    channels: int,
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float] = (1.0,),
    hidden: int = 256,
    parts: Mapping[str, Callable[..., Any]] | None = None,
) -> FasterRCNN:
    """Build a Faster R-CNN that runs on cached features.

    Args:
        cached: the features; `CachedFeatures.levels` selects some of the levels.
        neck: maps → the same number of levels with `channels` channels, such as an FPN.
        channels: channels of each of these levels.
        sizes: sizes of the anchors of each level, in pixels; the same number for each level.
        ratios: height / width of the anchors.
        hidden: width of the box head.
        parts: functions to use in place of the course's, by name; see `build_detector`.
    """
    num_classes = len(cached.dataset.classes)
    options = Options(
        num_classes,
        tuple(sizes),
        ratios,
        rpn_pre_nms_top_n=(200, 200),
        rpn_post_nms_top_n=(200, 100),
        box_batch_size_per_image=64,
    )
    rpn_head = RPNHead(channels, len(sizes[0]) * len(options.ratios))
    body: Any = CachedBackbone(cached.strides)
    return FasterRCNN(body, neck, rpn_head, BoxHead(channels, num_classes, hidden), options, parts)


def train_on(
    detector: FasterRCNN, cached: CachedFeatures, epochs: int, *, seed: int = 0, batch: int = 4, lr: float = 1.5e-3
) -> None:
    """Train a detector in place with AdamW: 10 steps of warm-up, then a cosine down to 0. It takes seconds.

    Args:
        detector: from `detector_on`, for the same levels.
        cached: the features and targets to train on.
        epochs: passes over the data set.
        seed: for the order of the images and for what is sampled in them.
        batch: images per step.
        lr: peak learning rate.
    """
    detector.train()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=lr, weight_decay=1e-4, fused=True)
    total = epochs * math.ceil(len(cached) / batch)
    orders = torch.cat([torch.randperm(len(cached), generator=generator) for _ in range(epochs)])
    for step, rows in enumerate(orders.split(batch)):
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup_cosine(step, total, 10)
        seeds = torch.randint(2**31, (len(rows),), generator=generator).tolist()
        optimizer.zero_grad()
        forward_backward(partial(losses_on, detector, cached, rows, seeds), CPU, "auto")
        update(optimizer, detector.parameters(), TrainConfig().clip_norm)


@torch.inference_mode()
def predict_on(detector: FasterRCNN, cached: CachedFeatures, batch: int = 8) -> tuple[list[Tensor], list[Result]]:
    """Run a detector on cached features.

    Returns:
        The proposals of each image, (P, 4) xyxy in pixels of its square, best first; and all detections as COCO
        results, in pixels of the original images.
    """
    detector.eval()
    proposals: list[Tensor] = []
    detections: list[Detection] = []
    for rows in torch.arange(len(cached)).split(batch):
        with autocast(CPU):
            levels, *_, rois = detector.first_stage(set_maps(detector, cached, rows), sizes_of(cached, rows))
            class_logits, box_deltas = detector.box_branch(levels, rois)
        # postprocess gets float32, like the RoIs
        detections += detector.detections(class_logits.float(), box_deltas.float(), rois, sizes_of(cached, rows))
        proposals += rois.by_image()
    for i, detection in enumerate(detections):
        detection["boxes"] = resize_boxes(detection["boxes"], cached.sizes[i], cached.dataset.size(i))
    return proposals, to_coco_results(detections, cached.dataset.image_ids, cached.dataset.category_ids)


def losses_on(detector: Detector, cached: CachedFeatures, rows: Tensor, seeds: list[int]) -> dict[str, Tensor]:
    """Compute the losses of some of the cached images."""
    pixels, gt = set_maps(detector, cached, rows), pad_targets([cached.targets[i] for i in rows.tolist()])
    return detector.losses(pixels, sizes_of(cached, rows), gt, torch.tensor(seeds))


def sizes_of(cached: CachedFeatures, rows: Tensor) -> Tensor:
    """Return the height and width of some of the cached images, (B, 2) float."""
    return torch.tensor([cached.sizes[i] for i in rows.tolist()], dtype=torch.float32)


def set_maps(detector: Detector, cached: CachedFeatures, rows: Tensor) -> Tensor:
    """Set the maps that the detector's backbone returns. Return an empty batch of their images' shape."""
    backbone: Any = detector.backbone
    backbone.maps = [level[rows] for level in cached.maps]
    return torch.empty(1).expand(len(rows), 3, cached.side, cached.side)
