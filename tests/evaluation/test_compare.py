import json
import time
from dataclasses import replace

import numpy as np
import pytest

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex
from coursekit.evaluation import score
from coursekit.evaluation.compare import Comparison, Difference, compare, draw_images, precisions
from coursekit.evaluation.match_detections import match


def _load(folder, images, annotations, classes):
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 320, "height": 240} for n in images],
        "categories": [{"id": 2 * n + 1, "name": f"class {n}"} for n in range(classes)],
        "annotations": annotations,
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    index = CocoIndex.load(folder / "annotations.json")
    return CocoDataset("made up", index, np.arange(len(index)), folder)


def _object(images, number, image, category, box, crowd):
    area = float(box[2] * box[3])
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(map(float, box)), "area": area,
            "iscrowd": int(crowd)}  # fmt: skip


def _detector(rng, annotations, images, classes, jitter, recall):
    """Return noisy boxes of the objects that it finds, and some on no object; scores never tie."""
    results = []
    for record in annotations:
        if rng.random() < recall:
            box = np.add(record["bbox"], rng.normal(0, jitter, 4) * np.tile(record["bbox"][2:], 2))
            label = record["category_id"] if rng.random() < 0.9 else 2 * int(rng.integers(classes)) + 1
            results.append((record["image_id"], label, box, rng.beta(4, 2)))
    for image in images:
        for _ in range(rng.poisson(2)):
            box = (*rng.uniform(0, 200, 2), *rng.uniform(15, 80, 2))
            results.append((image, 2 * int(rng.integers(classes)) + 1, box, rng.beta(2, 3)))
    return [
        {"image_id": i, "category_id": c, "bbox": [float(x) for x in (*b[:2], *np.clip(b[2:], 2, None))], "score": s}
        for i, c, b, s in results
    ]


def _world(folder, seed, images, a=(0.08, 0.7), b=(0.08, 0.7), classes=4):
    """Return a made-up data set and two runs on it, each given by its jitter and its recall."""
    rng, annotations = np.random.default_rng(seed), []
    ids = range(1, images + 1)
    for image in ids:
        for _ in range(1 + rng.poisson(5)):
            box = (*rng.uniform(0, 200, 2), *rng.uniform(15, 80, 2))
            category = 2 * int(rng.integers(classes)) + 1
            annotations.append(_object(ids, len(annotations) + 1, image, category, box, rng.random() < 0.05))
    runs = [_detector(rng, annotations, ids, classes, *run) for run in (a, b)]
    return _load(folder, ids, annotations, classes), *runs


def test_every_image_is_drawn_equally_often():
    times = draw_images(20, 400, 0)
    assert times.shape == (400, 20)
    assert (times >= 0).all()
    assert (abs(times.mean(0) - 1) < 0.25).all()  # five standard deviations
    assert 0.3 < (times == 0).mean() < 0.42  # (1 - 1/20)^20 = 0.36


def test_both_numbers_are_cocos(tmp_path, real_coco):
    for (dataset, a, b), engine in (
        (_world(tmp_path, 0, 40), "pycocotools"),
        (_on_real_records(real_coco), "hotcoco"),
    ):
        compared = compare(a, b, dataset, draws=40)
        for results, ap, ap50 in ((a, compared.ap.a, compared.ap50.a), (b, compared.ap.b, compared.ap50.b)):
            numbers = score(results, dataset, engine=engine)
            assert ap == pytest.approx(numbers["AP"], abs=1e-12)
            assert ap50 == pytest.approx(numbers["AP50"], abs=1e-12)


def _on_real_records(real_coco):
    dataset, rng = load(real_coco, "val"), np.random.default_rng(0)
    runs = []
    for _ in range(2):
        records = [r for r in dataset.ground_truth()["annotations"] for _ in range(rng.integers(0, 3))]
        noise = rng.normal(0, 0.1, (len(records), 4))
        boxes = [np.add(r["bbox"], n * np.tile(r["bbox"][2:], 2)).clip(1) for r, n in zip(records, noise, strict=True)]
        runs.append(
            [
                {"image_id": r["image_id"], "category_id": r["category_id"], "bbox": b.tolist(), "score": s / 2**20}
                for r, b, s in zip(records, boxes, rng.integers(0, 2**20, len(records)).tolist(), strict=True)
            ]
        )
    return dataset, *runs


def _copied(folder, dataset, results, times, classes):
    """Return a data set with each image copied `times` times under new ids, and the results in it."""
    records, copies, annotations, copied = dataset.ground_truth(), {}, [], []
    for image, count in zip(dataset.image_ids, times.tolist(), strict=True):
        copies[image] = [100 * image + n for n in range(count)]
    for record in records["annotations"]:
        for id_ in copies[record["image_id"]]:
            annotations.append(record | {"id": len(annotations) + 1, "image_id": id_})
    for result in results:
        copied += [result | {"image_id": id_} for id_ in copies[result["image_id"]]]
    return _load(folder, [id_ for ids in copies.values() for id_ in ids], annotations, classes), copied


def _check_draws(folder, seeds):
    for seed in seeds:
        dataset, results, _ = _world(folder, seed, 20)
        times = draw_images(20, 4, seed)
        ours = precisions(match(results, dataset), times, 4)
        for draw, values in zip(times, ours, strict=True):
            numbers = score(*reversed(_copied(folder, dataset, results, draw, 4)))
            assert values.mean() == pytest.approx(numbers["AP"], abs=1e-9)
            assert values[0] == pytest.approx(numbers["AP50"], abs=1e-9)


