import torch

from coursekit.detector import encode_boxes, match_anchors
from coursekit.lessons.checking.verdict import examine
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.meta_device import anywhere, elsewhere, is_elsewhere

BOXES = torch.tensor([[0.0, 0, 4, 4]])


def test_a_result_is_only_told_where_it_lies():
    case = elsewhere(BOXES, BOXES)
    assert is_elsewhere(case.args)
    assert anywhere(encode_boxes, *case.args) == "a tensor on the device meta"
    assert anywhere(lambda a, b: torch.zeros(1), *case.args) == "a tensor on the device cpu"


def test_here_an_answer_is_called_as_ever():
    assert torch.equal(anywhere(encode_boxes, BOXES, BOXES), torch.zeros(1, 4))


def test_what_reads_numbers_is_let_pass():
    case = elsewhere(BOXES, BOXES)
    for reads in (lambda a, b: int(a[0, 0]), lambda a, b: a[a > 0], lambda a, b: a.tolist(), lambda a, b: a.numpy()):
        assert anywhere(reads, *case.args) == "a tensor on the device meta"


def test_two_devices_in_one_operation_are_named():
    verdict = examine(
        EXERCISES["encode_boxes"], lambda a, b, w=(1.0,) * 4: encode_boxes(a, b) * torch.tensor(w).to(a.dtype)
    )
    assert verdict.state == "not yet"
    assert "another device" in verdict.problem.tried
    assert "expected device" in verdict.problem.got


def test_a_mistake_is_recognized_though_the_answer_would_also_fail_elsewhere():
    def never_best(anchors, boxes, fg_iou_thresh=0.7, bg_iou_thresh=0.3, allow_low_quality_matches=True):
        if not len(boxes):
            return torch.full((len(anchors),), -1)
        return match_anchors(anchors, boxes, fg_iou_thresh, bg_iou_thresh, False)

    assert "low-quality matches are not allowed" in examine(EXERCISES["match_anchors"], never_best).likely
