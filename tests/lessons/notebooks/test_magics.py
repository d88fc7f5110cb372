from types import SimpleNamespace

import pytest

from coursekit.lessons.notebooks import magics
from coursekit.lessons.notebooks.magics import Session
from coursekit.lessons.workbook.workbook import Workbook
from tests.lessons.answers import answer


@pytest.fixture
def notebook(monkeypatch):
    """The names of a notebook, whose shell is a stand-in."""
    shell = SimpleNamespace(user_ns={}, register_magic_function=lambda *_: None)
    monkeypatch.setattr(magics, "get_ipython", lambda: shell)
    return shell.user_ns


@pytest.fixture
def session(tmp_path, notebook):
    session = Session(Workbook(tmp_path / "my_detector"))
    session.register()
    return session


@pytest.mark.usefixtures("notebook")
def test_a_new_workbook_is_announced_with_its_folder(tmp_path, capsys):
    Session(Workbook(tmp_path / "my_detector")).register()
    assert f"a new workbook: {tmp_path / 'my_detector'}." in capsys.readouterr().out
    Session(Workbook(tmp_path / "my_detector")).register()
    assert capsys.readouterr().out == ""


def test_a_known_mistake_can_be_asked_for_after_the_first_attempt(session, capsys):
    session.exercise("nms", f"{answer('nms', 'wrong_one_shot')}\n")
    session.check("nms")
    assert "one-shot" not in capsys.readouterr().out
    session.mistake("nms")
    assert "one-shot suppression" in capsys.readouterr().out


def test_the_failing_arguments_are_a_variable(session, notebook, capsys):
    session.exercise("nms", f"{answer('nms', 'wrong_one_shot')}\n")
    session.check("nms")
    assert "boxes, scores, iou_threshold = failing" in capsys.readouterr().out
    assert len(notebook["failing"]) == 3


def test_a_cell_that_does_not_parse_is_stored_and_its_check_says_so(session, capsys):
    with pytest.raises(SyntaxError):
        session.exercise("nms", "def nms(:\n")
    assert session.my_workbook.code_of("nms") == "def nms(:\n"
    session.check("nms")
    assert "SyntaxError" in capsys.readouterr().out


def test_a_cell_becomes_a_module_and_its_names_are_in_the_notebook(session, notebook, capsys):
    session.exercise("box_iou", "LIMIT = 3\n\n\ndef box_iou(first, second):\n    return bias\n")
    assert "bias: it is not defined anywhere" in capsys.readouterr().out
    assert notebook["LIMIT"] == 3
    assert notebook["box_iou"].__module__ == "my_detector.box_iou"
