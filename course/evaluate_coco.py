"""Score detections with pycocotools, COCO's own program. This script needs nothing of the course.

    pip install pycocotools
    python evaluate_coco.py ground_truth.json detections.json

ground_truth.json has "images", "annotations" and "categories", like COCO's instances_val2017.json. detections.json is a
list of {"image_id": …, "category_id": …, "bbox": [left, top, width, height], "score": …}, with boxes in pixels of the
original images. The script prints COCO's twelve numbers. A -1 means that there was nothing to score.
"""

import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

if len(sys.argv) != 3:
    sys.exit("usage: python evaluate_coco.py ground_truth.json detections.json")

truth = COCO(sys.argv[1])
found = truth.loadRes(sys.argv[2])
evaluator = COCOeval(truth, found, "bbox")
# evaluator.params.imgIds = [139, 285]  # if your detector has seen only a part of the images: their ids
evaluator.evaluate()
evaluator.accumulate()
evaluator.summarize()
