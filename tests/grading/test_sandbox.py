import pytest

from coursekit.grading.sandbox import Sandbox
from coursekit.lessons.exercises import EXERCISES
from tests.grading.classroom import TRICKS, solutions

pytestmark = pytest.mark.slow

LEAVES = """
import os, pathlib, subprocess, sys

def xywh_to_xyxy(boxes):
    for place in ("/tmp/locked", "/tmp/open"):
        pathlib.Path(place).mkdir(exist_ok=True)
        pathlib.Path(place, "left.txt").write_text("left")
    os.chmod("/tmp/locked", 0)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
    raise ValueError("left")
"""
LOOKS = """
import os

def xywh_to_xyxy(boxes):
    processes = [name for name in os.listdir("/proc") if name.isdigit()]
    found = [os.listdir("/tmp"), processes, os.getuid(), list(os.environ)]
    for place in ("/", "/usr", "/dev", "/dev/shm", "/proc/1/root", os.path.dirname(os.__file__)):
        found.append(os.access(place, os.W_OK))
    raise ValueError(repr(found))
"""
LENDS = """
from my_detector import xywh_to_xyxy as other

def xywh_to_xyxy(boxes):
    return other(boxes)
"""
SLEEPS = """
import time

def xywh_to_xyxy(boxes):
    time.sleep(1000)
"""


@pytest.fixture(scope="module")
def box(sandboxed):
    made = Sandbox()
    yield made
    made.close()


def _tried(box, code, name="xywh_to_xyxy"):
    return box.try_answer(name, code, [case.args for case in EXERCISES[name].all_cases()])


def test_an_answer_does_not_see_what_the_one_before_left(box):
    assert "left" in _tried(box, LEAVES).trial.outcomes[0].raised
    assert box._process is None  # what is locked can't be removed: the next gets a new sandbox
    assert "left" not in _tried(box, LOOKS).trial.outcomes[0].raised
    assert (
        "left"
        in _tried(box, LEAVES.replace("/tmp/locked", "/tmp/other").replace("0)", "0o700)")).trial.outcomes[0].raised
    )
    assert box._process is not None
    raised = _tried(box, LOOKS).trial.outcomes[0].raised
    assert "left" not in raised
    assert "'open'" not in raised


def test_what_an_answer_can_see_and_write(box, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    box.close()
    raised = _tried(box, LOOKS).trial.outcomes[0].raised
    assert "SECRET_TOKEN" not in raised
    assert "['1', '2', " in raised  # the sandbox's first, the worker, and a fork
    assert "False, False, False, False, False, False]" in raised


def test_right_answers_and_borrowed_ones(box):
    tried = _tried(box, solutions()["xywh_to_xyxy"])
    assert tried.trial.ended == "well"
    assert len(tried.trial.outcomes) == len(EXERCISES["xywh_to_xyxy"].all_cases())
    assert not tried.used_reference
    assert _tried(box, LENDS).used_reference


@pytest.mark.parametrize("trick", TRICKS)
def test_a_borrowed_answer_is_noticed_however_it_was_obtained(box, trick):
    tried = _tried(box, TRICKS[trick], "box_iou")
    assert tried.trial.ended == "well"
    assert len(tried.trial.outcomes) == len(EXERCISES["box_iou"].all_cases())
    assert tried.used_reference


@pytest.mark.parametrize("name", ["box_iou", "nms", "FPN", "propose", "coco_map", "train_one_epoch"])
def test_a_solution_of_ones_own_is_not_taken_for_borrowed(box, name):
    tried = _tried(box, solutions()[name], name)
    assert tried.trial.ended == "well", tried.trial.problem
    assert not tried.used_reference


def test_an_answer_that_sleeps_is_stopped(box, monkeypatch):
    monkeypatch.setattr("coursekit.grading.worker.WALL_SECONDS", -13.0)  # ours out here: 2 s
    tried = _tried(box, SLEEPS)
    assert tried.trial.ended == "died"
    monkeypatch.undo()
    assert _tried(box, solutions()["xywh_to_xyxy"]).trial.ended == "well"
