"""Exercise 9.1: write detections in COCO's format."""

import itertools
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coursekit.data.boxes import xyxy_to_xywh
from coursekit.evaluation import to_coco_results
from coursekit.lessons import case_inputs
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.exercise import Answer, Case, Exercise, Wrong, case


def _detections(boxes: Tensor, labels: list[int], scores: list[float]) -> dict[str, Tensor]:
    return {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64), "scores": torch.tensor(scores)}


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    box = xyxy((10, 20, 40, 80))
    single, nothing = _detections(box, [1], [0.75]), _detections(box[:0], [], [])
    yield case("one detection", [single], [7], [3])
    yield case(
        "category ids with gaps", [_detections(xyxy(*[(0, 0, 8, 4)] * 2), [2, 3], [0.75, 0.625])], [7], [1, 18, 44]
    )
    yield case("two images", [single, _detections(xyxy((1, 2, 5, 4)), [2], [0.75])], [139, 42], [1, 18])
    yield case("an image without detections", [nothing, single], [5, 6], [1])
    yield case("no images", [], [], [1, 2])
    yield case("a box between pixels", [_detections(xyxy((1.25, 2.5, 3.75, 9.5)), [1], [0.75])], [1], [9])
    yield case("a detection with a very low score", [_detections(box, [1], [1 / 1024])], [7], [3])
    yield case(
        "a box that begins left of the image and above it", [_detections(xyxy((-3, -2, 5, 6)), [1], [0.75])], [7], [3]
    )
    yield case("a box without area", [_detections(xyxy((5, 5, 5, 9)), [1], [0.75])], [7], [3])
    equal = _detections(xyxy((0, 0, 8, 4), (1, 0, 9, 4), (2, 0, 10, 4)), [1, 1, 1], [0.25, 0.75, 0.75])
    yield case("scores that rise, and equal ones", [equal], [7], [3])
    wide = {name: value.double() if name != "labels" else value for name, value in equal.items()}
    yield case("float64", [wide], [7], [3])
    boxes, labels = case_inputs.boxes(generator, 6), torch.randint(1, 5, (6,), generator=generator).tolist()
    scores = (0.6 + 0.4 * torch.rand(6, generator=generator)).tolist()
    yield case("six detections", [_detections(boxes, labels, scores)], [397133], [2, 17, 53, 90])


def call(
    answer: Answer, detections: list[dict[str, Tensor]], image_ids: list[int], category_ids: list[int]
) -> list[dict[str, Any]]:
    """Return the records as they are after a trip through a JSON file; what JSON can't hold, in words."""
    records: list[dict[str, Any]] = json.loads(
        json.dumps(answer(detections, image_ids, category_ids), default=_in_words)
    )
    return records


def _in_words(value: Any) -> str:
    if isinstance(value, np.generic):
        return f"a NumPy {type(value).__name__}, which json can't write"
    return f"a {type(value).__name__}, which json can't write"


# Wrong answers. `_records` is right as long as its options are left alone.


def _records(
    detections, image_ids, category_ids,
    *, to_xywh=xyxy_to_xywh, to_id=lambda label, category_ids: category_ids[label - 1], score_thresh=0.0,
):  # fmt: skip
    records = []
    for of_image, image_id in zip(detections, image_ids):
        columns = to_xywh(of_image["boxes"]).tolist(), of_image["labels"].tolist(), of_image["scores"].tolist()
        for box, label, score in zip(*columns):
            category_id = to_id(label, category_ids)
            if score >= score_thresh:
                records.append({"image_id": image_id, "category_id": category_id, "bbox": box, "score": score})
    return records


def _changed(words="", **options):
    return Wrong(partial(_records, **options), words)


def _center_and_size(boxes):
    return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)


def labels_as_ids(detections, image_ids, category_ids):
    return _records(detections, image_ids, category_ids, to_id=lambda label, category_ids: label)


def corners(detections, image_ids, category_ids):
    return _records(detections, image_ids, category_ids, to_xywh=lambda boxes: boxes)


def positions_as_ids(detections, image_ids, category_ids):
    return _records(detections, range(len(detections)), category_ids)


def in_place(detections, image_ids, category_ids):
    for of_image in detections:
        of_image["boxes"][:, 2:] -= of_image["boxes"][:, :2]
    return _records(detections, image_ids, category_ids, to_xywh=lambda boxes: boxes)


def tensors(detections, image_ids, category_ids):
    records = _records(detections, image_ids, category_ids)
    return [record | {"score": torch.tensor(record["score"])} for record in records]


def numpy_numbers(detections, image_ids, category_ids):
    records = _records(detections, image_ids, category_ids)
    return [record | {"score": np.float32(record["score"])} for record in records]


def boxes_as_arrays(detections, image_ids, category_ids):
    records = _records(detections, image_ids, category_ids)
    return [record | {"bbox": np.array(record["bbox"])} for record in records]


def boxes_as_tensors(detections, image_ids, category_ids):
    records = _records(detections, image_ids, category_ids)
    return [record | {"bbox": torch.tensor(record["bbox"])} for record in records]


def category_as_tensor(detections, image_ids, category_ids):
    records = _records(detections, image_ids, category_ids)
    return [record | {"category_id": torch.tensor(record["category_id"])} for record in records]


