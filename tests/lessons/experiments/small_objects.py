"""An image of `mini` in which COCO's numbers for large objects have nothing to score."""

from dataclasses import replace

from coursekit.data import CocoDataset, load
from coursekit.evaluation import Result, to_coco_results
from coursekit.lessons.experiments.lesson07_run import stand_in

LARGE = 96**2  # pixels


def without_large_objects() -> tuple[list[Result], CocoDataset]:
    """Return the first image of mini that has objects, but none of 96² pixels or more; with its detections first."""
    dataset = load("mini", "val")
    areas: dict[int, list[float]] = {}
    for record in dataset.ground_truth()["annotations"]:
        areas.setdefault(record["image_id"], []).append(record["area"])
    position = next(n for n, id_ in enumerate(dataset.image_ids) if max(areas.get(id_, [LARGE])) < LARGE)
    single = replace(dataset, rows=dataset.rows[position : position + 1])
    return to_coco_results(stand_in(single), single.image_ids, single.category_ids), single