def test_a_draw_scores_as_the_data_set_with_copied_images_would(tmp_path):
    _check_draws(tmp_path, range(3))


@pytest.mark.long
def test_a_draw_scores_as_the_data_set_with_copied_images_would_200_times(tmp_path):
    _check_draws(tmp_path, range(10, 60))


def test_a_draw_has_as_many_images_and_depends_on_the_seed():
    times = draw_images(50, 30, 1)
    assert (times.sum(1) == 50).all()
    assert np.array_equal(times, draw_images(50, 30, 1))
    assert not np.array_equal(times, draw_images(50, 30, 2))
    assert times.max() > 1


def test_a_run_against_itself_shows_no_difference(tmp_path):
    dataset, a, _ = _world(tmp_path, 0, 30)
    compared = compare(a, a, dataset)
    assert (compared.ap.change, compared.ap.low, compared.ap.high) == (0, 0, 0)
    assert compared.verdict == "no difference that 30 images could show"


def test_a_clearly_better_run_is_called_so_and_the_other_way_round(tmp_path):
    dataset, a, b = _world(tmp_path, 0, 60, a=(0.12, 0.6), b=(0.03, 0.9))
    compared, turned = compare(a, b, dataset), compare(b, a, dataset)
    assert 0 < compared.ap.low < compared.ap.change < compared.ap.high
    assert compared.ap50.low > 0
    assert compared.verdict.startswith(f"B is better: +{compared.ap.change:.3f}, between +")
    assert turned.verdict == "A" + compared.verdict[1:]
    assert str(compared).endswith(compared.verdict)


def test_the_verdict_in_words():
    def words(low, high):
        return Comparison(120, Difference(0.4, 0.4 + (low + high) / 2, low, high), Difference(0, 0, 0, 0)).verdict

    assert words(0.012, 0.05) == "B is better: +0.031, between +0.012 and +0.050"
    assert words(-0.05, -0.012) == "A is better: +0.031, between +0.012 and +0.050"
    assert words(-0.01, 0.02) == "no difference that 120 images could show"
    assert words(0.0, 0.02) == "no difference that 120 images could show"


def test_pairing_makes_the_interval_shorter(tmp_path):
    """B is A with slightly worse scores: on the same images the difference is nearly fixed, on others it is not."""
    dataset, a, _ = _world(tmp_path, 3, 60)
    rng = np.random.default_rng(0)
    b = [result | {"score": float(np.clip(result["score"] + rng.normal(0, 0.02), 0, 1))} for result in a]
    compared = compare(a, b, dataset)
    drawn = [precisions(match(run, dataset), draw_images(60, 200, seed), 4).mean(1) for run, seed in ((a, 1), (b, 2))]
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    assert compared.ap.high - compared.ap.low < (high - low) / 3


def test_the_same_seed_gives_the_same_interval(tmp_path):
    dataset, a, b = _world(tmp_path, 0, 30)
    assert compare(a, b, dataset, seed=3) == compare(a, b, dataset, seed=3)
    assert compare(a, b, dataset, seed=3) != compare(a, b, dataset, seed=4)


def _share_that_holds(folder, sets, images, of=3000):
    """Return how often the interval of `images` images holds the difference on the whole set."""
    whole, a, b = _world(folder, 1, of, b=(0.07, 0.75))
    true, rng, held = compare(a, b, whole, draws=40).ap.change, np.random.default_rng(0), 0
    by_image = [{id_: [] for id_ in whole.image_ids} for _ in range(2)]
    for results, groups in zip((a, b), by_image, strict=True):
        for result in results:
            groups[result["image_id"]].append(result)
    for seed in range(sets):
        part = replace(whole, rows=np.sort(rng.choice(len(whole), images, replace=False)))
        runs = ([result for id_ in part.image_ids for result in groups[id_]] for groups in by_image)
        compared = compare(*runs, part, draws=100, seed=seed)
        held += compared.ap.low <= true <= compared.ap.high
    return held / sets


@pytest.mark.slow
def test_the_interval_mostly_holds_the_true_difference(tmp_path):
    assert _share_that_holds(tmp_path, 30, 40, of=800) >= 0.8


@pytest.mark.long
def test_the_interval_holds_the_true_difference_95_times_in_100(tmp_path):
    assert 0.9 <= _share_that_holds(tmp_path, 300, 60) <= 0.99


def test_120_images_take_no_time(tmp_path):
    dataset, a, b = _world(tmp_path, 0, 120, classes=16)
    start = time.perf_counter()
    compare(a, b, dataset)
    assert time.perf_counter() - start < 5  # measured 0.1 s


def test_no_detections_and_bad_settings(tmp_path):
    dataset, a, _ = _world(tmp_path, 0, 20)
    assert compare([], a, dataset).verdict.startswith("B is better")
    assert compare([], [], dataset).ap == Difference(0, 0, 0, 0)
    with pytest.raises(ConfigError, match="draws=10"):
        compare(a, a, dataset, draws=10)
    with pytest.raises(ConfigError, match="9 images"):
        compare(a, a, replace(dataset, rows=dataset.rows[:9]))
    with pytest.raises(DataError, match=r"results of B: 1 of .*\n.*category_id 2"):
        compare(a, [*a[1:], a[0] | {"category_id": 2}], dataset)
    with pytest.raises(DataError, match="have no boxes"):
        compare([], [], _load(tmp_path, range(1, 21), [], 2))