def best_first(detections, image_ids, category_ids):
    records = []
    for of_image, image_id in zip(detections, image_ids):
        records += sorted(_records([of_image], [image_id], category_ids), key=lambda record: -record["score"])
    return records


def only_the_first_image(detections, image_ids, category_ids):
    return _records(detections[:1], image_ids, category_ids)


def negative_as_0(detections, image_ids, category_ids):
    return _records(detections, image_ids, category_ids, to_xywh=lambda boxes: xyxy_to_xywh(boxes.clamp(min=0)))


def without_area_left_out(detections, image_ids, category_ids):
    return [record for record in _records(detections, image_ids, category_ids) if min(record["bbox"][2:]) > 0]


def score_as_text(detections, image_ids, category_ids):
    return [record | {"score": str(record["score"])} for record in _records(detections, image_ids, category_ids)]


def labels_too(detections, image_ids, category_ids):
    records = _records(detections, image_ids, category_ids)
    return [record | {"label": category_ids.index(record["category_id"]) + 1} for record in records]


def rounded_scores(detections, image_ids, category_ids):
    records = _records(detections, image_ids, category_ids)
    return [record | {"score": round(record["score"], 3)} for record in records]


def a_list_per_image(detections, image_ids, category_ids):
    return [_records([of_image], [id_], category_ids) for of_image, id_ in zip(detections, image_ids)]


# Another right answer.


def one_by_one(detections, image_ids, category_ids):
    records = []
    for image, of_image in enumerate(detections):
        sides = of_image["boxes"][:, 2:] - of_image["boxes"][:, :2]
        for n in range(len(sides)):
            record = {"score": float(of_image["scores"][n]), "image_id": image_ids[image]}
            record["bbox"] = of_image["boxes"][n, :2].tolist() + sides[n].tolist()
            records.append(record | {"category_id": category_ids[int(of_image["labels"][n]) - 1]})
    return records


def by_columns(detections, image_ids, category_ids):
    def of_image(found, image_id):
        boxes = found["boxes"].numpy().copy()
        boxes[:, 2:] -= boxes[:, :2]
        ids = [category_ids[label - 1] for label in found["labels"].tolist()]
        keys = ("image_id", "category_id", "bbox", "score")
        return [
            dict(zip(keys, row)) for row in zip([image_id] * len(ids), ids, boxes.tolist(), found["scores"].tolist())
        ]

    return tuple(itertools.chain.from_iterable(map(of_image, detections, image_ids)))


EXERCISE = Exercise(
    "to_coco_results",
    lesson=9,
    minutes=15,
    reference=to_coco_results,
    cases=cases,
    call=call,
    hints=(
        "“Object of type Tensor is not JSON serializable.” A tensor of one number is still a tensor. `.tolist()` returns plain "
        "numbers, or lists of them.",
        "Write two loops: one over images and their ids (zip), and inside it one over the boxes, labels and scores of an image. "
        "Label 1 is the first of category_ids, so it is at index 0.",
        "x1, y1, x2, y2 = box.tolist(); the record is {'image_id': image_id, 'category_id': category_ids[label - 1], "
        "'bbox': [x1, y1, x2 - x1, y2 - y1], 'score': score}.",
    ),
    wrong=(
        Wrong(labels_as_ids, "category_id is the label, not COCO's category id"),
        _changed(
            "category_id is that of the next class: label 1 is at index 0",
            to_id=lambda label, ids: ids[label % len(ids)],
        ),
        Wrong(corners, "bbox is still two corners: COCO wants left, top, width, height"),
        _changed("bbox begins with the center of the box: COCO wants its top left corner", to_xywh=_center_and_size),
        _changed("boxes are rounded to whole pixels", to_xywh=lambda boxes: xyxy_to_xywh(boxes).round()),
        _changed(
            "one pixel is added to width and height",
            to_xywh=lambda boxes: xyxy_to_xywh(boxes) + torch.tensor([0.0, 0, 1, 1]),
        ),
        Wrong(in_place, "the caller's boxes are converted in place"),
        Wrong(positions_as_ids, "image_id is the position of the image, not its id"),
        _changed("detections with low scores are left out: AP needs them", score_thresh=0.1),
        Wrong(tensors, "the scores are tensors, which json can't write: .tolist() or item() makes plain numbers"),
        Wrong(
            numpy_numbers, "the scores are NumPy numbers, which json can't write: .tolist() or float() makes plain ones"
        ),
        Wrong(boxes_as_arrays, "each bbox is a NumPy array, which json can't write: .tolist() makes a plain list"),
        Wrong(boxes_as_tensors, "each bbox is a tensor, which json can't write: .tolist() makes a plain list"),
        Wrong(category_as_tensor, "the category ids are tensors, which json can't write"),
        Wrong(best_first, "the records are sorted by score: they should stay in the order given"),
        Wrong(only_the_first_image, "only the first image has records"),
        Wrong(negative_as_0, "boxes are clipped at 0"),
        Wrong(without_area_left_out, "boxes without area are left out"),
        Wrong(a_list_per_image, "there is a list of records for each image: return one list for all"),
        Wrong(rounded_scores, "the scores are rounded"),
        _changed(to_id=lambda label, ids: [*ids, ids[-1]][label]),
        Wrong(score_as_text),
        Wrong(labels_too),
    ),
    right=(one_by_one, by_columns),
)
