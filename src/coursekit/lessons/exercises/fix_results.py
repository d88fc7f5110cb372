"""Exercise 9.8: undo the faults that make an AP of 0."""

from collections.abc import Iterator
from typing import Any

import torch

from coursekit.from_scratch.fix_results import fix_results
from coursekit.lessons.exercise import Case, Exercise, Wrong, case

Box = tuple[float, float, float, float]
FAULTS = ("labels", "corners", "shares", "resized")
WIDE, TALL, IDS = (240, 320), (400, 300), [1, 18, 44]  # IDS: of labels 1, 2, 3


def _record(box: Box, image_id: int = 7, category_id: int = 18, score: float = 0.75) -> dict[str, Any]:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(box), "score": score}


def cases(generator: torch.Generator) -> Iterator[Case]:
    """Yield the simplest case first: an intern sees the first one that fails."""
    box = (10.0, 20.0, 30.0, 40.0)
    yield case("labels in place of ids", [_record(box, category_id=2)], "labels", {7: WIDE}, IDS)
    yield case("two corners", [_record((10.0, 20.0, 40.0, 60.0))], "corners", {7: WIDE}, IDS)
    yield case("shares of the image", [_record((0.25, 0.5, 0.125, 0.25))], "shares", {7: WIDE}, IDS)
    yield case("boxes of a resized image", [_record((64.0, 32.0, 128.0, 16.0))], "resized", {7: WIDE}, IDS)
    yield case("boxes of a resized image that is higher than wide", [_record(box)], "resized", {7: TALL}, IDS)
    yield case("the last label", [_record(box, category_id=3)], "labels", {7: WIDE}, IDS)
    for fault in FAULTS:
        two = [_record((0.1, 0.2, 0.5, 0.75), 7, 1, 0.5), _record((0.25, 0.5, 0.75, 0.625), 9, 2, 0.25)]
        yield case(f"{fault}: two images of different sizes", two, fault, {9: TALL, 7: WIDE}, IDS)
    yield case("no detections", [], "corners", {7: WIDE}, IDS)
    extra = _record(box) | {"area": 1200.0}
    yield case("a record with one more field", [extra], "resized", {7: WIDE}, IDS)
    numbers = torch.rand(6, 4, generator=generator).tolist()
    many = [_record(tuple(row), 7 + n % 2, 1 + n % 3, 0.125 * n) for n, row in enumerate(numbers)]
    for fault in FAULTS:
        yield case(f"{fault}: six detections", many, fault, {7: WIDE, 8: TALL}, IDS)


# Wrong answers. `_fixed` is right as long as its options are left alone.


def _corners(x, y, w, h):
    return [x, y, w - x, h - y]


def _shares(x, y, w, h, height, width):
    return [x * width, y * height, w * width, h * height]


def _resized(x, y, w, h, height, width):
    return [side * max(height, width) / 512 for side in (x, y, w, h)]


def _fixed(results, fault, sizes, ids, *, corners=_corners, shares=_shares, resized=_resized, index=lambda n: n - 1):
    fixed = []
    for record in results:
        size, record = sizes[record["image_id"]], dict(record)
        if fault == "labels":
            record["category_id"] = ids[index(record["category_id"])]
        if fault == "corners":
            record["bbox"] = corners(*record["bbox"])
        if fault == "shares":
            record["bbox"] = shares(*record["bbox"], *size)
        if fault == "resized":
            record["bbox"] = resized(*record["bbox"], *size)
        fixed.append(record)
    return fixed


def _changed(words="", **options):
    return Wrong(lambda *args: _fixed(*args, **options), words)


def in_place(results, fault, sizes, category_ids):
    for record, right in zip(results, fix_results(results, fault, sizes, category_ids)):
        record.update(right)
    return results


def sizes_of_the_first_image(results, fault, sizes, category_ids):
    size = next(iter(sizes.values()))
    return _fixed(results, fault, dict.fromkeys(sizes, size), category_ids)


def all_faults_at_once(results, fault, sizes, category_ids):
    for each in FAULTS[1:]:
        results = _fixed(results, each, sizes, category_ids)
    return results if fault != "labels" else _fixed(results, fault, sizes, category_ids)


def rounded(results, fault, sizes, category_ids):
    fixed = fix_results(results, fault, sizes, category_ids)
    return [record | {"bbox": [round(side) for side in record["bbox"]]} for record in fixed]


def only_four_fields(results, fault, sizes, category_ids):
    fixed = fix_results(results, fault, sizes, category_ids)
    return [{key: record[key] for key in ("image_id", "category_id", "bbox", "score")} for record in fixed]


