"""CachedFeatures features: what a frozen backbone says of a data set, computed once; what comes after it trains in seconds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.core.device import autocast, helps_bf16
from coursekit.data import CocoDataset
from coursekit.data.boxes import Size, Target
from coursekit.detector import box_iou
from coursekit.detector.backbone import Backbone, load_backbone
from coursekit.detector.model import FasterRCNN, Options
from coursekit.detector.resize import resize_boxes, resize_targets, to_batch
from coursekit.detector.roi import BoxHead
from coursekit.detector.rpn import RPNHead
from coursekit.evaluation import Detection, to_coco_results
from coursekit.evaluation.results import Result
from coursekit.training.optimizer import warmup_cosine

CPU = torch.device("cpu")


@dataclass(frozen=True)
class CachedFeatures:
    """A data set as a frozen backbone sees it. All images are padded to one square.

    Attributes:
        dataset: whose images these are.
        maps: (N, C, H, W) of each level, finest first; bfloat16 where the machine computes faster in it.
        strides: of the levels.
        side: of the square in pixels.
        sizes: height and width of each image in it.
        targets: of each image, in its pixels there.
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
        """Of each level."""
        return [one.shape[1] for one in self.maps]

    def levels(self, *wanted: int) -> "CachedFeatures":
        """Only these levels, by their numbers: level k has a stride of 2^k."""
        at = [self.strides.index(2**level) for level in wanted]
        return replace(self, maps=[self.maps[i] for i in at], strides=[self.strides[i] for i in at])


@torch.no_grad()
def cache_features(
    dataset: CocoDataset, backbone: Backbone | None = None, side: int = 320, batch: int = 8
) -> CachedFeatures:
    """Run a backbone over a data set once, under a bar.

    Args:
        dataset: its images are resized as `build_detector(size=side)` does it.
        backbone: the course's, pre-trained, where none is given.
        side: of the square, in pixels.
        batch: images at a time.
    """
    backbone = backbone or load_backbone()
    dtype = torch.bfloat16 if helps_bf16(CPU) else torch.float32
    parts: list[list[Tensor]] = []
    sizes: list[Size] = []
    targets: list[Target] = []
    for start in tqdm(range(0, len(dataset), batch), "features, once", unit="batch"):
        samples = [dataset[i] for i in range(start, min(start + batch, len(dataset)))]
        images = [image / 255 for image, _ in samples]
        pixels, seen = to_batch(images, side, side, backbone.mean, backbone.std, (side, side))
        with autocast(CPU):
            parts.append([one.to(dtype) for one in backbone(pixels)])
        truth: list[Target] = [{"boxes": target["boxes"], "labels": target["labels"]} for _, target in samples]
        targets += resize_targets(truth, images, seen)
        sizes += seen
    maps = [torch.cat(level).contiguous(memory_format=torch.channels_last) for level in zip(*parts, strict=True)]
    return CachedFeatures(dataset, maps, backbone.strides, side, sizes, targets)


