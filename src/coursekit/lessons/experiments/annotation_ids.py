"""Annotations numbered from 0, which pycocotools takes for "no match"."""

import io
from contextlib import redirect_stdout

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

BOXES = ([50.0, 50.0, 100.0, 100.0], [200.0, 200.0, 100.0, 100.0])


def two_perfect_boxes(first_id: int) -> float:
    """Return pycocotools' AP of two objects that are detected exactly where they are.

    Args:
        first_id: id of the first annotation; the second is one higher.
    """
    common = {"image_id": 1, "category_id": 1}
    annotations = [
        common | {"id": first_id + number, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for number, box in enumerate(BOXES)
    ]
    truth = COCO()
    truth.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": annotations}
    with redirect_stdout(io.StringIO()):  # it prints what it does
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes([common | {"bbox": box, "score": 1.0} for box in BOXES]), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return float(evaluator.stats[0])
