import csv
import os
import socket
import time
from pathlib import Path

import pytest

from coursekit.core.errors import ConfigError
from coursekit.grading import sandbox, submission
from coursekit.grading.grade import grade, submissions
from coursekit.grading.html import write_pages
from coursekit.grading.marks import Mark, Terms, points
from coursekit.grading.pack import pack
from coursekit.grading.processes import descendants
from coursekit.lessons.exercises import EXERCISES
from tests.grading import leaks
from tests.grading.classroom import CRIMES, HIDDEN, climbs_out, make_class, make_hostile_class, solutions, workbook
from tests.lessons.answers import answer

pytestmark = pytest.mark.slow

PAIRS = {  # xywh_to_xyxy, box_iou
    "forks": ("fork_bomb", "reads_another"),
    "bombs": ("memory_bomb", "exits"),
    "kills": ("kills_its_parent", "forges"),
    "talks": ("opens_socket", "writes_outside"),
    "equals": ("always_equal", "patches_checks"),
}


@pytest.fixture(scope="module")
def class_of_eight(sandboxed, tmp_path_factory):
    """Graded: the marks by name and exercise, the folder, the hidden cases, who connected."""
    top = tmp_path_factory.mktemp("grading")
    folder, hidden = top / "class", top / "secret"
    folder.mkdir()
    hidden.mkdir()
    (hidden / "box_iou.py").write_text(HIDDEN)
    right = {name: code for name, code in solutions().items() if EXERCISES[name].lesson == 0}
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        places = {"folder": folder, "hidden": hidden, "port": server.getsockname()[1]}
        for name, kinds in PAIRS.items():
            codes = [CRIMES[kind].format(name=exercise, **places) for exercise, kind in zip(right, kinds, strict=True)]
            workbook(folder / name, dict(zip(right, codes, strict=True)))
        pack(workbook(top / "tmp", right), folder / "right.zip")
        climbs_out(folder / "climbs.zip", right)
        (folder / "broken.ipynb").write_text('{"cells": [{"cell_type": "co')
        wrong = answer("box_iou", "wrong_counts_what_is_shared_twice")
        loops = CRIMES["endless_loop"].format(name="xywh_to_xyxy")
        workbook(folder / "mistaken", {"xywh_to_xyxy": loops, "box_iou": wrong}, hints=2)
        before = _everything(top)
        graded = grade(folder, top / "out", jobs=2, hidden=hidden, lessons=[0])
        write_pages(top / "out", graded, Terms())
        with pytest.raises(TimeoutError):
            server.accept()
    assert {path: content for path, content in _everything(top).items() if "out" not in path.parts} == before
    marks = {submitted.submission.name: {mark.exercise: mark for mark in submitted.marks} for submitted in graded}
    return marks, top


