import dataclasses
import os
import time

import pytest

from coursekit.lessons.checking import runner
from coursekit.lessons.checking.inside_process import CPU_SECONDS
from coursekit.lessons.checking.runner import try_answer
from coursekit.lessons.exercise import Wrong
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


FORGERIES = {  # what an answer writes into the pipe to the check
    "half a message": (10**6).to_bytes(8, "big") + b"half",
    "no message": b"x" * 100,
    "a message that makes no sense": (4).to_bytes(8, "big") + b"what",
}


@pytest.mark.parametrize("content", FORGERIES.values(), ids=FORGERIES)
def test_garbage_in_the_pipe_ends_the_trial(content):
    def serve(reply):
        (stream,) = reply.args  # it is partial(send, stream)
        stream.write(content)

    assert runner._in_fork(serve)[0].ended == "died"


def test_a_message_that_never_ends_is_too_slow():
    def serve(reply):
        (stream,) = reply.args
        stream.write((10**6).to_bytes(8, "big"))
        stream.flush()
        time.sleep(60)

    assert runner._in_fork(serve, wait=0.5)[0].ended == "too slow"


def test_a_helper_that_does_not_start_is_named(workbook, monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(runner, "_helper", runner._Helper)
    workbook.store("box_iou", IOU)
    trial = try_answer(workbook, "box_iou", fork=False)
    assert trial.ended == "died"
    assert "no torch here" in trial.problem


def test_a_tensor_of_many_dimensions_is_no_crash(workbook):
    workbook.store("box_iou", "import torch\n\n\ndef box_iou(first, second):\n    return torch.zeros([1] * 100_000)\n")
    trial = try_answer(workbook, "box_iou")
    assert trial.outcomes[0].value == ("other", "a tensor of 100,000 dimensions")


def test_known_mistakes_have_more_time_than_answers(monkeypatch):
    exercise, until = EXERCISES["box_iou"], []

    def ends_its_process(first, second):
        os._exit(1)

    def never_ends(first, second):
        while True:
            pass

    def starts_slowly(first, second):
        until.append(time.process_time() + 1.1 * CPU_SECONDS)
        while time.process_time() < until[0]:
            pass
        return exercise.reference(first, second)

    wrong = tuple(Wrong(answer, "words") for answer in (ends_its_process, never_ends, starts_slowly))
    monkeypatch.setattr(runner, "EXERCISES", {"box_iou": dataclasses.replace(exercise, wrong=wrong)})
    monkeypatch.setattr(runner, "MISTAKE_CPU_SECONDS", 2 * CPU_SECONDS)
    trials = runner.try_mistakes("box_iou", fork=True)
    assert [trial.ended for trial in trials] == ["died", "too slow", "well"]
    assert len(trials[2].outcomes) == len(exercise.all_cases())
