"""Run a detector over images, and write its detections in COCO's result format."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.core.device import autocast
from coursekit.core.distributed import gather_lists, local_processes, rank, world_size
from coursekit.data.boxes import xyxy_to_xywh
from coursekit.data.dataset import CocoDataset
from coursekit.data.loader import make_loader
from coursekit.data.padded_images import PaddedImages, pad_images
from coursekit.data.workers import choose_workers
from coursekit.detector.base import takes_padded_images
from coursekit.evaluation.results import Result
from coursekit.training.copy_to_gpu import copy_images

Detection = dict[str, Tensor]  # boxes (N, 4) xyxy, labels (N,), scores (N,)


def predict_dataset(
    model: nn.Module, dataset: CocoDataset, *, batch_size: int = 8, workers: int | None = None
) -> list[Result]:
    """Return the detections in all images of a data set. The model keeps its mode.

    Images are read ahead by this many processes; None takes what the machine has, see `choose_workers`.

    With several processes, each runs on its share of the images; the first process returns all detections, the others
    none.
    """
    results: list[Result] = []
    share = replace(dataset, rows=dataset.rows[rank() :: world_size()])
    if workers is None:
        workers = choose_workers(device_of(model), len(share) // batch_size, local_processes())
    loader = make_loader(share, batch_size, train=False, workers=workers)
    for images, targets in tqdm(loader.epoch(0), "evaluating", len(loader), unit="batch", leave=False, delay=1):
        image_ids = [target["image_id"] for target in targets]
        results += to_coco_results(predict(model, images), image_ids, dataset.category_ids)
    if loader.unreadable:
        tqdm.write(f"{loader.report()}\nTheir objects count as missed.")
    return gather_lists(results)


@torch.inference_mode()
def predict(model: nn.Module, images: Iterable[Tensor]) -> list[Detection]:
    """Return the detections in (3, H, W) uint8 images, on the CPU, in pixels of each. The model keeps its mode."""
    device = device_of(model)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with autocast(device, getattr(model, "precision", "auto")):
            detections = model(_copied(model, images if isinstance(images, Sequence) else list(images), device))
    finally:
        for module, mode in modes:  # one by one: model.train() would unfreeze a frozen norm
            module.training = mode
    return [_on_cpu(detection) for detection in detections]


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights; the CPU if it has none."""
    return next(model.parameters(), torch.empty(0)).device


def _copied(model: nn.Module, images: Sequence[Tensor], device: torch.device) -> Sequence[Tensor]:
    """Copy images to the device, all at once if possible. Our detector takes them as they are, others from 0 to 1."""
    padded = pad_images(images)
    if isinstance(padded, PaddedImages):
        padded = copy_images(padded, device)
        return padded if takes_padded_images(model) else [image / 255 for image in padded]
    return [image.to(device) / 255 for image in padded]


def to_coco_results(
    detections: Sequence[Detection], image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[Result]:
    """Return detections in COCO's format: boxes as xywh, labels mapped back to COCO's ids.

    Args:
        detections: for each image `boxes` (N, 4) xyxy in its own pixels, `labels` (N,) from 1, `scores` (N,).
        image_ids: COCO's id of each image.
        category_ids: COCO's id of label 1, of label 2, and so on.
    """
    return [
        {"image_id": image_id, "category_id": category_ids[label - 1], "bbox": box, "score": score}
        for detection, image_id in zip(detections, image_ids, strict=True)
        for box, label, score in zip(
            xyxy_to_xywh(detection["boxes"]).tolist(),
            detection["labels"].tolist(),
            detection["scores"].tolist(),
            strict=True,
        )
    ]


def _on_cpu(detection: Detection) -> Detection:
    """Return the detection on the CPU, boxes and scores in float32."""
    return {name: (value if name == "labels" else value.float()).cpu() for name, value in detection.items()}