def _everything(folder):
    """All files below a folder, from its top, and what is in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_who_is_right_gets_all_whatever_the_others_do(class_of_eight):
    marks, _ = class_of_eight
    for name in ("right", "climbs"):
        assert [mark.state for mark in marks[name].values()] == ["correct", "correct"]
    assert marks["right"]["box_iou"].cases == len(EXERCISES["box_iou"].all_cases()) + 1


@pytest.mark.parametrize("name", PAIRS)
def test_nothing_is_gained_by_force(class_of_eight, name):
    marks, _ = class_of_eight
    for mark in marks[name].values():
        assert (mark.state, mark.passed) == ("not yet", 0), mark


def test_what_happened_is_reported(class_of_eight):
    marks, _ = class_of_eight
    assert (
        "no result after 3 s" in marks["mistaken"]["xywh_to_xyxy"].got
        or "line" in marks["mistaken"]["xywh_to_xyxy"].got
    )
    assert "No such file" in marks["forks"]["box_iou"].got
    assert "No such file" in marks["talks"]["box_iou"].got or "Read-only" in marks["talks"]["box_iou"].got
    assert "Connection" in marks["talks"]["xywh_to_xyxy"].got or "unreachable" in marks["talks"]["xywh_to_xyxy"].got
    assert "died" in marks["bombs"]["box_iou"].got
    assert marks["equals"]["xywh_to_xyxy"].got == "an object of type Equal"


def test_pages_speak_in_the_words_of_the_checks(class_of_eight):
    _, top = class_of_eight
    page = (top / "out" / "feedback" / "mistaken.html").read_text()
    assert "the intersection is counted twice" in page
    assert "You opened 4 hints" in page
    climbed = (top / "out" / "feedback" / "climbs.html").read_text()
    assert "its path leads out of the zip" in climbed
    assert "can't be read as a notebook" in (top / "out" / "feedback" / "broken.html").read_text().replace(
        "&#x27;", "'"
    )
    assert "THE-HIDDEN-CANARY" not in "".join(path.read_text() for path in (top / "out").rglob("*.*"))
    rows = list(csv.DictReader((top / "out" / "grades.csv").open()))
    assert {row["intern"]: row["points"] for row in rows}["right"] == "28.0"


def test_again_it_gives_the_same_and_runs_only_what_changed(class_of_eight, monkeypatch):
    _, top = class_of_eight
    before = _everything(top / "out")
    monkeypatch.setattr(sandbox.Sandbox, "_start", lambda self: pytest.fail("nothing has changed"))
    graded = grade(top / "class", top / "out", jobs=2, hidden=top / "secret", lessons=[0])
    write_pages(top / "out", graded, Terms())
    assert _everything(top / "out") == before
    monkeypatch.undo()
    path = top / "class" / "mistaken" / "my_detector" / "xywh_to_xyxy.py"
    path.write_text(solutions()["xywh_to_xyxy"])
    graded = grade(top / "class", top / "out", jobs=1, hidden=top / "secret", lessons=[0])
    assert {submitted.submission.name: submitted.tried for submitted in graded if submitted.tried} == {"mistaken": 1}


def test_points():
    terms = Terms(borrowed=0.5, hint_penalty=0.1)
    assert points(Mark("box_iou", "correct", 14, 14), Terms(), hints=3, seen=True) == 20
    assert points(Mark("box_iou", "borrowed", 14, 14), terms) == 10
    assert points(Mark("box_iou", "not yet", 7, 14), Terms()) == 5
    assert points(Mark("box_iou", "correct", 14, 14), terms, hints=3, seen=True) == 12
    assert points(Mark("box_iou", "missing"), terms) == 0


def test_without_a_sandbox_it_refuses_and_says_why(tmp_path, monkeypatch):
    workbook(tmp_path / "class" / "anna", {})
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"apt install bubblewrap.*--unsafe"):
        grade(tmp_path / "class", tmp_path / "out")


def test_unsafe_it_runs_all_the_same(tmp_path):
    workbook(tmp_path / "class" / "anna", {"xywh_to_xyxy": solutions()["xywh_to_xyxy"]})
    (graded,) = grade(tmp_path / "class", tmp_path / "out", lessons=[0], is_sealed=False)
    assert [mark.state for mark in graded.marks] == ["correct", "missing"]


def test_hidden_cases_that_are_wrong_are_named(sandboxed, tmp_path):
    workbook(tmp_path / "class" / "anna", {})
    (tmp_path / "secret").mkdir()
    path = tmp_path / "secret" / "box_iuo.py"
    path.write_text(HIDDEN)
    with pytest.raises(ConfigError, match="no exercise 'box_iuo'"):
        grade(tmp_path / "class", tmp_path / "out", hidden=tmp_path / "secret")
    path.rename(path.with_name("box_iou.py")).write_text("def cases(generator): yield 1 / 0")
    with pytest.raises(ConfigError, match="division by zero"):
        grade(tmp_path / "class", tmp_path / "out", hidden=tmp_path / "secret")


def test_whose_submission_is_whose(tmp_path):
    for name in ("Bea", "anna"):
        workbook(tmp_path / name, {})
    climbs_out(tmp_path / "anna.zip", {})
    (tmp_path / "notes.txt").write_text("")
    assert list(submissions(tmp_path)) == ["Bea", "anna", "anna-2"]
    assert list(submissions(tmp_path / "anna")) == ["anna"]
    (tmp_path / "cem").mkdir()
    (tmp_path / "cem" / "04_anchors.ipynb").write_text("{}")
    assert list(submissions(tmp_path / "cem")) == ["cem"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="nothing to grade"):
        submissions(tmp_path / "none")


def test_a_fault_of_ours_stops_nobody_else(tmp_path, monkeypatch):
    code = solutions()["xywh_to_xyxy"]
    workbook(tmp_path / "class" / "anna", {"xywh_to_xyxy": code})
    workbook(tmp_path / "class" / ("\udcff\n" + "b" * 200), {})

    def broken(*args):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("coursekit.grading.grade._mark", broken)
    graded = grade(tmp_path / "class", tmp_path / "out", lessons=[0], is_sealed=False)
    write_pages(tmp_path / "out", graded, Terms())
    assert [[mark.state for mark in submitted.marks] for submitted in graded] == [
        ["not yet", "missing"],
        ["missing", "missing"],
    ]
    assert "ZeroDivisionError" in graded[0].submission.problems[0]


def test_submissions_share_sandboxes(sandboxed, tmp_path, monkeypatch):
    started, start = [], sandbox.Sandbox._start
    monkeypatch.setattr(sandbox.Sandbox, "_start", lambda box: started.append(box) or start(box))
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "box_iou.py").write_text(HIDDEN)
    right = {name: code for name, code in solutions().items() if EXERCISES[name].lesson == 0}
    for name in ("first", "second", "third"):
        workbook(tmp_path / "class" / name, right)
    graded = grade(tmp_path / "class", tmp_path / "out", jobs=1, hidden=tmp_path / "secret", lessons=[0])
    assert {mark.state for submitted in graded for mark in submitted.marks} == {"correct"}
    assert len(started) == 1
    assert started[0]._process is None  # it has ended


@pytest.fixture(scope="module")
def betrayed(sandboxed, tmp_path_factory):
    """Graded with a hidden case that some answers try to pass on: the marks by name and exercise, and all results."""
    top = tmp_path_factory.mktemp("betrayed")
    (top / "secret").mkdir()
    (top / "secret" / "xywh_to_xyxy.py").write_text(leaks.HIDDEN_CANARY)
    right = solutions()
    workbook(top / "class" / "both", {"xywh_to_xyxy": leaks.BETRAYS, "box_iou": leaks.COLLECTS})
    workbook(top / "class" / "other", {"xywh_to_xyxy": right["xywh_to_xyxy"], "box_iou": leaks.COLLECTS})
    workbook(top / "class" / "lends", {"xywh_to_xyxy": leaks.LENDS_ON_HIDDEN, "box_iou": right["box_iou"]})
    graded = grade(top / "class", top / "out", jobs=2, hidden=top / "secret", lessons=[0])
    write_pages(top / "out", graded, Terms())
    marks = {submitted.submission.name: {mark.exercise: mark for mark in submitted.marks} for submitted in graded}
    return marks, "".join(path.read_text() for path in (top / "out").rglob("*.*"))


def test_hidden_cases_reach_nobody(betrayed):
    marks, results = betrayed
    assert marks["both"]["xywh_to_xyxy"].tried == "a case that is not in your notebook: an unusual box"
    for name in ("both", "other"):
        assert "nothing found" in marks[name]["box_iou"].got
    assert str(leaks.CANARY) not in results


def test_what_is_borrowed_for_hidden_cases_only_is_borrowed(betrayed):
    marks, _ = betrayed
    assert [mark.state for mark in marks["lends"].values()] == ["borrowed", "correct"]
    assert marks["other"]["xywh_to_xyxy"].state == "correct"


def _no_start(monkeypatch, times):
    """Let sandboxes not start, as many times."""
    starts, real = [], sandbox.Sandbox._unsealed

    def start(self, errors):
        starts.append(1)
        return sandbox._popen(["false"], errors) if len(starts) <= times else real(self, errors)

    monkeypatch.setattr(sandbox.Sandbox, "_unsealed", start)


def test_a_sandbox_that_does_not_start_costs_nobody_else(tmp_path, monkeypatch):
    for name in ("anna", "ben"):
        workbook(tmp_path / "class" / name, {"xywh_to_xyxy": solutions()["xywh_to_xyxy"]})
    _no_start(monkeypatch, sandbox.ATTEMPTS)
    graded = grade(tmp_path / "class", tmp_path / "out", jobs=1, lessons=[0], is_sealed=False)
    assert [submitted.marks[0].state for submitted in graded] == ["not yet", "correct"]
    assert "doesn't start" in graded[0].submission.problems[0]
    again = grade(tmp_path / "class", tmp_path / "out", jobs=1, lessons=[0], is_sealed=False)
    assert [(submitted.marks[0].state, submitted.tried) for submitted in again] == [("correct", 1), ("correct", 0)]


def test_if_no_sandbox_starts_nothing_is_graded(tmp_path, monkeypatch):
    workbook(tmp_path / "class" / "anna", {"xywh_to_xyxy": solutions()["xywh_to_xyxy"]})
    _no_start(monkeypatch, 100)
    with pytest.raises(ConfigError, match="doesn't start"):
        grade(tmp_path / "class", tmp_path / "out", lessons=[0], is_sealed=False)


def test_a_submission_that_breaks_its_reader_stops_nobody_else(tmp_path, monkeypatch):
    for name in ("anna", "ben"):
        workbook(tmp_path / "class" / name, {"xywh_to_xyxy": solutions()["xywh_to_xyxy"]})

    def read(path, name):
        if name == "anna":
            raise MemoryError("ours")
        return submission.read(path, name)

    monkeypatch.setattr("coursekit.grading.grade.read", read)
    graded = grade(tmp_path / "class", tmp_path / "out", lessons=[0], is_sealed=False)
    assert [submitted.marks[0].state for submitted in graded] == ["missing", "correct"]
    assert "MemoryError" in graded[0].submission.problems[0]


@pytest.mark.long
@pytest.mark.parametrize("seed", [0])
def test_twenty_of_thirty_are_hostile(sandboxed, tmp_path, seed):
    folder, hidden, out = tmp_path / "class", tmp_path / "secret", tmp_path / "out"
    hostile, honest = make_hostile_class(folder, seed)
    hidden.mkdir()
    (hidden / "box_iou.py").write_text(HIDDEN)
    (hidden / "xywh_to_xyxy.py").write_text(leaks.HIDDEN_CANARY)
    before, begun = _everything(folder), time.monotonic()
    graded = grade(folder, out, jobs=2, hidden=hidden)
    print(f"30 submissions, 20 of them hostile: {time.monotonic() - begun:.0f} s")
    write_pages(out, graded, Terms())
    states = {
        submitted.submission.name: {mark.exercise: mark.state for mark in submitted.marks} for submitted in graded
    }
    assert set(states) == {*hostile, *honest}
    for name in honest:
        assert set(states[name].values()) == {"correct"}, name
    for name, kinds in hostile.items():
        failed = [exercise for exercise, state in states[name].items() if state != "correct"]
        assert set(failed) == {"box_iou", "nms", "collate"}, (name, kinds)
    results = "".join(path.read_text() for path in out.rglob("*.*"))
    for secret in ("ValueError: FELL", "THE-HIDDEN-CANARY", str(leaks.CANARY)):
        assert secret not in results
    assert not descendants(os.getpid())
    assert _everything(folder) == before


@pytest.mark.long
def test_thirty_submissions(sandboxed, tmp_path):
    folder, hidden, out = tmp_path / "class", tmp_path / "secret", tmp_path / "out"
    names = make_class(folder, hidden)
    before, outside = _everything(folder), set(Path("/tmp").iterdir())
    assert len(names) == 30
    begun = time.monotonic()
    graded = grade(folder, out, jobs=2, hidden=hidden)
    print(f"30 submissions: {time.monotonic() - begun:.0f} s")
    write_pages(out, graded, Terms())
    states = {
        submitted.submission.name: {mark.exercise: mark.state for mark in submitted.marks} for submitted in graded
    }
    right = ["right_zip", "right_folder", "right_notebooks", "moved_cells", "renamed_cells", "climbs_out"]
    for name in right:
        assert set(states[name].values()) == {"correct"}, name
    assert set(states["written_differently"].values()) <= {"correct", "borrowed"}
    assert set(states["empty"].values()) == {"not started"}
    assert states["borrowed"]["nms"] == states["borrowed_by_trick"]["box_iou"] == "borrowed"
    assert [name for name, state in states["deleted_cells"].items() if state == "missing"] == ["FPN", "nms", "coco_map"]
    for number in range(3):
        assert set(states[f"mistaken_{number}"].values()) == {"not yet"}
    for kind in CRIMES:
        failed = [name for name, state in states[kind].items() if state != "correct"]
        assert failed == ["box_iou", "nms", "average_precision"], kind
    assert _everything(folder) == before
    assert not [path for path in set(Path("/tmp").iterdir()) - outside if "OUTSIDE" in path.name]
    again = grade(folder, out, jobs=2, hidden=hidden)
    assert [submitted.marks for submitted in again] == [submitted.marks for submitted in graded]
    assert sum(submitted.tried for submitted in again) == 0
