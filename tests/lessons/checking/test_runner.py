import time

import pytest

from coursekit.lessons.checking.runner import try_answer
from coursekit.lessons.exercises import EXERCISES
from tests.lessons.answers import IOU

pytestmark = pytest.mark.slow


def test_where_there_is_no_fork_a_warm_helper_tries(workbook):
    workbook.store("box_iou", IOU)
    trial = try_answer(workbook, "box_iou", fork=False)
    assert trial.ended == "well"
    assert len(trial.outcomes) == len(EXERCISES["box_iou"].all_cases())
    start = time.perf_counter()
    assert try_answer(workbook, "box_iou", fork=False).ended == "well"
    assert time.perf_counter() - start < 1  # a new process would pay seconds of imports


def test_the_helper_survives_an_answer_that_ends_it(workbook):
    workbook.store("box_iou", "import os\n\n\ndef box_iou(first, second):\n    os._exit(1)\n")
    assert try_answer(workbook, "box_iou", fork=False).ended == "died"
    workbook.store("box_iou", IOU)
    assert try_answer(workbook, "box_iou", fork=False).ended == "well"


def test_an_answer_cannot_change_torch_here(workbook):
    import torch

    code = (
        "import torch\n\n\ndef box_iou(first, second):\n    torch.set_default_dtype(torch.float64)\n    return first\n"
    )
    workbook.store("box_iou", code)
    try_answer(workbook, "box_iou")
    assert torch.get_default_dtype() == torch.float32


def test_a_fork_works_after_torch_has_worked_with_threads(workbook):
    import torch

    (torch.randn(400, 400) @ torch.randn(400, 400)).sum().item()
    code = IOU.replace(
        "def box_iou(first, second):", "def box_iou(first, second):\n    torch.randn(300, 300) @ torch.randn(300, 300)"
    )
    workbook.store("box_iou", code)
    assert try_answer(workbook, "box_iou").ended == "well"
