import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coursekit.grading import sandbox
from coursekit.grading.processes import descendants
from coursekit.grading.sandbox import Sandbox, StartError
from coursekit.lessons.exercises import EXERCISES
from tests.grading import leaks
from tests.grading.attacks import ATTACKS, FORCE, attack
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
TIMM = """
import sys

was_there = "timm" in sys.modules

import timm

def xywh_to_xyxy(boxes):
    raise ValueError(f"timm was {'there' if was_there else 'missing'}")
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


def test_an_answer_finds_no_other_in_its_memory(box):
    assert _tried(box, leaks.RETURNS).trial.ended == "well"
    assert box._process is not None
    raised = _tried(box, leaks.REMEMBERS).trial.outcomes[0].raised
    assert "found" in raised
    assert int(raised.split("found ")[1].split()[0]) < 5  # the bytes that it looks for, not fifty from before


def test_what_an_answer_can_see_and_write(box, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    box.close()
    raised = _tried(box, LOOKS).trial.outcomes[0].raised
    assert "SECRET_TOKEN" not in raised
    assert "['1', " in raised  # the worker, and a fork
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


@pytest.mark.parametrize("name", ["box_iou", "nms", "FPN", "propose", "coco_map", "real_step"])
def test_a_solution_of_ones_own_is_not_taken_for_borrowed(box, name):
    tried = _tried(box, solutions()[name], name)
    assert tried.trial.ended == "well", tried.trial.problem
    assert not tried.used_reference


def test_an_answer_with_gradients_is_right_each_time(box):
    for _ in range(15):  # torch's thread pool in the fork: every third try, it aborted
        assert _tried(box, solutions()["train_step"], "train_step").trial.ended == "well"


def test_importing_timm_takes_none_of_the_answers_time(box):
    assert "timm was there" in _tried(box, TIMM).trial.outcomes[0].raised


def test_an_answer_that_sleeps_is_stopped(box, monkeypatch):
    monkeypatch.setattr("coursekit.grading.worker.WALL_SECONDS", -13.0)  # ours out here: 2 s
    tried = _tried(box, SLEEPS)
    assert tried.trial.ended == "died"
    monkeypatch.undo()
    assert _tried(box, solutions()["xywh_to_xyxy"]).trial.ended == "well"


@pytest.mark.parametrize("kind", ATTACKS)
def test_an_attack_gets_hold_of_nothing(box, kind, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    trial = _tried(box, attack(kind)).trial
    assert trial.outcomes[0].raised.startswith("ValueError: it held"), trial.outcomes[0].raised


QUICK = ("memory of many processes", "kills everything", "leaves a daemon", "many tiny messages", "closes everything")


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.long) for kind in FORCE]
)
@pytest.mark.parametrize("has_group", [True, False])
def test_force_ends_soon_and_costs_only_itself(sandboxed, kind, has_group, monkeypatch):
    if not has_group:
        monkeypatch.setattr(sandbox, "new_group", lambda memory: None)
    box, begun = Sandbox(), time.monotonic()
    trial = _tried(box, attack(kind)).trial
    assert time.monotonic() - begun < 60
    if "memory of many" in kind:
        assert trial.problem == "it used more than 2.25 GB of memory"
    if "compute" in kind:
        assert trial.problem == "its processes used more than 6 s of processor time"
    assert not any("FELL" in (outcome.raised or "")[:20] for outcome in trial.outcomes)
    assert _tried(box, solutions()["xywh_to_xyxy"]).trial.ended == "well"
    first = descendants(box._process.pid)
    assert len(first) == 1  # the worker alone
    box.close()
    assert not Path(f"/proc/{first[0]}").exists()


def test_what_it_takes_to_start_is_not_the_answers(sandboxed, monkeypatch):
    monkeypatch.setattr("coursekit.grading.watch.CPU_SECONDS", 0.5)  # importing torch takes more
    box = Sandbox()
    assert _tried(box, solutions()["xywh_to_xyxy"]).trial.ended == "well"
    box.close()


def test_it_ends_when_it_is_told_to(sandboxed):
    box = Sandbox()
    box.stop.set()
    with pytest.raises(StartError):
        _tried(box, SLEEPS)


def test_nothing_remains_when_the_grader_is_killed(sandboxed):
    code = f"""
from coursekit.grading.sandbox import Sandbox
box = Sandbox()
box._start()
print(box._process.pid, flush=True)
box.try_answer("xywh_to_xyxy", {SLEEPS!r}, [(None,)])
"""
    grader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    bubblewrap = int(grader.stdout.readline())
    time.sleep(1)
    inside = descendants(bubblewrap)
    assert len(inside) == 2  # the worker, and the answer, which sleeps
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    grader.stdout.close()
    assert _ended([bubblewrap, *inside])


def _ended(pids):
    for _ in range(100):
        if not any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_each_sandbox_of_root_has_a_user_of_its_own(sandboxed):
    if os.getuid():
        pytest.skip("only root can become others")
    boxes = [Sandbox(), Sandbox()]
    workers = [descendants(box._start().pid)[0] for box in boxes]
    users = {Path(f"/proc/{worker}/status").read_text().split("Uid:")[1].split()[0] for worker in workers}
    for box in boxes:
        box.close()
    assert len(users - {"0"}) == 2
