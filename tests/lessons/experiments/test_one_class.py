import numpy as np
import pytest

from coursekit.data import load
from coursekit.evaluation import evaluate, to_coco_results
from coursekit.lessons.experiments import one_class
from coursekit.lessons.experiments.lesson07_run import stand_in


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(12)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def test_ap50_of_each_class_is_coco_s(detected):
    scored = {row.name: row for row in evaluate(*detected).per_class}
    by_class = one_class.ap50_by_class(*detected)
    assert set(by_class) == {name for name, row in scored.items() if row.AP50 >= 0}
    for name, (ap50, objects) in by_class.items():
        assert ap50 == pytest.approx(scored[name].AP50)
        assert objects == scored[name].boxes


def test_the_best_found_class_has_the_most_true_positives(detected):
    chosen, name = one_class.best_found_class(*detected)
    scores, is_tp, num_gt = one_class.outcomes_of_class(*detected, chosen)
    assert (np.diff(scores) <= 0).all()
    assert 0 < is_tp.sum() <= num_gt
    others = [one_class.outcomes_of_class(*detected, id_)[1].sum() for id_ in detected[1].category_ids]
    assert is_tp.sum() == max(others)
    assert name == detected[1].classes[detected[1].category_ids.index(chosen)]


def test_the_reader_s_function_is_used(detected):
    calls = []

    def nothing_matches(boxes, scores, gt_boxes, is_crowd, iou_thresholds):
        calls.append(iou_thresholds)
        return np.full((1, len(boxes)), -1)

    outcomes = one_class.outcomes_of_class(*detected, 1, 0.75, match_detections=nothing_matches)
    assert not outcomes[1].any()
    assert len(calls) == len(detected[1])
    assert calls[0] == [0.75]


def test_classes_are_compared_with_the_training_set(detected, capsys):
    gap = one_class.compare_classes(*detected, load("mini", "train").head(20))
    by_class = [ap50 for ap50, _ in one_class.ap50_by_class(*detected).values()]
    assert gap == pytest.approx(max(by_class) - min(by_class))
    printed = capsys.readouterr().out
    assert "boxes in the training set" in printed
    assert "no object in these images: airplane" in printed


def test_thresholds_are_compared(detected, monkeypatch):
    shown = []
    monkeypatch.setattr(one_class.show, "curves_by_iou", lambda *args: shown.append(args))
    one_class.compare_iou_thresholds(*detected, one_class.best_found_class(*detected)[0], (0.5, 0.9))
    curves, _ = shown[0]
    assert curves[0.5][2] > curves[0.9][2]
