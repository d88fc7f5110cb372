import numpy as np
import pytest
from pycocotools import mask

from coursekit.evaluation.match_detections import ON_CROWD, UNMATCHED, match, paired_iou, pairs_of
from coursekit.evaluation.table import read_detections, read_ground_truth
from tests.evaluation.test_error_analysis import _data, _matched_slowly, _random_case, _result


def _check_matches(folder, seeds):
    for seed in seeds:
        results, dataset = _random_case(folder, seed)
        for iou in (0.3, 0.5, 0.75):
            matches = match(results, dataset, [iou])
            ours = {}
            for box, row in zip(matches.detections.boxes.tolist(), matches.partners[0].tolist(), strict=True):
                ours[tuple(box)] = matches.gt.boxes[row].tolist() if row >= 0 else row
            slow = _matched_slowly(results, dataset, iou)
            theirs = {tuple(results[place]["bbox"]): r if r == UNMATCHED else r["bbox"] for place, r in slow.items()}
            assert {box: row for box, row in ours.items() if row != ON_CROWD} == theirs, (seed, iou)


def test_detections_are_matched_by_cocos_rule(tmp_path):
    _check_matches(tmp_path, range(20))


@pytest.mark.long
def test_detections_are_matched_by_cocos_rule_200_times(tmp_path):
    _check_matches(tmp_path, range(100, 300))


def test_iou_agrees_with_pycocotools():
    rng = np.random.default_rng(0)
    boxes, gt_boxes = rng.uniform(0, 50, (2, 300, 4))
    expected = mask.iou(boxes, gt_boxes, np.zeros(300, np.uint8)).diagonal()
    assert paired_iou(boxes, gt_boxes) == pytest.approx(expected)
    assert (paired_iou(boxes * [1, 1, -1, 1], gt_boxes) == 0).all()


def test_the_overlap_with_a_crowd_agrees_with_pycocotools():
    rng = np.random.default_rng(1)
    boxes, gt_boxes = rng.uniform(0, 50, (2, 300, 4))
    expected = mask.iou(boxes, gt_boxes, np.ones(300, np.uint8)).diagonal()
    assert paired_iou(boxes, gt_boxes, True) == pytest.approx(expected)


def test_empty_boxes_overlap_nothing():
    empty = np.array([[5.0, 5, 0, 0]])
    assert paired_iou(empty, empty).tolist() == paired_iou(empty, empty, True).tolist() == [0]


def test_pairs_are_those_of_the_same_image_and_class(tmp_path):
    results, dataset = _random_case(tmp_path, 0)
    detections, gt = read_detections(results, dataset), read_ground_truth(dataset)
    rows, gt_rows = pairs_of(detections, gt)
    pairs = set(zip(rows.tolist(), gt_rows.tolist(), strict=True))
    same = (detections.image_ids[:, None] == gt.image_ids) & (detections.category_ids[:, None] == gt.category_ids)
    assert pairs == set(zip(*(axis.tolist() for axis in np.nonzero(same)), strict=True))
    assert len(pairs) == len(rows)
    assert (np.diff(rows) >= 0).all()


def test_detections_of_unknown_classes_are_in_no_pair(tmp_path):
    dataset = _data(tmp_path, [(1, 3, (0, 0, 50, 50), 0)])
    unknown = read_detections([_result(1, 4, (0, 0, 50, 50))], dataset)
    assert unknown.labels.tolist() == [0]
    assert len(pairs_of(unknown, read_ground_truth(dataset))[0]) == 0


def test_only_the_100_most_confident_detections_of_a_class_in_an_image_count(tmp_path):
    dataset = _data(tmp_path, [(1, 3, (0, 0, 50, 50), 0)])
    far = [_result(1, 3, (200, 200, 9, 9), 0.9 - 0.001 * number) for number in range(99)]
    hit = [_result(1, 3, (0, 0, 50, 50), 0.1)]
    assert (match([*far, *hit], dataset, [0.5]).partners >= 0).sum() == 1
    assert (match([*far, far[0] | {"score": 0.5}, *hit], dataset, [0.5]).partners >= 0).sum() == 0
