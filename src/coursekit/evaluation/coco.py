"""Detections in COCO's result format, and COCO's twelve numbers."""

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any, TypedDict

import hotcoco
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.data.boxes import xyxy_to_xywh
from coursekit.data.dataset import CocoDataset
from coursekit.data.loader import make_loader
from coursekit.distributed import collected, rank, world
from coursekit.precision import autocast

METRICS = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip


class Result(TypedDict):
    """One detection as COCO writes it: the box is (left, top, width, height) in pixels of the original image."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float


Detection = dict[str, Tensor]  # boxes (N, 4) xyxy, labels (N,), scores (N,)


def evaluate(model: nn.Module, dataset: CocoDataset, *, batch_size: int = 8) -> dict[str, float]:
    """COCO's twelve numbers of a detector on a data set: see `score`."""
    return score(detect(model, dataset, batch_size=batch_size), dataset)


def detect(model: nn.Module, dataset: CocoDataset, *, batch_size: int = 8) -> list[Result]:
    """Everything that a detector finds in a data set. The model is left in the mode it came in.

    Of several processes each looks at its share of the images; the first one gets all, the others nothing.
    """
    results: list[Result] = []
    share = replace(dataset, rows=dataset.rows[rank() :: world()])
    loader = make_loader(share, batch_size, train=False)
    for images, targets in tqdm(loader.epoch(0), "evaluating", len(loader), unit="batch", leave=False, delay=1):
        image_ids = [target["image_id"] for target in targets]
        results += to_coco_results(run(model, images), image_ids, dataset.category_ids)
    if loader.unreadable:
        tqdm.write(f"{loader.report()}\nWhat is in them counts as missed.")
    return collected(results)


@torch.inference_mode()
def run(model: nn.Module, images: Iterable[Tensor]) -> list[Detection]:
    """Detections in a list of (3, H, W) uint8 images, on the CPU, in pixels of each image."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with autocast(device):
            found = model([image.to(device) / 255 for image in images])
    finally:
        model.train(was_training)
    return [
        {name: value.float().cpu() if name != "labels" else value.cpu() for name, value in one.items()} for one in found
    ]


def to_coco_results(
    detections: Sequence[Detection], image_ids: Sequence[int], category_ids: Sequence[int]
) -> list[Result]:
    """Detections in COCO's format: boxes as xywh, labels mapped back to COCO's ids.

    Args:
        detections: for each image `boxes` (N, 4) xyxy in its own pixels, `labels` (N,) from 1, `scores` (N,).
        image_ids: COCO's id of each image.
        category_ids: COCO's id of label 1, of label 2, and so on.
    """
    return [
        {"image_id": image_id, "category_id": category_ids[label - 1], "bbox": box, "score": score}
        for found, image_id in zip(detections, image_ids, strict=True)
        for box, label, score in zip(
            xyxy_to_xywh(found["boxes"]).tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True
        )
    ]


def score(results: list[Result], dataset: CocoDataset, *, engine: str = "hotcoco") -> dict[str, float]:
    """COCO's twelve numbers, over the images of `dataset` only.

    Args:
        results: detections in COCO's format, best as `detect` gives them.
        dataset: whose records are the truth.
        engine: "hotcoco", or "pycocotools", which gives the same numbers and takes 300 times as long.

    Returns:
        METRICS → value in 0 to 1; -1 where there is no truth to score against, as COCO has it.
    """
    with redirect_stdout(io.StringIO()):  # both engines print what they do
        stats = _ENGINES[engine if results else "hotcoco"](dataset.truth(), results)  # pycocotools takes no empty list
    return dict(zip(METRICS, (float(value) for value in stats), strict=True))


def precision_curve(results: list[Result], dataset: CocoDataset, label: int) -> list[float]:
    """How many of the boxes are right, by how many of the objects are found, for one class at IoU 0.5.

    Args:
        results: detections in COCO's format, at least one.
        dataset: whose records are the truth.
        label: the class, from 1.

    Returns:
        101 precisions at recall 0.00, 0.01, … 1.00, each the best at this recall or beyond; 0 where never reached.
        Their mean is the class's AP50. All -1 where the class has no truth.
    """
    with redirect_stdout(io.StringIO()):
        evaluator = _evaluated(hotcoco.COCOeval, hotcoco.COCO(dataset.truth()), results)
    precision = evaluator.eval["precision"]  # (10 IoUs, 101 recalls, classes, 4 sizes, 3 numbers of boxes)
    curve: list[float] = precision[0, :, label - 1, 0, -1].tolist()
    return curve


def _with_hotcoco(truth: dict[str, Any], results: list[Result]) -> Sequence[float]:
    return _summarize(hotcoco.COCOeval, hotcoco.COCO(truth), results)


def _with_pycocotools(truth: dict[str, Any], results: list[Result]) -> Sequence[float]:
    coco = COCO()
    coco.dataset = truth
    coco.createIndex()
    return _summarize(COCOeval, coco, results)


def _summarize(evaluator_class: Any, truth: Any, results: list[Result]) -> Sequence[float]:
    evaluator = _evaluated(evaluator_class, truth, results)
    evaluator.summarize()
    stats: Sequence[float] = evaluator.stats
    return stats


def _evaluated(evaluator_class: Any, truth: Any, results: list[Result]) -> Any:
    evaluator = evaluator_class(truth, truth.loadRes(results), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator


_ENGINES: dict[str, Callable[[dict[str, Any], list[Result]], Sequence[float]]] = {
    "hotcoco": _with_hotcoco,
    "pycocotools": _with_pycocotools,
}