class CachedBackbone(nn.Module):
    """Stands in the backbone's place in a detector, and hands out cached maps."""

    def __init__(self, strides: list[int]) -> None:
        super().__init__()
        self.strides = strides
        self.maps: list[Tensor] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps that were laid ready, whatever the images."""
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
    """A Faster R-CNN behind cached features.

    Args:
        cached: what it will see; `levels` leaves some out.
        neck: maps → as many levels of `channels` channels, such as an FPN.
        channels: of each of these levels.
        sizes: sides of the anchors in pixels, as many for each level.
        ratios: of the anchors, height over width.
        hidden: width of the box head.
        parts: name → another in the place of the course's, see `build_detector`.
    """
    classes = len(cached.dataset.classes)
    options = Options(
        classes,
        tuple(sizes),
        ratios,
        rpn_pre_nms_top_n=(200, 200),
        rpn_post_nms_top_n=(200, 100),
        box_batch_size_per_image=64,
    )
    rpn_head = RPNHead(channels, len(sizes[0]) * len(options.ratios))
    body: Any = CachedBackbone(cached.strides)
    return FasterRCNN(body, neck, rpn_head, BoxHead(channels, classes, hidden), options, parts)


def train_on(
    detector: FasterRCNN, cached: CachedFeatures, epochs: int, *, seed: int = 0, batch: int = 4, lr: float = 1.5e-3
) -> None:
    """Train a detector in place: AdamW, warmed up, then a cosine down to 0. Nothing is shown; it takes seconds.

    Args:
        detector: from `detector_on`, for the same levels.
        cached: to train on.
        epochs: how often each image is seen.
        seed: of the order of the images and of what is sampled in them.
        batch: images a step.
        lr: the highest learning rate.
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
        chosen = rows.tolist()
        with autocast(CPU):
            pixels = _lay_ready(detector, cached, rows)
            losses = detector.losses(
                pixels, [cached.sizes[i] for i in chosen], [cached.targets[i] for i in chosen], seeds
            )
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 10.0)
        optimizer.step()


@torch.inference_mode()
def look(detector: FasterRCNN, cached: CachedFeatures, batch: int = 8) -> tuple[list[Tensor], list[Result]]:
    """What a detector proposes, and what it finds.

    Returns:
        The RPN's proposals in each image, (P, 4) xyxy in pixels of the cached image, best first; and all detections in
        COCO's format, in pixels of the original images.
    """
    detector.eval()
    options = detector.options
    numbers = options.box_score_thresh, options.box_nms_thresh, options.box_detections_per_img
    proposals: list[Tensor] = []
    found: list[Detection] = []
    for rows in torch.arange(len(cached)).split(batch):
        sizes = [cached.sizes[i] for i in rows.tolist()]
        with autocast(CPU):
            pixels = _lay_ready(detector, cached, rows)
            levels, logits, deltas = detector.dense(pixels)
            proposed = detector.propose(logits, deltas, detector.anchors(pixels, levels), sizes)
            counts = [len(boxes) for boxes in proposed]
            opinions = [one.float().split(counts) for one in detector.box_branch(levels, proposed)]  # as boxes are
        proposals += proposed
        found += [detector.parts.postprocess(*one, *numbers) for one in zip(*opinions, proposed, sizes, strict=True)]
    for i, one in enumerate(found):
        width, height = cached.dataset.size(i)
        one["boxes"] = resize_boxes(one["boxes"], cached.sizes[i], (height, width))
    return proposals, to_coco_results(found, cached.dataset.image_ids, cached.dataset.category_ids)


def recall_by_size(proposals: Sequence[Tensor], targets: Sequence[Target], edges: Sequence[float]) -> list[float]:
    """The share of the objects that a proposal overlaps with an IoU of at least a half, whatever its class.

    Args:
        proposals: (P, 4) xyxy for each image.
        targets: the truth of each image, in the same pixels.
        edges: of the sizes, as √area of the box: one number comes back for each pair of neighbours.
    """
    sides, hits = [], []
    for boxes, target in zip(proposals, targets, strict=True):
        truth = target["boxes"]
        sides.append((truth[:, 2:] - truth[:, :2]).prod(1).sqrt())
        best = box_iou(truth, boxes).amax(1) if len(boxes) else torch.zeros(len(truth))
        hits.append(best >= 0.5)
    place = torch.bucketize(torch.cat(sides), torch.tensor(edges), right=True) - 1
    hit = torch.cat(hits).float()
    return [hit[place == i].mean().item() for i in range(len(edges) - 1)]


def _lay_ready(detector: FasterRCNN, cached: CachedFeatures, rows: Tensor) -> Tensor:
    """Hand the maps of some images to the detector's stand-in. Returns an empty batch of their shape."""
    backbone: Any = detector.backbone
    backbone.maps = [one[rows] for one in cached.maps]
    return torch.empty(1).expand(len(rows), 3, cached.side, cached.side)
