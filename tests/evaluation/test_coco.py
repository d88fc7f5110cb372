import copy
import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.data.dataset import CocoDataset
from coursekit.data.index import CocoIndex
from coursekit.evaluation import METRICS, precision_curve, score, to_coco_results

ENGINES = ("hotcoco", "pycocotools")


def noisy_detections(dataset, seed):
    """Ground truth with noise: some boxes left out, some twice, some of another class; some detections on crowds."""
    rng = np.random.default_rng(seed)
    results = []
    for index in range(len(dataset)):
        target = dataset.target(index)
        boxes = torch.cat([target["boxes"], target["crowd_boxes"]])
        labels = torch.cat([target["labels"], torch.ones(len(target["crowd_boxes"]), dtype=torch.int64)])
        for box, label in zip(boxes.numpy(), labels.tolist(), strict=True):
            for _ in range(rng.choice(3, p=[0.2, 0.6, 0.2])):
                moved = box + rng.normal(0, 0.08, 4) * np.tile(box[2:] - box[:2], 2)
                wrong = int(rng.integers(1, len(dataset.classes) + 1))
                chosen = wrong if rng.random() < 0.1 else label
                detection = {
                    "boxes": torch.tensor(moved)[None],
                    "labels": torch.tensor([chosen]),
                    "scores": torch.tensor([round(float(rng.random()), 2)]),  # with ties
                }
                results += to_coco_results([detection], [target["image_id"]], dataset.category_ids)
    return results


def records_only(path):
    """Return a data set of an annotation file without images."""
    index = CocoIndex.load(path)
    return CocoDataset(path.name, index, np.arange(len(index)), path.parent)


def random_set(folder, seed):
    """Return a small data set with everything that makes matching hard, and detections in it.

    Ids out of order, images and classes without boxes, crowds, equal boxes, equal overlaps, equal scores, areas on the
    border of a range, empty boxes, detections of images and classes without boxes, more than 100 in an image.
    """
    rng = np.random.default_rng(seed)
    image_ids = (rng.permutation(1000)[: rng.integers(2, 9)] + 1).tolist()
    category_ids = (rng.permutation(90)[: rng.integers(1, 5)] + 1).tolist()
    boxes = [_random_box(rng) for _ in range(rng.integers(1, 30))]
    boxes += [boxes[0]] * int(rng.integers(0, 3))
    annotations = [
        {
            "id": number,
            "image_id": int(rng.choice(image_ids[1:])),
            "category_id": int(rng.choice(category_ids[: max(1, len(category_ids) - 1)])),
            "bbox": box,
            "area": box[2] * box[3] * float(rng.choice([1, 1, 0.6])),
            "iscrowd": int(rng.random() < 0.2),
        }
        for number, box in enumerate(boxes, 1)
    ]
    path = folder / f"{seed}.json"
    images = [{"id": id_, "file_name": f"{id_}.jpg", "width": 640, "height": 480} for id_ in image_ids]
    categories = [{"id": id_, "name": str(id_)} for id_ in category_ids]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return records_only(path), _random_results(rng, annotations, image_ids, category_ids)


def _random_box(rng):
    width, height = (float(side) for side in rng.choice([0, 8, 16, 32, 40, 90, 96, 200], 2, p=[0.02, *[0.14] * 7]))
    return [float(rng.integers(0, 200)), float(rng.integers(0, 200)), width, height]


def _random_results(rng, annotations, image_ids, category_ids):
    detections = []
    for record in annotations:
        for _ in range(rng.integers(0, 4)):
            shift = rng.choice([0, 0, 4, 8, 0.3], 4) * rng.choice([-1, 1], 4)
            box = [value + float(by) for value, by in zip(record["bbox"], shift, strict=True)]
            box = box[:2] + [max(0.0, side) for side in box[2:]]
            detections.append((record["image_id"], record["category_id"], box))
    crowded = int(rng.choice(image_ids)), int(rng.choice(category_ids))
    for number in range(int(rng.integers(1, 20)) + 120 * int(rng.random() < 0.3)):
        anywhere = int(rng.choice(image_ids)), int(rng.choice(category_ids))
        detections.append((*(crowded if number % 8 else anywhere), _random_box(rng)))
    order, scores = rng.permutation(len(detections)), rng.integers(0, 11, len(detections)) / 10
    rows = ((*detections[row], float(score)) for row, score in zip(order, scores, strict=True))
    return [dict(zip(("image_id", "category_id", "bbox", "score"), row, strict=True)) for row in rows]


