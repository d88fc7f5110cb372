import numpy as np
import pytest

from coursekit.data import load
from coursekit.from_scratch.average_precision import average_precision, coco_map, match_detections, precision_recall
from tests.evaluation.test_coco import assert_equal, by_pycocotools, noisy_detections, random_set

BOX = [0.0, 0, 10, 10]
HALF = [0.0, 0, 10, 5]  # IoU 0.5 with BOX


def _match(boxes, gt_boxes, *, scores=None, crowds=(), **options):
    scores = np.linspace(0.9, 0.1, len(boxes)) if scores is None else np.array(scores)
    is_crowd = np.isin(np.arange(len(gt_boxes)), crowds)
    boxes, gt_boxes = (np.array(some, np.float64).reshape(-1, 4) for some in (boxes, gt_boxes))
    return match_detections(boxes, scores, gt_boxes, is_crowd, **options)


@pytest.mark.slow
def test_real_records_score_as_in_pycocotools(real_coco):
    dataset = load(real_coco, "val")
    results = noisy_detections(dataset, 3)
    numbers = coco_map(results, dataset)
    assert 0.1 < numbers["AP"] < 0.9
    assert_equal(numbers, by_pycocotools(results, dataset))


@pytest.mark.slow
def test_mini_scores_as_in_pycocotools():
    dataset = load("mini", "val")
    results = noisy_detections(dataset, 4)
    numbers = coco_map(results, dataset)
    assert 0.1 < numbers["AP"] < 0.9
    assert_equal(numbers, by_pycocotools(results, dataset))


@pytest.mark.parametrize("seed", range(20))
def test_random_sets_score_as_in_pycocotools(tmp_path, seed):
    dataset, results = random_set(tmp_path, seed)
    assert_equal(coco_map(results, dataset), by_pycocotools(results, dataset))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20, 200))
def test_many_random_sets_score_as_in_pycocotools(tmp_path, seed):
    dataset, results = random_set(tmp_path, seed)
    assert_equal(coco_map(results, dataset), by_pycocotools(results, dataset))


def test_the_random_sets_hold_what_they_promise(tmp_path):
    sets = [random_set(tmp_path, seed) for seed in range(20)]
    counts = [
        np.bincount([result["image_id"] * 100 + result["category_id"] for result in results]) for _, results in sets
    ]
    assert sum(count.max() > 100 for count in counts) >= 3
    assert any(dataset.index.is_crowd.any() for dataset, _ in sets)
    assert all(np.diff(dataset.index.offsets).min() == 0 for dataset, _ in sets)
    assert any(set(dataset.category_ids) - set(dataset.index.category_ids.tolist()) for dataset, _ in sets)
    assert all(len({result["score"] for result in results}) < len(results) for _, results in sets if len(results) > 11)


def test_no_detections_score_zero_and_no_ground_truth_minus_one(coco_folder):
    numbers = coco_map([], load(coco_folder, "val"))
    assert numbers["AP"] == numbers["AR_1"] == 0
    assert numbers["AP_large"] == numbers["AR_large"] == -1


def test_an_object_goes_to_the_most_confident_detection_not_to_the_best():
    assert _match([BOX, HALF], [BOX], scores=[0.3, 0.8], iou_thresholds=np.array([0.5])).tolist() == [[-1, 0]]


def test_a_free_object_goes_to_the_next_detection():
    assert _match([BOX, HALF], [BOX, HALF], scores=[0.8, 0.3]).tolist() == [[0, 1]] * 10


def test_an_overlap_on_the_threshold_is_enough():
    assert _match([HALF], [BOX], iou_thresholds=np.array([0.5, 0.55])).tolist() == [[0], [-1]]


def test_of_equal_overlaps_the_last_object_is_taken():
    assert _match([BOX], [BOX, BOX]).tolist() == [[1]] * 10


def test_equal_scores_choose_in_the_order_given():
    assert _match([HALF, BOX], [BOX], scores=[0.5, 0.5], iou_thresholds=np.array([0.5])).tolist() == [[0, -1]]


def test_a_crowd_is_taken_any_number_of_times_by_the_share_inside_it():
    outside = [8.0, 0, 10, 10]  # a fifth of it is inside the crowd
    matched = _match([BOX, HALF, outside], [BOX], crowds=[0], iou_thresholds=np.array([0.5, 0.95]))
    assert matched.tolist() == [[0, 0, -1]] * 2


def test_an_object_that_counts_is_preferred_to_an_ignored_one_with_more_overlap():
    assert _match([BOX], [HALF, BOX], ignored=np.array([False, True]), iou_thresholds=np.array([0.5])).tolist() == [[0]]
    assert _match([BOX], [HALF, BOX], ignored=np.array([False, True]), iou_thresholds=np.array([0.6])).tolist() == [[1]]


def test_an_ignored_object_is_taken_once_unless_it_is_a_crowd():
    assert _match([BOX, BOX], [BOX], ignored=np.array([True])).tolist() == [[0, -1]] * 10


def test_without_objects_or_detections_nothing_matches():
    assert _match([], [BOX]).shape == (10, 0)
    assert _match([BOX], []).tolist() == [[-1]] * 10
    assert _match([[5.0, 5, 0, 0]], [[5.0, 5, 0, 0]]).tolist() == [[-1]] * 10  # empty boxes overlap nothing


def test_precision_and_recall_of_a_short_list():
    precision, recall = precision_recall(np.array([True, False, True]), 4)
    assert precision.tolist() == [1, 1 / 2, 2 / 3]
    assert recall.tolist() == [1 / 4, 1 / 4, 2 / 4]


def test_average_precision_takes_the_best_precision_at_each_recall_or_beyond():
    precision, recall = precision_recall(np.array([True, False, False, True, True]), 4)
    # recall 0.00 to 0.25: 1; 0.26 to 0.75: 3/5, which is more than the 2/4 at 0.5; beyond: never reached
    assert average_precision(precision, recall) == pytest.approx((26 * 1 + 50 * 3 / 5) / 101)


def test_average_precision_without_true_positives_is_zero_and_with_all_of_them_one():
    assert average_precision(*precision_recall(np.zeros(0, bool), 3)) == 0
    assert average_precision(*precision_recall(np.zeros(5, bool), 3)) == 0
    assert average_precision(*precision_recall(np.ones(3, bool), 3)) == 1
