import pytest

from coursekit.lessons.checking.verdict import check
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.callers import refresh, twins_at_work
from tests.lessons.answers import answer

NMS = answer("nms", "right_with_a_shrinking_list")
TWIN = EXERCISES["nms"].twin
CALLS = {  # ways to call another answer
    "from my_detector import nms\n\n\ndef box_iou(*args):\n    return nms": "imported",
    "from my_detector import nms as suppress\n\n\ndef box_iou(*args):\n    return suppress": "under another name",
    "def box_iou(*args):\n    from my_detector import nms\n    return nms": "in the function",
    "import my_detector\n\n\ndef box_iou(*args):\n    return my_detector.nms": "by its package",
}


@pytest.mark.parametrize("code", CALLS, ids=CALLS.values())
def test_an_answer_calls_the_newest_correct_version(workbook, code):
    caller = workbook.store("box_iou", code).module.box_iou
    assert caller() is EXERCISES["nms"].reference
    for version in (NMS, f"{NMS}# improved\n"):
        module = workbook.store("nms", version).module
        assert check(workbook, "nms").state == "correct"
        refresh(workbook, "nms")
        assert caller() is module.nms
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    assert check(workbook, "nms").state == "not yet"
    refresh(workbook, "nms")
    assert caller() is EXERCISES["nms"].reference


@pytest.mark.parametrize("code", CALLS, ids=CALLS.values())
def test_in_a_training_it_calls_the_twin(workbook, code):
    own = workbook.store("nms", NMS).module.nms
    check(workbook, "nms")
    caller = workbook.store("box_iou", code).module.box_iou
    with twins_at_work(workbook):
        assert caller() is TWIN
    assert caller() is own


def test_the_twins_that_run_are_named(workbook):
    workbook.store("box_iou", next(iter(CALLS)))
    workbook.store("nms", NMS)
    check(workbook, "nms")
    with twins_at_work(workbook) as names:
        assert names == ["nms"]


def test_a_wrong_part_has_no_twin_at_work(workbook):
    caller = workbook.store("box_iou", next(iter(CALLS))).module.box_iou
    workbook.store("nms", answer("nms", "wrong_one_shot"))
    check(workbook, "nms")
    with twins_at_work(workbook) as names:
        assert caller() is EXERCISES["nms"].reference
    assert names == []


def test_what_is_no_answer_of_the_workbook_stays(workbook):
    lent = workbook.store("recall_at", "from coursekit.detector import nms\n\nrecall_at = nms\n").module
    own = workbook.store("propose", "from my_detector import nms\n\n\ndef nms(x):\n    return x\n").module
    mine = own.nms
    workbook.store("nms", f"from my_detector import nms as given\n{NMS}")
    check(workbook, "nms")
    refresh(workbook, "nms")
    with twins_at_work(workbook):
        assert lent.nms is EXERCISES["nms"].reference
        assert own.nms is mine
        assert workbook.answer("nms").given is EXERCISES["nms"].reference


def test_what_runs_first_in_a_training_has_no_twin_afterward(workbook):
    own = workbook.store("nms", NMS).module.nms
    check(workbook, "nms")
    workbook.file_of("propose").write_text("from my_detector import nms\n", encoding="utf-8")
    with twins_at_work(workbook):
        assert workbook.answer("propose").nms is TWIN
    assert workbook.answer("propose").nms is own


def test_after_the_parts_of_a_detector_were_asked_for_the_notebooks_answers_are_still_known(workbook):
    from coursekit.lessons.workbook.own_parts import parts_of

    caller = workbook.store("encode_boxes", next(iter(CALLS)).replace("box_iou", "encode_boxes")).module.encode_boxes
    parts_of(workbook)
    workbook.store("nms", NMS)
    check(workbook, "nms")
    refresh(workbook, "nms")
    assert caller() is workbook.answer("nms").nms