def by_pycocotools(results, dataset):
    """Return the twelve numbers straight from pycocotools, without any code of ours, for all images of the file."""
    with redirect_stdout(io.StringIO()):
        ground_truth = COCO(str(dataset.annotation_file))
        evaluator = COCOeval(ground_truth, ground_truth.loadRes(copy.deepcopy(results)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(METRICS, evaluator.stats.tolist(), strict=True))


def assert_equal(numbers, expected):
    for name in METRICS:
        assert numbers[name] == pytest.approx(expected[name], abs=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_give_pycocotools_numbers_on_real_records(real_coco, engine):
    dataset = load(real_coco, "val")
    results = noisy_detections(dataset, 0)
    numbers = score(results, dataset, engine=engine)
    assert 0.1 < numbers["AP"] < 0.9
    assert_equal(numbers, by_pycocotools(results, dataset))


def _both_engines_agree(folder, seed):
    dataset, results = random_set(folder, seed)
    expected = by_pycocotools(results, dataset)
    for engine in ENGINES:
        assert_equal(score(results, dataset, engine=engine), expected)


@pytest.mark.parametrize("seed", range(20))
def test_both_engines_give_pycocotools_numbers_on_random_sets(tmp_path, seed):
    _both_engines_agree(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20, 200))
def test_both_engines_give_pycocotools_numbers_on_many_random_sets(tmp_path, seed):
    _both_engines_agree(tmp_path, seed)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_object_whose_id_is_0_can_be_matched(coco_folder, engine):
    path = coco_folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    for number, annotation in enumerate(content["annotations"]):
        annotation["id"] = number
    path.write_text(json.dumps(content))
    dataset = load(coco_folder, "val")
    results = [_as_result(record) for record in content["annotations"] if not record["iscrowd"]]
    assert score(results, dataset, engine=engine)["AP"] == pytest.approx(1)
    assert by_pycocotools(results, dataset)["AP"] < 0.9  # pycocotools takes the id for "no match"


def _as_result(annotation):
    return {name: annotation[name] for name in ("image_id", "category_id", "bbox")} | {"score": 0.5}


def test_ids_beyond_float64_stay_apart(coco_folder):
    path = coco_folder / "annotations" / "instances_val2017.json"
    far = 2**60
    content = json.loads(path.read_text())
    for record in [*content["images"], *content["annotations"]]:
        name = "image_id" if "image_id" in record else "id"
        record[name] = far + record[name] // 17  # 7 and 17 become neighbors
    path.write_text(json.dumps(content))
    dataset = load(coco_folder, "val")
    results = [_as_result(record) for record in content["annotations"] if not record["iscrowd"]]
    assert score(results, dataset)["AP"] == pytest.approx(1)
    swapped = [result | {"image_id": 2 * far + 1 - result["image_id"]} for result in results]
    assert score(swapped, dataset)["AP"] < 0.5


def test_detections_in_images_of_another_data_set_are_refused(real_coco):
    whole = load(real_coco, "val")
    with pytest.raises(DataError, match=r"another data set or split.*\n.*image_id \d+ is not among the 5 images"):
        score(noisy_detections(whole, 0), whole.head(5))


def test_a_record_that_is_no_detection_is_refused_with_its_position(coco_folder):
    good = {"image_id": 7, "category_id": 1, "bbox": [1.0, 2.0, 3.0, 4.0], "score": 0.5}
    with pytest.raises(DataError, match=r"\[1\]: bbox missing"):
        score([good, {name: good[name] for name in good if name != "bbox"}], load(coco_folder, "val"))


def test_classes_that_the_data_set_does_not_have_are_skipped(coco_folder):
    dataset = load(coco_folder, "val")
    good = {"image_id": 7, "category_id": 1, "bbox": [30.0, 8, 16, 30], "score": 0.5}
    for engine in ENGINES:
        with_more = score([good | {"category_id": 77}, good], dataset, engine=engine)
        assert with_more == score([good], dataset, engine=engine)


def test_an_unknown_engine_is_refused_with_those_there_are(coco_folder):
    with pytest.raises(ConfigError, match="cocoapi.*hotcoco, pycocotools"):
        score([], load(coco_folder, "val"), engine="cocoapi")


def test_the_ground_truth_itself_scores_one(real_coco):
    dataset = load(real_coco, "train").first(20)
    targets = [dataset.target(index) for index in range(20)]
    detections = [{"boxes": t["boxes"], "labels": t["labels"], "scores": torch.ones(len(t["labels"]))} for t in targets]
    numbers = score(to_coco_results(detections, dataset.image_ids, dataset.category_ids), dataset)
    assert numbers["AP"] == pytest.approx(1)
    assert numbers["AR_100"] == pytest.approx(1)


def test_only_the_images_of_the_data_set_count(real_coco):
    whole = load(real_coco, "train")
    few = whole.first(5)
    results = noisy_detections(few, 0)
    assert score(results, few)["AP50"] > 3 * score(results, whole)["AP50"]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_detections_score_zero(coco_folder, engine):
    numbers = score([], load(coco_folder, "val"), engine=engine)
    assert numbers["AP"] == numbers["AR_100"] == 0
    assert numbers["AP_large"] == numbers["AR_large"] == -1  # there are no large objects


def test_the_curves_mean_is_ap50():
    dataset = load("mini", "val")
    results = noisy_detections(dataset, 1)
    areas = [np.mean(precision_curve(results, dataset, label)) for label in range(1, len(dataset.classes) + 1)]
    assert np.mean([area for area in areas if area >= 0]) == pytest.approx(score(results, dataset)["AP50"])
