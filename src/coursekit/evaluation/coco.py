"""From a detector to detections in COCO's result format, and from these to COCO's twelve numbers."""

import io
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any, NamedTuple

import hotcoco
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor, nn
from tqdm.auto import tqdm

from coursekit.core.device import autocast
from coursekit.core.distributed import collected, rank, world
from coursekit.core.errors import ConfigError
from coursekit.data.boxes import xyxy_to_xywh
from coursekit.data.dataset import CocoDataset
from coursekit.data.loader import make_loader
from coursekit.evaluation.results import BROKEN, Columns, check_results, columns_of
from coursekit.evaluation.results import Result as Result  # part of this module, too

METRICS = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip

Detection = dict[str, Tensor]  # boxes (N, 4) xyxy, labels (N,), scores (N,)


class Evaluated(NamedTuple):
    """What an engine found: the twelve numbers, and precision (10 IoUs, 101 recalls, classes, 4 sizes, 3 counts)."""

    numbers: dict[str, float]
    precision: NDArray[np.float64]


def predict_dataset(model: nn.Module, dataset: CocoDataset, *, batch_size: int = 8) -> list[Result]:
    """Everything that a detector finds in a data set. The model is left in the mode it came in.

    Of several processes each looks at its share of the images; the first one gets all, the others nothing.
    """
    results: list[Result] = []
    share = replace(dataset, rows=dataset.rows[rank() :: world()])
    loader = make_loader(share, batch_size, train=False)
    for images, targets in tqdm(loader.epoch(0), "evaluating", len(loader), unit="batch", leave=False, delay=1):
        image_ids = [target["image_id"] for target in targets]
        results += to_coco_results(predict(model, images), image_ids, dataset.category_ids)
    if loader.unreadable:
        tqdm.write(f"{loader.report()}\nWhat is in them counts as missed.")
    return collected(results)


@torch.inference_mode()
def predict(model: nn.Module, images: Iterable[Tensor]) -> list[Detection]:
    """Detections in a list of (3, H, W) uint8 images, on the CPU, in pixels of each image."""
    device = next(model.parameters(), torch.empty(0)).device
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with autocast(device):
            found = model([image.to(device) / 255 for image in images])
    finally:
        for module, mode in modes:  # each by itself: model.train() would wake a norm that was put to sleep
            module.training = mode
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
    """COCO's twelve numbers, over the images of `dataset` only. As COCO has it, unknown classes are passed over.

    Args:
        results: detections in COCO's format, as `predict_dataset` gives them; `evaluate` checks those from elsewhere.
        dataset: whose records are the truth.
        engine: "hotcoco", or "pycocotools", which gives the same numbers and takes far longer.

    Returns:
        METRICS → value in 0 to 1; -1 where there is no truth to score against.

    Raises:
        DataError: a record is no detection, or of an image that is not in `dataset`.
        ConfigError: no such engine.
    """
    return run_engine(results, dataset, engine).numbers


def precision_curve(results: list[Result], dataset: CocoDataset, label: int) -> list[float]:
    """How many of the boxes are right, by how many of the objects are found, for one class at IoU 0.5.

    Args:
        results: detections in COCO's format.
        dataset: whose records are the truth.
        label: the class, from 1.

    Returns:
        101 precisions at recall 0.00, 0.01, … 1.00, each the best at this recall or beyond; 0 where never reached.
        Their mean is the class's AP50. All -1 where the class has no truth.
    """
    curve: list[float] = run_engine(results, dataset).precision[0, :, label - 1, 0, -1].tolist()
    return curve


def run_engine(results: list[Result], dataset: CocoDataset, engine: str = "hotcoco") -> Evaluated:
    """Score results with one of the engines. Arguments and errors are those of `score`."""
    check_engine(engine)
    columns = columns_in(results, dataset)
    build, start = _ENGINES[engine]
    with redirect_stdout(io.StringIO()):  # both engines print what they do
        evaluator = start(_truth(dataset, engine, build), columns, dataset)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    numbers = dict(zip(METRICS, (float(value) for value in evaluator.stats), strict=True))
    return Evaluated(numbers, np.asarray(evaluator.eval["precision"]))


