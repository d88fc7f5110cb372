import json
from dataclasses import replace

import numpy as np
import pytest

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex
from coursekit.evaluation.error_analysis import KINDS, best_thresholds, confusion_matrix, split_errors, worst_images
from coursekit.evaluation.match_detections import UNMATCHED

CLASSES = ("cat", "dog", "cow")
IDS = (3, 7, 20)  # with gaps, as COCO's


def _data(folder, boxes, images=None):
    """Return a data set without image files from (image, class, xywh, crowd); images are numbered from 1."""
    images = images or max(box[0] for box in boxes)
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 300, "height": 300} for n in range(1, images + 1)],
        "categories": [{"id": id_, "name": name} for id_, name in zip(IDS, CLASSES, strict=True)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": list(b), "area": b[2] * b[3], "iscrowd": int(k)}
            for n, (i, c, b, k) in enumerate(boxes, 1)
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    index = CocoIndex.load(folder / "annotations.json")
    return CocoDataset("made up", index, np.arange(len(index)), folder)


def _result(image, category, box, score=0.9):
    return {"image_id": image, "category_id": category, "bbox": [float(x) for x in box], "score": score}


def _grid(folder, images=30):
    """Return a data set with four objects of 40 × 40 in each image, 140 pixels apart: no box is near two of them."""
    places = [(40 + 140 * (n % 2), 40 + 140 * (n // 2)) for n in range(4)]
    return _data(folder, [(i, IDS[(i + n) % 3], (x, y, 40, 40), 0) for i in range(1, images + 1)
                          for n, (x, y) in enumerate(places)])  # fmt: skip


def _plant(kind, dataset, seed):
    """Return detections of all objects, 40 % of them with an error of one kind."""
    rng, results = np.random.default_rng(seed), []
    for record in dataset.ground_truth()["annotations"]:
        image, category, (x, y, w, h) = record["image_id"], record["category_id"], record["bbox"]
        right = _result(image, category, (x, y, w, h), rng.uniform(0.2, 1))
        other = IDS[(IDS.index(category) + 1) % 3]
        planted = {
            "classification": [right | {"category_id": other}],
            "localization": [right | {"bbox": [x + 20, y, w, h]}],  # IoU 1/3
            "both": [right, _result(image, other, (x + 20, y, w, h), rng.uniform(0.2, 1))],
            "duplicate": [right, right | {"bbox": [x + 1, y, w, h], "score": rng.uniform(0.2, 1)}],
            "background": [right, _result(image, category, (x + 55, y + 55, w, h), rng.uniform(0.2, 1))],
            "missed": [],
        }[kind]
        results += planted if rng.random() < 0.4 else [right]
    return results


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_kind_is_the_only_one_and_costs_most(kind, tmp_path):
    dataset = _grid(tmp_path)
    report = split_errors(_plant(kind, dataset, 0), dataset)
    assert report.costliest == kind
    assert report.kinds[kind].cost > 0.05
    assert report.kinds[kind].count > 30
    assert report.ap50 + report.kinds[kind].cost == pytest.approx(1)  # without it there are no errors
    for other in set(KINDS) - {kind}:
        assert report.kinds[other].count == 0, other
        assert report.kinds[other].cost == 0, other


def _iou(a, b):
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _inside(box, crowd):
    width = min(box[0] + box[2], crowd[0] + crowd[2]) - max(box[0], crowd[0])
    height = min(box[1] + box[3], crowd[1] + crowd[3]) - max(box[1], crowd[1])
    return max(0, width) * max(0, height) / (box[2] * box[3])


def _matched_slowly(results, dataset, iou=0.5):
    """COCO's loop, literally: position of a result → record or UNMATCHED; detections on a crowd are left out."""
    records, partners = dataset.ground_truth()["annotations"], {}
    taken = set()
    for place in sorted(range(len(results)), key=lambda place: -results[place]["score"]):
        detection = results[place]
        same = [
            r for r in records if (r["image_id"], r["category_id"]) == (detection["image_id"], detection["category_id"])
        ]
        best, chosen = iou, None
        for record in same:
            overlap = 0 if record["iscrowd"] else _iou(detection["bbox"], record["bbox"])
            if record["id"] not in taken and overlap >= best:
                best, chosen = overlap, record
        if chosen:
            taken.add(chosen["id"])
            partners[place] = chosen
        elif not any(record["iscrowd"] and _inside(detection["bbox"], record["bbox"]) >= iou for record in same):
            partners[place] = UNMATCHED
    return partners


def _kinds_slowly(results, dataset):
    """Return TIDE's counts by the paper's definitions, one detection after the other."""
    partners = _matched_slowly(results, dataset)
    objects = [record for record in dataset.ground_truth()["annotations"] if not record["iscrowd"]]
    used = {record["id"] for record in partners.values() if record != UNMATCHED}
    counts, stood_for = dict.fromkeys(KINDS, 0), set()
    for place in [place for place, record in partners.items() if record == UNMATCHED]:
        detection = results[place]
        there = [record for record in objects if record["image_id"] == detection["image_id"]]
        same = [
            (_iou(detection["bbox"], r["bbox"]), r["id"]) for r in there if r["category_id"] == detection["category_id"]
        ]
        others = [
            (_iou(detection["bbox"], r["bbox"]), r["id"]) for r in there if r["category_id"] != detection["category_id"]
        ]
        near, far = max(same, default=(0, 0)), max(others, default=(0, 0))
        if 0.1 <= near[0] < 0.5:
            kind, corrected = "localization", near[1]
        elif far[0] >= 0.5:
            kind, corrected = "classification", far[1]
        elif near[0] >= 0.5:
            kind, corrected = "duplicate", None
        else:
            kind, corrected = ("background" if max(near[0], far[0]) < 0.1 else "both"), None
        counts[kind] += 1
        stood_for.add(corrected)
    counts["missed"] = sum(record["id"] not in used | stood_for for record in objects)
    return counts


def _random_case(folder, seed, images=8):
    """Return crowded little scenes: overlapping objects, crowds, detections with all kinds of errors."""
    rng, boxes, results = np.random.default_rng(seed), [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(1, 9)):
            box = (*rng.uniform(0, 120, 2), *rng.uniform(20, 100, 2))
            category = int(rng.choice(IDS))
            boxes.append((image, category, box, rng.random() < 0.15))
            for _ in range(rng.integers(0, 4)):
                moved = np.add(box, rng.normal(0, 0.2, 4) * box[2])
                moved[2:] = moved[2:].clip(5)
                label = category if rng.random() < 0.7 else int(rng.choice(IDS))
                results.append(_result(image, label, moved, float(np.float32(rng.random()))))
        results.append(_result(image, int(rng.choice(IDS)), (*rng.uniform(0, 250, 2), 30, 30), float(rng.random())))
    return results, _data(folder, boxes, images)


def _check_counts(folder, seeds):
    seen = dict.fromkeys(KINDS, 0)
    for seed in seeds:
        results, dataset = _random_case(folder, seed)
        counts = {name: kind.count for name, kind in split_errors(results, dataset).kinds.items()}
        assert counts == _kinds_slowly(results, dataset), seed
        seen = {name: seen[name] + counts[name] for name in KINDS}
    assert min(seen.values()) > len(seeds) / 2, seen


def test_kinds_are_those_of_the_papers_definitions(tmp_path):
    _check_counts(tmp_path, range(20))


@pytest.mark.long
def test_kinds_are_those_of_the_papers_definitions_200_times(tmp_path):
    _check_counts(tmp_path, range(100, 300))


def test_the_ground_truth_itself_has_no_errors(tmp_path):
    dataset = _grid(tmp_path)
    perfect = [_result(r["image_id"], r["category_id"], r["bbox"]) for r in dataset.ground_truth()["annotations"]]
    report = split_errors(perfect, dataset)
    assert report.ap50 == pytest.approx(1)
    assert all(kind.count == 0 for kind in report.kinds.values())
    assert np.array_equal(confusion_matrix(perfect, dataset), np.diag([40, 40, 40, 0]))
    assert worst_images(perfect, dataset, 5) == []
    assert all(best == (0.9, 1, 1, 1) for best in best_thresholds(perfect, dataset).values())


def test_without_detections_all_objects_are_missed(tmp_path):
    dataset = _grid(tmp_path)
    assert split_errors([], dataset).kinds["missed"].count == 120
    assert confusion_matrix([], dataset)[:, -1].tolist() == [40, 40, 40, 0]
    assert set(best_thresholds([], dataset).values()) == {(1.0, 0.0, 0.0, 0.0)}
    assert worst_images([], dataset, 3)[0].reason.startswith("missed 4 (")


def test_the_matrix_has_ground_truth_in_rows_and_predictions_in_columns(tmp_path):
    boxes = [(1, 3, (0, 0, 50, 50), 0), (1, 7, (100, 0, 50, 50), 0), (2, 20, (0, 0, 50, 50), 0)]
    results = [
        _result(1, 3, (0, 0, 50, 50)),  # the cat, correct
        _result(1, 20, (100, 0, 50, 50)),  # the dog as a cow
        _result(2, 7, (200, 200, 50, 50)),  # a dog where nothing is
        _result(2, 20, (0, 0, 50, 50), 0.4),  # the cow, with too low a score
    ]
    matrix = confusion_matrix(results, _data(tmp_path, boxes))
    assert matrix.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    assert confusion_matrix(results, _data(tmp_path, boxes), threshold=0.3)[2].tolist() == [0, 0, 1, 0]


def test_two_correct_boxes_that_overlap_are_no_confusion(tmp_path):
    dataset = _data(tmp_path, [(1, 3, (0, 0, 100, 100), 0), (1, 7, (0, 0, 100, 80), 0)])
    results = [_result(1, 3, (0, 0, 100, 82)), _result(1, 7, (0, 0, 100, 80), 0.8)]  # the cat's box fits the dog better
    assert np.array_equal(confusion_matrix(results, dataset), np.diag([1, 1, 0, 0]))


def test_detections_on_a_crowd_are_not_in_the_matrix(tmp_path):
    dataset = _data(tmp_path, [(1, 3, (0, 0, 100, 100), 1), (1, 7, (200, 0, 50, 50), 0)])
    assert confusion_matrix([_result(1, 3, (10, 10, 20, 20))], dataset).sum() == 1  # the missed dog
    assert confusion_matrix([_result(1, 20, (10, 10, 20, 20))], dataset)[3, 2] == 1  # a cow in a crowd of cats


def test_rows_of_the_matrix_sum_to_objects_and_columns_to_detections(tmp_path):
    for seed in range(10):
        results, dataset = _random_case(tmp_path, seed)
        matrix = confusion_matrix(results, dataset, threshold=0.3)
        records = [r["category_id"] for r in dataset.ground_truth()["annotations"] if not r["iscrowd"]]
        assert matrix[:-1].sum(1).tolist() == [records.count(id_) for id_ in IDS]
        counted = [r for n, r in enumerate(results) if r["score"] >= 0.3 and n in _matched_slowly(results, dataset)]
        assert matrix[:, :-1].sum(0).tolist() == [sum(r["category_id"] == id_ for r in counted) for id_ in IDS]


def test_the_best_threshold_beats_every_other(tmp_path):
    for seed in range(10):
        results, dataset = _random_case(tmp_path, seed)
        results = [result | {"score": round(result["score"], 1)} for result in results]  # with ties
        for name, best in best_thresholds(results, dataset).items():
            label = CLASSES.index(name)
            f1 = {}
            for threshold in np.arange(0, 1.01, 0.1).round(1).tolist():
                kept = [r for r in results if r["score"] >= threshold and r["category_id"] == IDS[label]]
                partners = _matched_slowly(kept, dataset).values()
                hits = sum(partner != UNMATCHED for partner in partners)
                present = sum(
                    r["category_id"] == IDS[label] and not r["iscrowd"] for r in dataset.ground_truth()["annotations"]
                )
                f1[threshold] = 2 * hits / (len(partners) + present)
            assert best.f1 == pytest.approx(max(f1.values()))
            if best.f1:
                assert f1[best.score] == pytest.approx(best.f1)
                assert best.f1 == pytest.approx(2 * best.precision * best.recall / (best.precision + best.recall))


def test_the_worst_images_come_with_their_reasons(tmp_path):
    boxes = [(i, 3, (0, 0, 50, 50), 0) for i in (1, 2, 3)] + [(2, 7, (100, 0, 50, 50), 0)]
    results = [_result(1, 3, (0, 0, 50, 50)), _result(3, 3, (0, 0, 50, 50)), _result(3, 20, (200, 200, 40, 40), 0.8)]
    dataset = _data(tmp_path, boxes)
    worst = worst_images(results, dataset, 9)
    assert [image.image_id for image in worst] == [2, 3]  # the first one has no errors
    assert worst[0].reason == "missed 2 (cat, dog)"
    assert worst[1].reason == "1 false positive (cow 0.80)"
    assert worst_images(results, dataset, 1) == worst[:1]
    assert len(worst_images(results, dataset, 9, threshold=0.85)) == 1  # the cow's score is too low


@pytest.mark.parametrize(("width", "score", "count"), [(50, 0.5, 1), (49, 0.5, 0), (50, 0.49, 0), (100, 0.9, 1)])
def test_an_iou_and_a_score_of_one_half_count_by_default(tmp_path, width, score, count):
    dataset = _data(tmp_path, [(1, 3, (0, 0, 100, 100), 0)])
    results = [_result(1, 3, (0, 0, width, 100), score)]  # the IoU is width / 100
    assert confusion_matrix(results, dataset)[0, 0] == count
    assert confusion_matrix(results, dataset, threshold=0.4, iou=0.4)[0, 0] == 1


def test_reasons_count_all_errors_and_name_three(tmp_path):
    boxes = [(3, (0, 0, 40, 40)), (3, (60, 0, 40, 40)), (7, (120, 0, 40, 40)), (20, (180, 0, 40, 40))]
    dataset = _data(tmp_path, [(1, category, box, 0) for category, box in boxes])
    assert worst_images([], dataset, 1)[0].reason == "missed 4 (2 cat, dog, cow)"
    false = [_result(1, 3, (0, 100 + 50 * n, 40, 40), 0.9 - 0.1 * n) for n in range(4)]
    reason = worst_images(false, dataset, 1)[0].reason
    assert reason == "missed 4 (2 cat, dog, cow); 4 false positives (cat 0.90, cat 0.80, cat 0.70, …)"


def test_the_order_of_the_images_does_not_matter(tmp_path):
    results, dataset = _random_case(tmp_path, 3)
    shuffled = replace(dataset, rows=np.random.default_rng(0).permutation(dataset.rows))
    assert worst_images(results, shuffled, 4) == worst_images(results, dataset, 4)
    assert np.array_equal(confusion_matrix(results, shuffled), confusion_matrix(results, dataset))


def test_the_report_agrees_with_the_score_on_real_records(real_coco):
    from coursekit.evaluation import score

    dataset, rng = load(real_coco, "val"), np.random.default_rng(0)
    results = [
        _result(r["image_id"], r["category_id"], np.add(r["bbox"], rng.normal(0, 4, 4)).clip(1), float(rng.random()))
        for r in dataset.ground_truth()["annotations"]
    ]
    report = split_errors(results, dataset)
    assert report.ap50 == pytest.approx(score(results, dataset)["AP50"])
    assert set(KINDS) == set(report.kinds)
    assert all(name in str(report) for name in KINDS)


def test_bad_results_and_options_are_refused(tmp_path):
    dataset = _grid(tmp_path)
    with pytest.raises(DataError, match="category_id 4"):
        split_errors([_result(1, 4, (0, 0, 9, 9))], dataset)
    with pytest.raises(DataError, match="image_id 99"):
        confusion_matrix([_result(99, 3, (0, 0, 9, 9))], dataset)
    with pytest.raises(DataError, match="score missing"):
        best_thresholds([{"image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1]}], dataset)
    with pytest.raises(ConfigError, match="count=0"):
        worst_images([], dataset, 0)
    with pytest.raises(ConfigError, match="iou=50"):
        confusion_matrix([], dataset, iou=50)
    with pytest.raises(DataError, match="have no boxes"):
        split_errors([], _data(tmp_path, [(1, 3, (0, 0, 9, 9), 1)]))
