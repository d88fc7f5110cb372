"""09 · Evaluation."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from coursekit.data.boxes import xyxy_to_xywh
from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.coco import METRICS, to_coco_results
from coursekit.evaluation.results import Result, columns_of
from coursekit.evaluation.scores import truth_of
from coursekit.from_scratch.average_precision import (
    AREAS,
    COUNTS,
    IGNORED,
    IOUS,
    RECALLS,
    RIGHT,
    WRONG,
    _class_numbers,
    _numbers,
    _samples,
    average_precision,
    coco_map,
    match_detections,
    overlaps,
    precision_recall,
)
from coursekit.lessons import inputs as draw
from coursekit.lessons.exercise import Answer, Case, Exercise, Mistake, case

Floats = Any  # NumPy arrays of float64
Bools = Any  # NumPy arrays of bool
Found = dict[str, Tensor]
Row = Sequence[float]


# to_coco_results


def _use_results(
    answer: Answer, detections: list[Found], image_ids: list[int], category_ids: list[int]
) -> list[dict[str, Any]]:
    """The records as they come out of a file."""
    records: list[dict[str, Any]] = json.loads(json.dumps(answer(detections, image_ids, category_ids)))
    return records


def _detections(boxes: Sequence[Row], labels: Sequence[int], sure: Row) -> Found:
    return {"boxes": draw.xyxy(*boxes), "labels": torch.tensor(labels, dtype=torch.int64), "scores": torch.tensor(sure)}  # type: ignore[arg-type]


def _results_cases(generator: torch.Generator) -> Iterator[Case]:
    one = _detections([(10, 20, 40, 80)], [1], [0.75])
    yield case("one detection", [one], [7], [3])
    yield case("category ids with gaps", [_detections([(0, 0, 8, 4)] * 2, [2, 3], [0.75, 0.625])], [7], [1, 18, 44])
    yield case("two images", [one, _detections([(1, 2, 5, 4)], [2], [0.75])], [139, 42], [1, 18])
    yield case("an image in which nothing was found", [_detections([], [], []), one], [5, 6], [1])
    yield case("no image at all", [], [], [1, 2])
    yield case("a box between pixels", [_detections([(1.25, 2.5, 3.75, 9.5)], [1], [0.75])], [1], [9])
    yield case("a very unsure detection", [_detections([(10, 20, 40, 80)], [1], [1 / 1024])], [7], [3])
    count = 6
    boxes, labels = draw.boxes(generator, count), torch.randint(1, 5, (count,), generator=generator)
    many = {"boxes": boxes, "labels": labels, "scores": 0.6 + 0.4 * torch.rand(count, generator=generator)}
    yield case("six detections", [many], [397133], [2, 17, 53, 90])


def _records(
    detections: list[Found],
    image_ids: list[int],
    category_ids: list[int],
    box: Callable[[Tensor], Tensor] = xyxy_to_xywh,
    identity: Callable[[int, list[int]], int] = lambda label, ids: ids[label - 1],
    least: float = 0.0,
) -> list[Any]:
    return [
        {"image_id": image_id, "category_id": identity(label, category_ids), "bbox": corners, "score": score}
        for found, image_id in zip(detections, image_ids, strict=True)
        for corners, label, score in zip(
            box(found["boxes"]).tolist(), found["labels"].tolist(), found["scores"].tolist(), strict=True
        )
        if score >= least
    ]


def _labels_kept(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    return _records(detections, image_ids, category_ids, identity=lambda label, ids: label)


def _next_class(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    return _records(detections, image_ids, category_ids, identity=lambda label, ids: ids[label % len(ids)])


def _corners(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    return _records(detections, image_ids, category_ids, box=lambda boxes: boxes)


def _centres(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    def by_centre(boxes: Tensor) -> Tensor:
        return torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)

    return _records(detections, image_ids, category_ids, box=by_centre)


def _rounded(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    return _records(detections, image_ids, category_ids, box=lambda boxes: xyxy_to_xywh(boxes).round())


def _inclusive(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    def one_more(boxes: Tensor) -> Tensor:
        return xyxy_to_xywh(boxes) + torch.tensor([0.0, 0, 1, 1])

    return _records(detections, image_ids, category_ids, box=one_more)


def _in_place(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    for found in detections:
        found["boxes"][:, 2:] -= found["boxes"][:, :2]
    return _records(detections, image_ids, category_ids, box=lambda boxes: boxes)


def _positions(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    return _records(detections, list(range(len(image_ids))), category_ids)


def _only_sure(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    return _records(detections, image_ids, category_ids, least=0.1)


def _tensors_left(detections: list[Found], image_ids: list[int], category_ids: list[int]) -> list[Any]:
    made = _records(detections, image_ids, category_ids)
    return [one | {"score": torch.tensor(one["score"])} for one in made]


RESULTS = Exercise(
    "to_coco_results",
    lesson=9,
    minutes=15,
    reference=to_coco_results,
    cases=_results_cases,
    call=_use_results,
    hints=(
        "“Object of type Tensor is not JSON serializable.” A tensor of one number is still a tensor. `.tolist()` makes "
        "plain numbers, and lists of them.",
        "Two loops: over images and their ids (zip), and inside over the boxes, labels and scores of one image. Label 1 is "
        "the first of category_ids, so at place 0.",
        "x1, y1, x2, y2 = box.tolist(); the record is {'image_id': image_id, 'category_id': category_ids[label - 1], "
        "'bbox': [x1, y1, x2 - x1, y2 - y1], 'score': score}.",
    ),
    mistakes=(
        Mistake("labels stand where category ids belong", _labels_kept),
        Mistake("each gets the id of the next class: label 1 is at place 0", _next_class),
        Mistake("boxes are still two corners, where COCO wants width and height", _corners),
        Mistake("the box begins with its centre, where COCO wants its left upper corner", _centres),
        Mistake("boxes are rounded to whole pixels", _rounded),
        Mistake("one pixel is added to width and height", _inclusive),
        Mistake("the caller's boxes are converted in place", _in_place),
        Mistake("an image's position stands where its id belongs", _positions),
        Mistake("unsure detections are left out, where AP needs them", _only_sure),
        Mistake("tensors are left in the records, which json can't write", _tensors_left),
    ),
)


# match_detections

BOX, HALF, MOST = (0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 10, 8)  # IoU with BOX: 1, 0.5, 0.8


def _xywh(*rows: Row) -> Floats:
    return np.array(rows, np.float64).reshape(-1, 4)


def _match_case(
    words: str, found: Sequence[Row], sure: Row, truth: Sequence[Row], crowds: Row = (), *more: Any
) -> Case:
    is_crowd = np.isin(np.arange(len(truth)), np.array(crowds))
    return case(words, _xywh(*found), np.array(sure, np.float64), _xywh(*truth), is_crowd, *more)


def _match_cases(generator: torch.Generator) -> Iterator[Case]:
    half = np.array([0.5])
    yield _match_case("one detection on the object", [BOX], [0.9], [BOX], (), half)
    yield _match_case("one detection beside the object", [(20, 0, 10, 10)], [0.9], [BOX], (), half)
    yield _match_case("an overlap of just the least", [HALF], [0.9], [BOX], (), np.array([0.5, 0.55]))
    yield _match_case("two detections of one object", [BOX, MOST], [0.9, 0.8], [BOX], (), half)
    yield _match_case("the surest lies worse, and stands second", [BOX, MOST], [0.3, 0.8], [BOX], (), half)
    yield _match_case("a second choice: the best object is taken", [BOX, BOX], [0.9, 0.8], [BOX, MOST], (), half)
    yield _match_case("two least overlaps", [MOST, BOX], [0.9, 0.8], [BOX], (), np.array([0.5, 0.9]))
    yield _match_case("equal scores", [MOST, BOX], [0.5, 0.5], [BOX], (), half)
    yield _match_case("two objects that are overlapped alike", [BOX], [0.9], [BOX, BOX], (), half)
    yield _match_case("no object", [BOX, HALF], [0.9, 0.8], [], (), half)
    yield _match_case("no detection", [], [], [BOX], (), half)
    crowd = (0, 0, 100, 40)
    yield _match_case("two detections in one crowd", [BOX, (30, 5, 10, 20)], [0.9, 0.8], [crowd], (0,), half)
    yield _match_case("an object in front of a crowd", [MOST, BOX], [0.9, 0.8], [crowd, BOX], (0,), half)
    ignored = np.array([True, False])
    yield _match_case("an ignored object overlapped more", [BOX], [0.9], [BOX, MOST], (), half, ignored)
    hair = (0, 0, 10, 10 - 1e-10)  # IoU 1 - 1e-11
    yield _match_case(
        "a least overlap of 1, and a box that is off by a hair", [hair], [0.9], [BOX], (), np.array([1.0])
    )
    one = np.array([True])
    yield _match_case("an ignored object is found once", [BOX, BOX], [0.9, 0.8], [BOX], (), half, one)
    for objects, each in ((3, 3), (8, 5)):
        boxes, sure = draw.clusters(generator, objects, each)
        truth = draw.clusters(generator, objects, 1)[0]
        truth[: objects - 1] = boxes[: (objects - 1) * each : each] + 1.5
        order = torch.randperm(len(boxes), generator=generator)
        found, crowds = xyxy_to_xywh(boxes[order]).double().numpy(), np.arange(objects) == 0
        yield case(f"{len(boxes)} detections, COCO's ten overlaps", found, sure.double().numpy(),
                   xyxy_to_xywh(truth).double().numpy(), crowds)  # fmt: skip
    boxes, sure = draw.clusters(generator, 2, 20)  # so many that only a stable sort leaves equal scores in order
    tied, true = sure.double().numpy().round(1).clip(0.4, 0.6), xyxy_to_xywh(boxes[::5]).double().numpy()
    yield case("40 detections, many of which have equal scores", xyxy_to_xywh(boxes).double().numpy(), tied, true,
               np.zeros(len(true), bool), half)  # fmt: skip


def _matching(
    boxes: Floats,
    sure: Floats,
    truth: Floats,
    is_crowd: Bools,
    ious: Floats,
    ignored: Bools | None,
    *,
    order: Callable[[Floats], Any] = lambda sure: np.argsort(-sure, kind="stable"),
    crowds: bool = True,
    strict: bool = False,
    anew: bool = True,
    first: bool = False,
    prefer: bool = True,
    again: Callable[[Bools, Bools], Bools] = lambda is_crowd, ignored: is_crowd,
    second_choice: bool = True,
    sorted_rows: bool = False,
    by_crowd: bool = False,
    hair: float = 1e-10,
) -> Any:
    """`match_detections`, with a switch for each thing that people get wrong."""
    ignored = is_crowd if ignored is None or by_crowd else ignored
    overlap = overlaps(boxes, truth, is_crowd if crowds else np.zeros_like(is_crowd))
    matched, often = np.full((len(ious), len(boxes)), -1), again(is_crowd, ignored)
    is_free = np.ones(len(truth), bool)
    for row, least in enumerate(np.minimum(ious, 1 - hair)):
        is_free = np.ones(len(truth), bool) if anew else is_free
        for place, one in enumerate(order(sure)):
            enough = overlap[one] > least if strict else overlap[one] >= least
            possible = enough & is_free if second_choice else enough
            if prefer and (possible & ~ignored).any():
                possible &= ~ignored
            if possible.any():
                values = np.where(possible, overlap[one], -1)
                best = values.argmax() if first else len(truth) - 1 - values[::-1].argmax()
                if is_free[best]:
                    matched[row, place if sorted_rows else one], is_free[best] = best, often[best]
    return matched


def _wrong_matching(**switches: Any) -> Answer:
    def answer(
        boxes: Floats, scores: Floats, truth: Floats, is_crowd: Bools, ious: Floats = IOUS, ignored: Bools | None = None
    ) -> Any:
        return _matching(boxes, scores, truth, is_crowd, ious, ignored, **switches)

    return answer


def _best_for_each_object(
    boxes: Floats, scores: Floats, truth: Floats, is_crowd: Bools, ious: Floats = IOUS, ignored: Bools | None = None
) -> Any:
    overlap = overlaps(boxes, truth, is_crowd)
    matched = np.full((len(ious), len(boxes)), -1)
    for row, least in enumerate(ious):
        for column in range(len(truth) if len(boxes) else 0):
            best = overlap[:, column].argmax()
            if overlap[best, column] >= least:
                matched[row, best] = column
    return matched


MATCH = Exercise(
    "match_detections",
    lesson=9,
    minutes=30,
    reference=match_detections,
    cases=_match_cases,
    hints=(
        "“Too many are right.” Who has taken an object takes it from all others. Keep a list of what is free, and make a new one "
        "for each least overlap.",
        "For each least overlap: everything free; then detection after detection, the surest first (np.argsort of the "
        "negative scores, kind='stable'). Possible is what is free and overlapped enough. If something that is not ignored "
        "is possible, nothing else is.",
        "possible = is_free & (overlap[one] >= least); if (possible & ~ignored).any(): possible &= ~ignored; of what is left "
        "take the last with the largest overlap; is_free[best] = is_crowd[best].",
    ),
    mistakes=(
        Mistake("detections choose in the order given, not by score", _wrong_matching(order=lambda s: range(len(s)))),
        Mistake("the least sure chooses first", _wrong_matching(order=lambda s: np.argsort(s, kind="stable"))),
        Mistake("of equal scores the last chooses first", _wrong_matching(order=lambda s: np.argsort(s)[::-1])),
        Mistake("of equal scores any chooses first: np.argsort is stable only with kind='stable'", _wrong_matching(order=lambda s: np.argsort(-s))),
        Mistake("an object can be found several times", _wrong_matching(again=lambda c, i: np.ones_like(c))),
        Mistake("an overlap of just the least is not enough", _wrong_matching(strict=True)),
        Mistake("there is no second choice: if the best is taken, nothing is found", _wrong_matching(second_choice=False)),
        Mistake("what is taken at one overlap stays taken at the next", _wrong_matching(anew=False)),
        Mistake("of objects overlapped alike the first is taken, where COCO takes the last", _wrong_matching(first=True)),
        Mistake("a crowd is found only once", _wrong_matching(again=lambda c, i: np.zeros_like(c))),
        Mistake("a crowd's overlap is divided by both areas, not by the detection's alone", _wrong_matching(crowds=False)),
        Mistake("ignored objects (crowds, for one) are taken although another is left", _wrong_matching(prefer=False)),
        Mistake("the same, and of objects overlapped alike the first is taken", _wrong_matching(prefer=False, first=True)),
        Mistake("only crowds give way to other objects: `ignored` is not used", _wrong_matching(by_crowd=True)),
        Mistake("a least overlap of 1 is asked to the last bit, where rounding misses it", _wrong_matching(hair=0.0)),
        Mistake("ignored objects are found several times, where only crowds are", _wrong_matching(again=lambda c, i: c | i)),
        Mistake("the answer is in order of the scores, not of the detections given", _wrong_matching(sorted_rows=True)),
        Mistake("each object takes the detection that fits it best, whatever the scores", _best_for_each_object),
    ),
)  # fmt: skip


# precision_recall


def _curve_cases(generator: torch.Generator) -> Iterator[Case]:
    for words, hits, objects in (
        ("one detection, right, the only object", [1], 1),
        ("one detection, wrong", [0], 1),
        ("right, wrong, right; four objects", [1, 0, 1], 4),
        ("wrong, wrong, right; one object", [0, 0, 1], 1),
        ("no detection", [], 3),
        ("all right", [1, 1, 1], 3),
    ):
        yield case(words, np.array(hits, bool), objects)
    yield case("30 detections", (torch.rand(30, generator=generator) < 0.6).numpy(), 25)


def _of_all_detections(is_right: Bools, objects: int) -> Any:
    right = is_right.cumsum()
    return right / max(1, len(right)), right / objects


def _of_those_found(is_right: Bools, objects: int) -> Any:
    right = is_right.cumsum()
    return right / np.arange(1, len(right) + 1), right / max(1, is_right.sum())


def _swapped(is_right: Bools, objects: int) -> Any:
    return precision_recall(is_right, objects)[::-1]


def _from_nought(is_right: Bools, objects: int) -> Any:
    right = is_right.cumsum()
    return right / np.maximum(1, np.arange(len(right))), right / objects


def _with_a_start(is_right: Bools, objects: int) -> Any:
    precision, recall = precision_recall(is_right, objects)
    return np.append(1.0, precision), np.append(0.0, recall)


def _only_the_end(is_right: Bools, objects: int) -> Any:
    precision, recall = precision_recall(is_right, objects)
    return float(precision[-1]) if len(precision) else 0.0, float(recall[-1]) if len(recall) else 0.0


def _least_sure_first(is_right: Bools, objects: int) -> Any:
    return precision_recall(is_right[::-1], objects)


def _smoothed(is_right: Bools, objects: int) -> Any:
    precision, recall = precision_recall(is_right, objects)
    return np.maximum.accumulate(precision[::-1])[::-1], recall


CURVE = Exercise(
    "precision_recall",
    lesson=9,
    minutes=10,
    reference=precision_recall,
    cases=_curve_cases,
    hints=(
        "“A single number came.” Both are curves: a value after the first detection, one after the second, and so on.",
        "is_right.cumsum() says how many of the first 1, 2, … are right. By what is it divided for precision, by what for "
        "recall?",
        "right = is_right.cumsum(); precision is right / np.arange(1, len(right) + 1), recall is right / objects.",
    ),
    mistakes=(
        Mistake("divided by all detections, not by those up to here", _of_all_detections),
        Mistake("recall is divided by the objects found, not by all there are", _of_those_found),
        Mistake("recall comes first", _swapped),
        Mistake("divided by 0, 1, 2, … where it should be 1, 2, 3, …", _from_nought),
        Mistake("a point more at the start: there is one for each detection", _with_a_start),
        Mistake("only the last point of the curve", _only_the_end),
        Mistake("the least sure detection comes first", _least_sure_first),
        Mistake("precision is made to fall already here: that is average_precision's work", _smoothed),
    ),
)


# average_precision


def _curve(hits: list[int], objects: int) -> tuple[Floats, Floats]:
    return precision_recall(np.array(hits, bool), objects)


def _ap_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one detection, right, the only object", *_curve([1], 1))
    yield case("one detection, wrong", *_curve([0], 1))
    yield case("one right, two objects", *_curve([1], 2))
    yield case("right, wrong, right; two objects: precision rises again", *_curve([1, 0, 1], 2))
    yield case("wrong, right", *_curve([0, 1], 1))
    yield case("no detection at all", np.empty(0), np.empty(0))
    yield case("recall just at the hundredths", np.linspace(1, 0.5, 10), np.arange(1, 11) / 10)
    yield case("a recall of less than a hundredth", *_curve([1], 150))
    yield case("all wrong", *_curve([0, 0, 0], 4))
    for count in (9, 60):
        hits = (torch.rand(count, generator=generator) < 0.6).tolist()
        yield case(f"{count} detections", *_curve(hits, count))


def _no_envelope(precision: Floats, recall: Floats) -> float:
    return float(np.append(precision, 0)[np.searchsorted(recall, RECALLS)].mean())


def _envelope_left(precision: Floats, recall: Floats) -> float:
    best = np.maximum.accumulate(precision)
    return float(np.append(best, 0)[np.searchsorted(recall, RECALLS)].mean())


def _eleven(precision: Floats, recall: Floats) -> float:
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(recall, np.linspace(0, 1, 11))].mean())


def _hundred(precision: Floats, recall: Floats) -> float:
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(recall, RECALLS[1:])].mean())


def _area(precision: Floats, recall: Floats) -> float:
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * np.diff(recall, prepend=0)).sum())


def _trapezoid(precision: Floats, recall: Floats) -> float:
    return float((np.diff(recall) * (precision[1:] + precision[:-1]) / 2).sum())


def _trapezoid_filled(precision: Floats, recall: Floats) -> float:
    return _trapezoid(np.maximum.accumulate(precision[::-1])[::-1], recall)


def _raw_steps(precision: Floats, recall: Floats) -> float:
    return float((precision * np.diff(recall, prepend=0)).sum())


def _right_side(precision: Floats, recall: Floats) -> float:
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(recall, RECALLS, side="right")].mean())


def _mean(precision: Floats, recall: Floats) -> float:
    return float(precision.mean()) if len(precision) else 0.0


def _reached_only(precision: Floats, recall: Floats) -> float:
    if not len(recall):
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS)
    return float(best[places[places < len(best)]].mean())


def _never_empty(precision: Floats, recall: Floats) -> float:
    if not len(precision):
        raise IndexError("index 0 is out of bounds for axis 0 with size 0")
    return average_precision(precision, recall)


AP = Exercise(
    "average_precision",
    lesson=9,
    minutes=20,
    reference=average_precision,
    cases=_ap_cases,
    library=("sklearn.metrics.average_precision_score",),
    hints=(
        "“A little too low.” Precision may rise again further down the list. At a recall of r COCO takes the best precision "
        "there *or beyond*: go through it from the right.",
        "“A little too high.” What counts where the curve never gets: nothing at all (0), or is it left out of the mean? And "
        "how many points are there from 0.00 to 1.00?",
        "“Nearly there.” best = np.maximum.accumulate(precision[::-1])[::-1]; where = np.searchsorted(recall, np.linspace(0, "
        "1, 101)) is the first place that reaches each recall, or len(recall); so put a 0 at the end of best, look up, and "
        "take the mean.",
    ),
    mistakes=(
        Mistake("precision at the recall, not the best there or beyond", _no_envelope),
        Mistake(
            "the best precision so far, not the best from there on: accumulated from the wrong end", _envelope_left
        ),
        Mistake("11 points of recall, as PASCAL had it until 2009; COCO takes 101", _eleven),
        Mistake("a recall of 0 is left out: 0.00, 0.01, … 1.00 are 101 points", _hundred),
        Mistake("the area under the curve as it is (trapezoids): its teeth are not filled, no 101 points", _trapezoid),
        Mistake("the area under the filled curve (trapezoids), not the mean at 101 points", _trapezoid_filled),
        Mistake("the area under the raw steps: the teeth are not filled, no 101 points", _raw_steps),
        Mistake("the area under the filled steps, not the mean at 101 points", _area),
        Mistake("a recall just reached counts as not reached: searchsorted to the right", _right_side),
        Mistake("the mean precision, as if recall were evenly spread", _mean),
        Mistake("recalls that are never reached are left out, where they count as 0", _reached_only),
        Mistake("it fails where there is no detection", _never_empty),
    ),
)


# coco_map


def _use_map(answer: Answer, found: list[Row], truth: list[Row], category_ids: list[int], images: list[int]) -> Any:
    """Rows of found are (image id, category id, left, top, width, height, score); rows of truth end with (…, area, crowd)."""
    results: list[Result] = [
        {
            "image_id": int(one[0]),
            "category_id": int(one[1]),
            "bbox": [float(x) for x in one[2:6]],
            "score": float(one[6]),
        }
        for one in found
    ]
    annotations = [
        {"id": n, "image_id": one[0], "category_id": one[1], "bbox": one[2:6], "area": one[6], "iscrowd": int(one[7])}
        for n, one in enumerate(truth, 1)
    ]
    content = {
        "images": [{"id": id_, "file_name": f"{id_}.jpg", "width": 400, "height": 400} for id_ in images],
        "categories": [{"id": id_, "name": f"class {id_}"} for id_ in category_ids],
        "annotations": annotations,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        path.write_text(json.dumps(content))
        dataset = truth_of(path)
    return answer(results, dataset)


def _object(image: int, category: int, box: Row, area: float = 0, crowd: int = 0) -> list[float]:
    return [image, category, *box, area or box[2] * box[3], crowd]


def _map_cases(generator: torch.Generator) -> Iterator[Case]:
    small, medium, large = (5, 5, 20, 20), (50, 50, 60, 50), (100, 100, 200, 150)
    one = [_object(1, 3, small)]
    yield case("one object, found", [[1, 3, *small, 0.9]], one, [3], [1])
    yield case("one object, nothing found", [], one, [3], [1])
    yield case("no object at all", [[1, 3, *small, 0.9]], [], [3], [1])
    yield case("two classes, one of them without truth", [[1, 3, *small, 0.9]], one, [3, 7], [1])
    yield case(
        "two classes, one of them never found", [[1, 3, *small, 0.9]], [*one, _object(1, 7, medium)], [3, 7], [1]
    )
    sizes = [_object(1, 3, small), _object(1, 3, medium), _object(1, 3, large)]
    yield case("three sizes, the medium one missed", [[1, 3, *small, 0.9], [1, 3, *large, 0.8]], sizes, [3], [1])
    near = [[1, 3, 50, 50, 60, 37, 0.9]]  # IoU 0.74 with the medium one
    yield case("an IoU of 0.74", near, [_object(1, 3, medium)], [3], [1])
    many = [[1, 3, 5 + 30 * n, 5, 20, 20, 0.9 - 0.05 * n] for n in range(12)]
    alike = [_object(1, 3, (5 + 30 * n, 5, 20, 20)) for n in range(12)]
    yield case("twelve objects in one image, the surest found is wrong", [[1, 3, *large, 0.95], *many], alike, [3], [1])
    crowd = [_object(1, 3, (0, 0, 100, 100), 5000, 1), _object(2, 3, medium)]
    inside = [[1, 3, 10, 10, 20, 20, 0.9], [1, 3, 40, 40, 20, 20, 0.8], [2, 3, *medium, 0.7]]
    yield case("a crowd", inside, crowd, [3], [1, 2])
    yield _random_set(generator, "three classes in six images", [2, 5, 11], 6, 18)


def _random_set(generator: torch.Generator, words: str, category_ids: list[int], images: int, objects: int) -> Case:
    rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
    truth, found = [], []
    for _ in range(objects):
        side = rng.choice([12, 25, 60, 130], 2)
        box = [*rng.integers(0, 200, 2).tolist(), *side.tolist()]
        image, category = int(rng.integers(1, images)), int(rng.choice(category_ids[:-1]))
        truth.append(_object(image, category, box))
        for _ in range(int(rng.integers(0, 3))):
            moved = (np.array(box) + rng.normal(0, 0.07, 4) * np.tile(side, 2)).round(2).tolist()
            wrong = int(rng.choice(category_ids))
            found.append([image, category if rng.random() < 0.8 else wrong, *moved, round(float(rng.random()), 3)])
    return case(words, found, truth, category_ids, list(range(images, 0, -1)))


def _table(results: list[Result], dataset: CocoDataset) -> Floats:
    """(classes, 4 areas, T, 4): AP and the recalls at the three counts."""
    columns = columns_of(results)
    samples = [_samples(columns, dataset, category_id) for category_id in dataset.category_ids]
    return np.array([[_class_numbers(one, *area) for area in AREAS] for one in samples])


def _mean_there(values: Floats) -> float:
    there = values[values >= 0]
    return float(there.mean()) if there.size else -1.0


def _summed_up(table: Floats, mean: Callable[[Floats], float] = _mean_there, iou_75: int = 5) -> dict[str, float]:
    ap, recall = table[..., 0], table[..., 1:]
    kinds = [ap[:, 0], ap[:, 0, 0], ap[:, 0, iou_75], *(ap[:, area] for area in (1, 2, 3))]
    kinds += [*(recall[:, 0, :, count] for count in range(3)), *(recall[:, area, :, 2] for area in (1, 2, 3))]
    return dict(zip(METRICS, map(mean, kinds), strict=True))


def _minus_one_counts(results: list[Result], dataset: CocoDataset) -> Any:
    return _summed_up(_table(results, dataset), lambda values: float(values.mean()))


def _minus_one_is_zero(results: list[Result], dataset: CocoDataset) -> Any:
    return _summed_up(_table(results, dataset).clip(min=0))


def _absent_is_zero(results: list[Result], dataset: CocoDataset) -> Any:
    """A class without truth counts as 0; one without objects of a size is left out there."""
    table = _table(results, dataset)
    table[(table[:, 0, 0, 0] < 0)] = 0
    return _summed_up(table)


def _absent_is_zero_there(results: list[Result], dataset: CocoDataset) -> Any:
    """A class without truth counts as 0 where another has some."""
    table = _table(results, dataset)
    there = (table[..., 0, 0] >= 0).any(0)  # (4,) areas of which there is an object
    table[:, there] = table[:, there].clip(min=0)
    return _summed_up(table)


def _nothing_there_is_zero(results: list[Result], dataset: CocoDataset) -> Any:
    def mean(values: Floats) -> float:
        return float(values[values >= 0].mean()) if (values >= 0).any() else 0.0

    return _summed_up(_table(results, dataset), mean)


def _nought_left_out(results: list[Result], dataset: CocoDataset) -> Any:
    def mean(values: Floats) -> float:
        return float(values[values > 0].mean()) if (values > 0).any() else min(0.0, float(values.max()))

    return _summed_up(_table(results, dataset), mean)


def _off_by_one_75(results: list[Result], dataset: CocoDataset) -> Any:
    return _summed_up(_table(results, dataset), iou_75=4)


def _sizes_reversed(results: list[Result], dataset: CocoDataset) -> Any:
    return _summed_up(_table(results, dataset)[:, [0, 3, 2, 1]])


def _counts_reversed(results: list[Result], dataset: CocoDataset) -> Any:
    table = _table(results, dataset)[..., [0, 3, 2, 1]]
    return _summed_up(table) | {name: _summed_up(table[..., [0, 3, 2, 1]])[name] for name in METRICS[9:]}


def _no_counts(results: list[Result], dataset: CocoDataset) -> Any:
    return _summed_up(_table(results, dataset)[..., [0, 3, 3, 3]])


def _only_half(results: list[Result], dataset: CocoDataset) -> Any:
    return _summed_up(_table(results, dataset)) | {"AP": _summed_up(_table(results, dataset))["AP50"]}


def _recall_at_half(results: list[Result], dataset: CocoDataset) -> Any:
    table = _table(results, dataset)
    at_half = _summed_up(np.repeat(table[:, :, :1], len(IOUS), 2))
    return _summed_up(table) | {name: at_half[name] for name in METRICS[6:]}


def _only_found(results: list[Result], dataset: CocoDataset) -> Any:
    found = {one["category_id"] for one in results}
    table = _table(results, dataset)
    return _summed_up(table[[id_ in found for id_ in dataset.category_ids]])


def _one_class(results: list[Result], dataset: CocoDataset) -> Any:
    columns = columns_of(results)
    samples = [one for id_ in dataset.category_ids for one in _samples(columns, dataset, id_)]
    return _summed_up(np.array([[_class_numbers(samples, *area) for area in AREAS]]))


def _ignored_are_wrong(results: list[Result], dataset: CocoDataset) -> Any:
    return _by_fates(results, dataset, lambda fate: np.where(fate == IGNORED, WRONG, fate))


def _ignored_are_right(results: list[Result], dataset: CocoDataset) -> Any:
    return _by_fates(results, dataset, lambda fate: np.where(fate == IGNORED, RIGHT, fate))


def _by_fates(results: list[Result], dataset: CocoDataset, change: Callable[[Floats], Floats]) -> Any:
    """`coco_map`, with what became of the detections changed before the curves are drawn."""
    columns, rows = columns_of(results), []
    for category_id in dataset.category_ids:
        samples = _samples(columns, dataset, category_id)
        rows.append([_changed_numbers(samples, *area, change) for area in AREAS])
    return _summed_up(np.array(rows))


def _changed_numbers(samples: list[Any], low: float, high: float, change: Callable[[Floats], Floats]) -> Floats:
    parts, objects = [np.empty((2 + len(IOUS), 0))], 0
    for boxes, sure, truth, is_crowd, areas in samples:
        ignored, sizes = is_crowd | (areas < low) | (areas > high), boxes[:, 2:].prod(axis=1)
        matched = match_detections(boxes, sure, truth, is_crowd, ignored=ignored)
        fate = np.append(np.where(ignored, IGNORED, RIGHT), WRONG)[matched]
        fate[(matched < 0) & ((sizes < low) | (sizes > high))] = IGNORED
        parts.append(np.vstack([sure, np.arange(len(sure)), fate]))
        objects += int((~ignored).sum())
    sure, ranks, *fates = np.hstack(parts)
    order = np.argsort(-sure, kind="stable")
    if not objects:
        return np.full((len(IOUS), 1 + len(COUNTS)), -1.0)
    return np.array([_numbers(change(fate[order]), ranks[order], objects) for fate in fates])


def _in_percent(results: list[Result], dataset: CocoDataset) -> Any:
    return {name: 100 * value if value > 0 else value for name, value in coco_map(results, dataset).items()}


MAP = Exercise(
    "coco_map",
    lesson=9,
    minutes=25,
    reference=coco_map,
    cases=_map_cases,
    call=_use_map,
    hints=(
        "“A number is a little too low.” A class without truth has no AP: leave it out of the mean, it is not 0. A class that "
        "was never found has one, and it is 0.",
        "Two tables, filled with -1: ap (classes, areas, overlaps) and recall (…, counts). Fill in where there are objects. "
        "For each fate and count: right = fate[(fate != IGNORED) & (ranks < count)] == RIGHT. Recall is the last of the curve, "
        "or 0 where it is empty.",
        "AP is the mean of ap[:, 0], AP50 of ap[:, 0, 0], AP75 of ap[:, 0, 5], by size of ap[:, 1], ap[:, 2], ap[:, 3]; AR_1, "
        "AR_10, AR_100 of recall[:, 0, :, count], by size of recall[:, area, :, 2]. Each over what is ≥ 0, and -1 where "
        "nothing is.",
    ),
    mistakes=(
        Mistake("the -1 of a class without truth goes into the mean", _minus_one_counts),
        Mistake("a class without truth counts 0, where it is left out", _minus_one_is_zero),
        Mistake("a class without truth counts 0; only those without objects of a size are left out", _absent_is_zero),
        Mistake("a class without truth counts 0, unless nothing is there at all", _absent_is_zero_there),
        Mistake("where there is nothing to find at all, 0 comes instead of -1", _nothing_there_is_zero),
        Mistake("a class of 0 is left out of the mean: that was found badly, not missing", _nought_left_out),
        Mistake("AP75 is taken at 0.70", _off_by_one_75),
        Mistake("small and large are exchanged", _sizes_reversed),
        Mistake("AR_1 and AR_100 are exchanged", _counts_reversed),
        Mistake("recall is always that of 100 detections", _no_counts),
        Mistake("AP is taken at an overlap of 0.5 only", _only_half),
        Mistake("recall is taken at an overlap of 0.5 only, not as a mean of ten", _recall_at_half),
        Mistake("classes of which nothing was found are left out", _only_found),
        Mistake("all classes are thrown together: the mean of the classes is missing", _one_class),
        Mistake("ignored detections count as wrong", _ignored_are_wrong),
        Mistake("ignored detections count as right", _ignored_are_right),
        Mistake("in percent, where 0 to 1 is asked", _in_percent),
    ),
)

EXERCISES = (RESULTS, MATCH, CURVE, AP, MAP)