def check_engine(engine: str) -> None:
    """Refuse what is no engine.

    Raises:
        ConfigError: naming those there are.
    """
    if engine not in _ENGINES:
        raise ConfigError(f"engine {engine!r}: there is none of that name. Take one of {', '.join(_ENGINES)}.")


def columns_in(results: list[Result], dataset: CocoDataset) -> Columns:
    """The results as arrays, those of classes that the data set has.

    Raises:
        DataError: as for `score`.
    """
    try:
        columns = columns_of(results)
    except BROKEN:
        check_results(results, dataset, "results")  # says where
        raise
    if not np.isin(columns.image_ids, dataset.image_ids).all():
        check_results(results, dataset, "results")
    known = np.isin(columns.category_ids, dataset.category_ids)
    return columns if known.all() else columns.where(known)


_TRUTHS: dict[tuple[str, int], Any] = {}  # what an engine made of a data set, as long as that lives


def _truth(dataset: CocoDataset, engine: str, build: Callable[[CocoDataset], Any]) -> Any:
    """The engine's truth of a data set, built once: a training scores on the same one again and again."""
    key = (engine, id(dataset))
    if key not in _TRUTHS:
        _TRUTHS[key] = build(dataset)
        weakref.finalize(dataset, _TRUTHS.pop, key, None)  # its number may go to another data set
    return _TRUTHS[key]


def _hotcoco_truth(dataset: CocoDataset) -> Any:
    """Images and classes numbered from 1 in the order of their ids, which keeps every tie as it was.

    So ids of any size pass through float64, and no object has the id 0, which to pycocotools is "not found".
    """
    index = dataset.index
    ids = np.unique(dataset.image_ids)
    boxes = np.flatnonzero(np.isin(index.image_rows, dataset.rows))
    return hotcoco.COCO.from_arrays(
        [{"id": number + 1, "width": 1, "height": 1, "file_name": ""} for number in range(len(ids))],
        [{"id": number + 1, "name": name} for number, name in enumerate(dataset.classes)],
        np.searchsorted(ids, index.image_ids[index.image_rows[boxes]]) + 1,
        np.searchsorted(dataset.category_ids, index.category_ids[boxes]) + 1,
        index.boxes[boxes],
        area=index.areas[boxes],
        iscrowd=index.is_crowd[boxes],
    )


def _start_hotcoco(truth: Any, columns: Columns, dataset: CocoDataset) -> Any:
    images = np.searchsorted(np.unique(dataset.image_ids), columns.image_ids) + 1
    labels = np.searchsorted(dataset.category_ids, columns.category_ids) + 1
    table = np.column_stack([images, columns.boxes, columns.scores, labels])
    return hotcoco.COCOeval(truth, truth.loadRes(table), "bbox")


def _pycocotools_truth(dataset: CocoDataset) -> COCO:
    content = dataset.truth()
    annotations = [one | {"id": number} for number, one in enumerate(content["annotations"], 1)]  # none is 0
    return _coco(content | {"annotations": annotations})


def _start_pycocotools(truth: COCO, columns: Columns, dataset: CocoDataset) -> COCOeval:
    """As its loadRes has it, which takes no empty list, and writes into the caller's records."""
    records = [
        {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "score": value}
        for number, (image, category, box, value) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True), 1
        )
    ]
    return COCOeval(truth, _coco(truth.dataset | {"annotations": records}), "bbox")


def _coco(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


_ENGINES: dict[str, tuple[Callable[[CocoDataset], Any], Callable[[Any, Columns, CocoDataset], Any]]] = {
    "hotcoco": (_hotcoco_truth, _start_hotcoco),
    "pycocotools": (_pycocotools_truth, _start_pycocotools),
}