def only_the_fixed_fields(results, fault, sizes, category_ids):
    fixed = fix_results(results, fault, sizes, category_ids)
    return [{key: record[key] for key in ("category_id", "bbox")} for record in fixed]


def nothing_done(results, fault, sizes, category_ids):
    return [dict(record) for record in results]


def best_first(results, fault, sizes, category_ids):
    return sorted(fix_results(results, fault, sizes, category_ids), key=lambda record: -record["score"])


# Other right answers.


def by_a_table(results, fault, sizes, category_ids):
    def fixed(record):
        (height, width), (a, b, c, d) = sizes[record["image_id"]], record["bbox"]
        scale = max(height, width) / 512
        box = {
            "labels": [a, b, c, d],
            "corners": [a, b, c - a, d - b],
            "shares": [a * width, b * height, c * width, d * height],
            "resized": [a * scale, b * scale, c * scale, d * scale],
        }[fault]
        label = record["category_id"]
        return {**record, "bbox": box, "category_id": category_ids[label - 1] if fault == "labels" else label}

    return [fixed(record) for record in results]


def copied_first(results, fault, sizes, category_ids):
    fixed = [{**record, "bbox": list(record["bbox"])} for record in results]
    for record in fixed:
        height, width = sizes[record["image_id"]]
        box = record["bbox"]
        if fault == "labels":
            record["category_id"] = dict(enumerate(category_ids, 1))[record["category_id"]]
        elif fault == "corners":
            box[2] -= box[0]
            box[3] -= box[1]
        else:
            factors = {"shares": (width, height), "resized": (max(width, height) / 512,) * 2}[fault]
            record["bbox"] = [side * factors[n % 2] for n, side in enumerate(box)]
    return fixed


EXERCISE = Exercise(
    "fix_results",
    lesson=9,
    minutes=10,
    reference=fix_results,
    cases=cases,
    hints=(
        "“Which number goes where?” Write down, for one record, what the fault did to it. For “corners”, the third number "
        "was x + w. Which of the numbers in the record do you need to get w back?",
        "Take one record at a time: height, width = sizes[record['image_id']], and x, y, w, h = record['bbox']. Then one "
        "if for each fault. A resized image has a long side of 512 pixels, so one factor scales all four numbers back.",
        "labels: category_ids[label - 1]. corners: [x, y, w - x, h - y]. shares: x and w times width, y and h times height. "
        "resized: all four times max(height, width) / 512. Then record | {'category_id': …, 'bbox': […]}.",
    ),
    wrong=(
        _changed("label 1 is at index 0 of category_ids", index=lambda n: n % len(IDS)),
        _changed(
            "corners: x and y are added to the other corner, not subtracted",
            corners=lambda x, y, w, h: [x, y, w + x, h + y],
        ),
        _changed(
            "corners: the numbers are x1, y1, x2, y2, so w is the third minus the first",
            corners=lambda x, y, w, h: [x, y, w - y, h - x],
        ),
        _changed(
            "shares: height and width are swapped",
            shares=lambda x, y, w, h, height, width: [x * height, y * width, w * height, h * width],
        ),
        _changed(
            "shares: width and height of the box are still shares",
            shares=lambda x, y, w, h, height, width: [x * width, y * height, w, h],
        ),
        _changed(
            "resized: it is scaled in the wrong direction",
            resized=lambda *box: [side * 512 / max(box[4:]) for side in box[:4]],
        ),
        _changed(
            "resized: the long side was 512, not the short one",
            resized=lambda *box: [side * min(box[4:]) / 512 for side in box[:4]],
        ),
        _changed(
            "resized: it takes the width for the long side, also where the image is higher than wide",
            resized=lambda *box: [side * box[5] / 512 for side in box[:4]],
        ),
        _changed(
            "resized: x and y are scaled by factors of their own, but the image kept its shape",
            resized=lambda x, y, w, h, height, width: [
                x * width / 512,
                y * height / 512,
                w * width / 512,
                h * height / 512,
            ],
        ),
        _changed(
            "resized: width and height of the box are not scaled",
            resized=lambda x, y, w, h, *size: [x * max(size) / 512, y * max(size) / 512, w, h],
        ),
        Wrong(in_place, "the caller's records are changed"),
        Wrong(sizes_of_the_first_image, "each image has its own size: look it up with the record's image_id"),
        Wrong(all_faults_at_once, "all faults are undone, not only the one that is named"),
        Wrong(rounded, "boxes are rounded to whole pixels"),
        Wrong(only_the_fixed_fields, "the records have lost their image_id and score"),
        Wrong(nothing_done, "the records are copied, but nothing is undone"),
        Wrong(best_first, "the records are sorted by score: they should stay in the order given"),
        Wrong(only_four_fields),
    ),
    right=(by_a_table, copied_first),
)
