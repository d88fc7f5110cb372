"""Exercise 9.5: compute COCO's twelve numbers."""

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coursekit.evaluation import METRICS, score
from coursekit.evaluation.scores import load_annotations
from coursekit.from_scratch.average_precision import average_precision, coco_map, match_detections, precision_recall
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case

Row = list[float]


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails. For the rows, see `call`."""
    small, medium, large = (5, 5, 20, 20), (50, 50, 60, 50), (100, 100, 200, 150)
    tp, gt = [1, 3, *small, 0.9], _gt(1, 3, small)
    yield case("one object, detected", [tp], [gt], [3], [1])
    yield case("one object, no detections", [], [gt], [3], [1])
    yield case("no objects", [tp], [], [3], [1])
    yield case("two classes, one without objects", [tp], [gt], [3, 7], [1])
    yield case("two classes, one without detections", [tp], [gt, _gt(1, 7, medium)], [3, 7], [1])
    sizes = [_gt(1, 3, box) for box in (small, medium, large)]
    yield case("three sizes, the medium one missed", [tp, [1, 3, *large, 0.8]], sizes, [3], [1])
    yield case("an IoU of 0.74", [[1, 3, 50, 50, 60, 37, 0.9]], [_gt(1, 3, medium)], [3], [1])
    row = [(5 + 30 * n, 5, 20, 20) for n in range(12)]
    detections = [[1, 3, *large, 0.95], *([1, 3, *box, 0.9 - 0.05 * n] for n, box in enumerate(row))]
    words = "twelve objects in one image, the highest score is a false positive"
    yield case(words, detections, [_gt(1, 3, box) for box in row], [3], [1])
    many = [*([1, 3, 200 + 2 * n, 300, 40, 40, 0.9 - 0.001 * n] for n in range(100)), [1, 3, *small, 0.1]]
    yield case("the only true positive is number 101 of its image", many, [gt], [3], [1])
    split = [[image, 3, *box, 0.9 - 0.1 * image] for image, box in ((1, medium), (2, small), (2, large))]
    yield case("two images, the second with two objects", split, [gt, _gt(2, 3, small), _gt(2, 3, large)], [3], [1, 2])
    outline = [1, 3, *large, 500, 0]
    yield case("an object whose outline is small, and its box large", [[1, 3, *large, 0.9]], [outline], [3], [1])
    yield case(
        "an area of exactly 32 × 32: small and medium",
        [[1, 3, 5, 5, 32, 32, 0.9]],
        [_gt(1, 3, (5, 5, 32, 32))],
        [3],
        [1],
    )
    tied = [[2, 3, *small, 0.5], [1, 3, *medium, 0.5]]
    yield case("equal scores in two images: the smaller id comes first", tied, [gt, _gt(2, 3, small)], [3], [2, 1])
    inside = [[1, 3, 10, 10, 20, 20, 0.9], [1, 3, 40, 40, 20, 20, 0.8], [2, 3, *medium, 0.7]]
    yield case("a crowd", inside, [[1, 3, 0, 0, 100, 100, 5000, 1], _gt(2, 3, medium)], [3], [1, 2])
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    yield case("three classes in six images", *_random_rows(rng), [2, 5, 11], list(range(6, 0, -1)))


def _gt(image: int, category: int, box: Any) -> Row:
    return [image, category, *box, box[2] * box[3], 0]


def _random_rows(rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """Return detections and objects of classes 2, 5 and 11 in images 1 to 6: image 6 and class 11 have no objects."""
    detections, objects = [], []
    for _ in range(18):
        sides = rng.choice([12, 25, 60, 130], 2)
        box = [*rng.integers(0, 200, 2).tolist(), *sides.tolist()]
        image, category = int(rng.integers(1, 6)), int(rng.choice([2, 5]))
        objects.append(_gt(image, category, box))
        for _ in range(int(rng.integers(0, 3))):
            moved = (np.array(box) + rng.normal(0, 0.07, 4) * np.tile(sides, 2)).round(2).tolist()
            other = int(rng.choice([2, 5, 11]))
            detections.append([image, category if rng.random() < 0.8 else other, *moved, round(float(rng.random()), 3)])
    return detections, objects


def call(
    answer: Answer, detections: list[Row], objects: list[Row], category_ids: list[int], image_ids: list[int]
) -> Any:
    """Make results and a data set of rows: (image id, category id, left, top, width, height, score) are detections.

    Rows of objects end with (…, area, crowd).
    """
    results = [
        {"image_id": int(image), "category_id": int(category), "bbox": [float(x) for x in box], "score": float(score)}
        for image, category, *box, score in detections
    ]
    annotations = [
        {"id": n, "image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for n, (image, category, *box, area, crowd) in enumerate(objects, 1)
    ]
    content = {
        "images": [{"id": id_, "file_name": f"{id_}.jpg", "width": 400, "height": 400} for id_ in image_ids],
        "categories": [{"id": id_, "name": f"class {id_}"} for id_ in category_ids],
        "annotations": annotations,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        path.write_text(json.dumps(content))
        dataset = load_annotations(path)
    return answer(results, dataset)


# Wrong answers. `_coco_map` is right as long as its options are left alone.

IOUS = np.linspace(0.5, 0.95, 10)
AREAS = [(0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)]
TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1


def _of(records, image_id, category_id):
    return [record for record in records if (record["image_id"], record["category_id"]) == (image_id, category_id)]


def _outcomes(results, annotations, images, category_ids, low, high, of_box=False):
    columns, num_gt = [np.empty((2 + len(IOUS), 0))], 0
    for category_id, image_id in ((category_id, image_id) for category_id in category_ids for image_id in images):
        pred = sorted(_of(results, image_id, category_id), key=lambda record: -record["score"])
        gt = _of(annotations, image_id, category_id)
        scores = np.array([record["score"] for record in pred], float)
        boxes, gt_boxes = (np.array([r["bbox"] for r in some], float).reshape(-1, 4) for some in (pred, gt))
        is_crowd, gt_areas = np.array([r["iscrowd"] for r in gt], bool), np.array([r["area"] for r in gt], float)
        gt_areas = gt_boxes[:, 2:].prod(axis=1) if of_box else gt_areas
        ignored, areas = is_crowd | (gt_areas < low) | (gt_areas > high), boxes[:, 2:].prod(axis=1)
        matched = match_detections(boxes, scores, gt_boxes, is_crowd, IOUS, ignored)
        outcome = np.append(np.where(ignored, IGNORED, TRUE_POSITIVE), FALSE_POSITIVE)[matched]
        outcome[(matched < 0) & ((areas < low) | (areas > high))] = IGNORED
        columns.append(np.vstack([scores, np.arange(len(scores)), outcome]))
        num_gt += int((~ignored).sum())
    scores, ranks, *outcomes = np.hstack(columns)
    order = np.argsort(-scores, kind="stable")
    return np.array(outcomes)[:, order], ranks[order], num_gt


def _table(results, dataset, classes=None, ignored_as=IGNORED, counts=(1, 10, 100), areas=tuple(AREAS), of_box=False):
    """Return (classes, 4 areas, 10 IoUs, 1 + 3): AP and the recalls of 1, 10, 100 detections; -1 without objects."""
    gt, classes = dataset.ground_truth(), [[id_] for id_ in dataset.category_ids] if classes is None else classes
    images = sorted(image["id"] for image in gt["images"])
    table = np.full((len(classes), len(areas), len(IOUS), 4), -1.0)
    for k, a in np.ndindex(table.shape[:2]):
        outcomes, ranks, num_gt = _outcomes(results, gt["annotations"], images, classes[k], *areas[a], of_box)
        for t, outcome in enumerate(outcomes if num_gt else []):
            outcome = np.where(outcome == IGNORED, ignored_as, outcome)
            for c, count in enumerate(counts, 1):
                counted = outcome[(outcome != IGNORED) & (ranks < count)]
                precision, recall = precision_recall(counted == TRUE_POSITIVE, num_gt)
                table[k, a, t, c] = recall.max(initial=0)
            table[k, a, t, 0] = average_precision(precision, recall)
    return table


def _mean(values):
    return float(values[values >= 0].mean()) if (values >= 0).any() else -1.0


def _coco_map(
    results, dataset, *, classes=None, ignored_as=IGNORED, change=lambda table: table, mean=_mean, ap75_at=5, **table_options
):  # fmt: skip
    table = change(_table(results, dataset, classes, ignored_as, **table_options))
    ap, recall = table[..., 0], table[..., 1:]
    parts = [ap[:, 0], ap[:, 0, 0], ap[:, 0, ap75_at], ap[:, 1], ap[:, 2], ap[:, 3]]
    parts += [
        recall[:, 0, :, 0],
        recall[:, 0, :, 1],
        recall[:, 0, :, 2],
        *(recall[:, area, :, 2] for area in (1, 2, 3)),
    ]
    return {name: float(mean(part)) for name, part in zip(METRICS, parts)}


def _changed(words="", **options):
    return Wrong(partial(_coco_map, **options), words)


def _mean_or_0(values):
    return max(0.0, _mean(values))


def _mean_without_0(values):
    return values[values > 0].mean() if (values > 0).any() else min(0.0, values.max())


def _absent_is_0(table):
    return np.where(table[:, :1, :1, :1] < 0, 0, table)


def _absent_is_0_unless_all_are(table):
    return np.where((table >= 0).any(0), table.clip(min=0), table)


def _recall_at_50(table):
    return np.concatenate([table[..., :1], table[:, :, :1, 1:].repeat(len(IOUS), 2)], -1)


def mean_with_minus_1(results, dataset):
    return _coco_map(results, dataset, mean=np.mean)


def only_detected_classes(results, dataset):
    detected = {record["category_id"] for record in results}
    return _coco_map(results, dataset, classes=[[id_] for id_ in dataset.category_ids if id_ in detected])


def all_classes_as_one(results, dataset):
    return _coco_map(results, dataset, classes=[dataset.category_ids])


def ap50_as_ap(results, dataset):
    numbers = _coco_map(results, dataset)
    return numbers | {"AP": numbers["AP50"]}


def ar_swapped(results, dataset):
    numbers = _coco_map(results, dataset)
    return numbers | {"AR_1": numbers["AR_100"], "AR_100": numbers["AR_1"]}


def ap_sizes_swapped(results, dataset):
    numbers = _coco_map(results, dataset)
    return numbers | {"AP_small": numbers["AP_large"], "AP_large": numbers["AP_small"]}


def ranks_among_all_images(results, dataset):
    order = sorted(results, key=lambda record: -record["score"])
    kept = {id_: [r for r in order if r["category_id"] == id_] for id_ in dataset.category_ids}
    numbers = {}
    for name, count in (("AR_1", 1), ("AR_10", 10), ("AR_100", 100)):
        best = [record for id_ in kept for record in kept[id_][:count]]
        numbers[name] = _coco_map(best, dataset)["AR_100"]
    best = [record for id_ in kept for record in kept[id_][:100]]
    return _coco_map(best, dataset) | numbers


def ap50_and_75_swapped(results, dataset):
    numbers = _coco_map(results, dataset)
    return numbers | {"AP50": numbers["AP75"], "AP75": numbers["AP50"]}


def ar_sizes_at_1(results, dataset):
    numbers = _coco_map(results, dataset)
    few = _coco_map(results, dataset, change=lambda table: table[..., [0, 1, 1, 1]])
    return numbers | {f"AR_{size}": few[f"AR_{size}"] for size in ("small", "medium", "large")}


def a_list(results, dataset):
    return list(_coco_map(results, dataset).values())


def percent(results, dataset):
    return {name: 100 * value if value > 0 else value for name, value in _coco_map(results, dataset).items()}


def nan_without_objects(results, dataset):
    return {name: float("nan") if value < 0 else value for name, value in _coco_map(results, dataset).items()}


def six_numbers(results, dataset):
    return {name: value for name, value in _coco_map(results, dataset).items() if name.startswith("AP")}


# Other right answers.


def means_of_each_class(results, dataset):
    rows = []
    for table in _table(results, dataset):
        sizes, recalls = table.mean(axis=1), table[0].mean(axis=0)  # means over IoUs
        row = [sizes[0, 0], table[0, 0, 0], table[0, 5, 0], *sizes[1:, 0], *recalls[1:], *sizes[1:, 3]]
        rows.append(row)
    return {name: _mean(column) for name, column in zip(METRICS, np.array(rows).T)}


def by_the_engine(results, dataset):
    return score(results, dataset)


EXERCISE = Exercise(
    "coco_map",
    lesson=9,
    minutes=25,
    reference=coco_map,
    cases=cases,
    call=call,
    hints=(
        "“A number is a little too low.” A class without objects has no AP: leave it out of the mean instead of counting 0. A "
        "class without detections has an AP, and it is 0.",
        "Fill two arrays with -1: ap (classes, areas, IoUs) and recall (classes, areas, IoUs, counts). Replace the -1 where there "
        "are objects. For each outcome and count: is_tp = outcome[(outcome != IGNORED) & (ranks < count)] == TRUE_POSITIVE. "
        "The recall is the last value of the curve, or 0 if it is empty.",
        "AP is the mean of ap[:, 0], AP50 of ap[:, 0, 0], AP75 of ap[:, 0, 5]; by size, of ap[:, 1], ap[:, 2], ap[:, 3]. AR_1, "
        "AR_10, AR_100 are means of recall[:, 0, :, count]; by size, of recall[:, area, :, 2]. Take each mean over the values "
        "≥ 0; if there are none, it is -1.",
    ),
    wrong=(
        Wrong(mean_with_minus_1, "the -1 of classes without objects goes into the mean"),
        _changed("a class without objects counts as 0: leave it out", change=lambda table: table.clip(min=0)),
        _changed(
            "a class without objects counts as 0; a class without objects of a size is left out", change=_absent_is_0
        ),
        _changed("a class without objects counts as 0 if any class has objects", change=_absent_is_0_unless_all_are),
        _changed("without any objects, the numbers are 0 instead of -1", mean=_mean_or_0),
        _changed("a class with an AP of 0 is left out of the mean: it has objects, so it counts", mean=_mean_without_0),
        _changed("AP75 is taken at an IoU of 0.70", ap75_at=4),
        _changed("small and large are swapped", change=lambda table: table[:, [0, 3, 2, 1]]),
        Wrong(ar_swapped, "AR_1 and AR_100 are swapped"),
        _changed("AR_1 and AR_10 are the recall of 100 detections", change=lambda table: table[..., [0, 3, 3, 3]]),
        Wrong(ap50_as_ap, "AP is taken at an IoU of 0.5 only"),
        _changed("recall is taken at an IoU of 0.5 only: it is a mean over ten", change=_recall_at_50),
        Wrong(only_detected_classes, "classes without detections are left out: they count as 0"),
        Wrong(all_classes_as_one, "all classes share one curve: compute AP for each class, then the mean"),
        _changed("ignored detections count as false positives", ignored_as=FALSE_POSITIVE),
        _changed("ignored detections count as true positives", ignored_as=TRUE_POSITIVE),
        Wrong(percent, "the numbers are in percent: they should be between 0 and 1"),
        _changed("more than 100 detections per image and class count", counts=(1, 10, 10**9)),
        _changed("only 10 detections per image and class count: AP takes 100", counts=(1, 10, 10)),
        _changed("the sizes are those of the boxes: an object's area is in its annotation", of_box=True),
        _changed(
            "an area of exactly 32² is medium only: both ends are included",
            areas=((0, 1e10), (0, 32**2 - 1e-6), (32**2, 96**2 - 1e-6), (96**2, 1e10)),
        ),
        Wrong(ranks_among_all_images, "the best 1, 10 and 100 detections of all images, where each image has its own"),
        Wrong(ap50_and_75_swapped, "AP50 and AP75 are swapped"),
        Wrong(ar_sizes_at_1, "AR_small, AR_medium and AR_large take one detection: they are like AR_100"),
        Wrong(nan_without_objects, "where no class has an object, it returns NaN instead of -1"),
        Wrong(six_numbers, "only the six AP: there should be six AR, too"),
        Wrong(ap_sizes_swapped, "AP_small and AP_large are swapped"),
        Wrong(a_list, "it returns a list, not a dict of METRICS"),
    ),
    right=(means_of_each_class, by_the_engine),
)
