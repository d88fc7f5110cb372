import math

import torch

from coursekit.evaluation.proposal_recall import of_size, recall_at, recall_by_size
from coursekit.lessons.case_inputs import xyxy

SMALL, LARGE, FAR = (0, 0, 10, 10), (0, 0, 50, 50), (200, 200, 210, 210)


def test_objects_of_all_images_count_alike():
    proposals = [xyxy(SMALL), xyxy(SMALL)]
    assert recall_at(proposals, [xyxy(SMALL), xyxy(LARGE, FAR, SMALL)], 1) == 0.5


def test_only_the_best_k_count():
    assert recall_at([xyxy(FAR, SMALL)], [xyxy(SMALL)], 1) == 0
    assert recall_at([xyxy(FAR, SMALL)], [xyxy(SMALL)], 2) == 1


def test_without_objects_it_is_nan():
    assert math.isnan(recall_at([xyxy(SMALL)], [xyxy()], 1))


def test_recall_by_size():
    targets = [{"boxes": xyxy(SMALL, LARGE)}]
    assert recall_by_size([xyxy(SMALL)], targets, [0, 32, 96]) == [1.0, 0.0]
    assert recall_by_size([xyxy()], targets, [0, 32, 96]) == [0.0, 0.0]
    assert recall_by_size([xyxy(FAR, SMALL)], targets, [0, 32], 1) == [0.0]


def test_a_range_without_objects_is_nan():
    assert math.isnan(recall_by_size([xyxy(SMALL)], [{"boxes": xyxy(SMALL)}], [32, 96])[0])


def test_recall_by_size_with_ones_own_function():
    assert recall_by_size([xyxy()], [{"boxes": xyxy(SMALL)}], [0, 32], recall_at=lambda *_: 0.25) == [0.25]


def test_the_lower_limit_of_a_size_belongs_to_it():
    boxes = xyxy((0, 0, 32, 32), (0, 0, 31, 31))
    assert torch.equal(of_size(boxes, 32, 96), boxes[:1])
    assert torch.equal(of_size(boxes, 0, 32), boxes[1:])
