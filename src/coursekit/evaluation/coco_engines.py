"""The two programs that compute COCO's numbers from a table: hotcoco, and pycocotools as the reference.

Both get images and classes numbered from 1 in the order of the table. That keeps the order of ties, lets ids of any
size pass through float64, and avoids the id 0, which pycocotools takes for "no match".
"""

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import hotcoco
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from coursekit.core.errors import ConfigError
from coursekit.evaluation.table import Boxes


def build(gt: Boxes, images: int, classes: Sequence[str], engine: str = "hotcoco") -> Any:
    """Return ground truth in the form of an engine, for `evaluated`.

    Args:
        gt: boxes, crowds included.
        images: how many images there are, with and without boxes.
        classes: names of the classes.
        engine: "hotcoco" or "pycocotools".
    """
    with redirect_stdout(io.StringIO()):  # both engines print what they do
        return _ENGINES[engine].build(gt, images, classes)


def evaluated(built: Any, detections: Boxes, engine: str = "hotcoco") -> Any:
    """Return the engine's COCOeval object after its three steps: evaluate, accumulate, summarize.

    Args:
        built: ground truth, from `build` with the same engine.
        detections: detections of known images and classes.
        engine: "hotcoco" or "pycocotools".
    """
    with redirect_stdout(io.StringIO()):
        evaluator = _ENGINES[engine].start(built, detections)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def check_engine(engine: str) -> None:
    """Check the name of an engine.

    Raises:
        ConfigError: there is no engine of that name.
    """
    if engine not in _ENGINES:
        raise ConfigError(f"engine {engine!r} doesn't exist. Use one of {', '.join(_ENGINES)}.")


def _build_hotcoco(gt: Boxes, images: int, classes: Sequence[str]) -> Any:
    return hotcoco.COCO.from_arrays(
        [{"id": number, "width": 1, "height": 1, "file_name": ""} for number in range(1, images + 1)],
        [{"id": label, "name": name} for label, name in enumerate(classes, 1)],
        gt.images + 1,
        gt.labels,
        gt.boxes,
        area=gt.areas,
        iscrowd=gt.is_crowd,
    )


def _start_hotcoco(built: Any, detections: Boxes) -> Any:
    table = np.column_stack([detections.images + 1, detections.boxes, detections.scores, detections.labels])
    rows = np.argsort(detections.images.astype(np.min_scalar_type(detections.images.max(initial=0))), kind="stable")
    return hotcoco.COCOeval(built, built.loadRes(table[rows]), "bbox")  # a tenth faster image by image


def _build_pycocotools(gt: Boxes, images: int, classes: Sequence[str]) -> COCO:
    return _coco(
        {
            "images": [{"id": number} for number in range(1, images + 1)],
            "categories": [{"id": label, "name": name} for label, name in enumerate(classes, 1)],
            "annotations": _records(gt),
        }
    )


def _start_pycocotools(built: COCO, detections: Boxes) -> COCOeval:
    """Do what its `loadRes` does, which refuses an empty list and writes into the caller's records."""
    return COCOeval(built, _coco(built.dataset | {"annotations": _records(detections)}), "bbox")


def _records(boxes: Boxes) -> list[dict[str, Any]]:
    columns = (boxes.images + 1, boxes.labels, boxes.boxes, boxes.areas, boxes.scores, boxes.is_crowd.astype(int))
    names = ("image_id", "category_id", "bbox", "area", "score", "iscrowd")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [{"id": number} | dict(zip(names, row, strict=True)) for number, row in enumerate(rows, 1)]


def _coco(content: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = content
    coco.createIndex()
    return coco


class _Engine(NamedTuple):
    """How an engine takes ground truth, and how it takes detections."""

    build: Callable[[Boxes, int, Sequence[str]], Any]
    start: Callable[[Any, Boxes], Any]


_ENGINES = {
    "hotcoco": _Engine(_build_hotcoco, _start_hotcoco),
    "pycocotools": _Engine(_build_pycocotools, _start_pycocotools),
}
