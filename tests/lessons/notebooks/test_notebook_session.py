from types import SimpleNamespace

import pytest

from coursekit.core.errors import ConfigError
from coursekit.lessons.notebooks import notebook_session
from coursekit.lessons.notebooks.notebook_session import CellError, Session
from coursekit.lessons.workbook.workbook import Workbook
from tests.lessons.answers import answer


@pytest.fixture
def notebook(monkeypatch):
    """The names of a notebook, whose shell is a stand-in."""
    shell = SimpleNamespace(user_ns={}, register_magic_function=lambda *_: None)
    monkeypatch.setattr(notebook_session, "get_ipython", lambda: shell)
    return shell.user_ns


@pytest.fixture
def session(tmp_path, notebook):
    session = Session(Workbook(tmp_path / "my_detector"))
    session.register()
    return session


@pytest.mark.usefixtures("notebook")
def test_another_workbook_nearby_is_named(tmp_path, capsys):
    Workbook(tmp_path / "course" / "my_detector").begin()
    Session(Workbook(tmp_path / "work" / "my_detector")).register()
    assert f"There is another workbook, {tmp_path / 'course' / 'my_detector'}." in capsys.readouterr().out


@pytest.mark.usefixtures("notebook")
def test_an_unknown_name_is_a_line_and_an_error_in_a_strict_run(session, capsys):
    for call in (session.check, session.hint, session.mistake, session.explain, session.reference):
        call("box-iou")
        assert capsys.readouterr().out == "There is no exercise 'box-iou' (did you mean 'box_iou'?).\n"
    with pytest.raises(ConfigError):
        Session(session.my_workbook, is_strict=True).check("box-iou")


@pytest.mark.usefixtures("notebook")
def test_a_saved_cell_says_so_and_an_empty_one_does_not(session, capsys):
    session.exercise("nms", f"{answer('nms', 'wrong_one_shot')}\n")
    assert capsys.readouterr().out.endswith("Saved to my_detector/nms.py. Now run the check.\n")
    session.exercise(
        "box_iou", 'def box_iou(first, second):\n    raise NotImplementedError("box_iou: your code here")\n'
    )
    assert "Saved" not in capsys.readouterr().out


@pytest.mark.usefixtures("notebook")
def test_a_new_workbook_is_announced_with_its_folder(tmp_path, capsys):
    folder = tmp_path / "work" / "my_detector"
    Session(Workbook(folder)).register()
    assert capsys.readouterr().out == f"Your answers are stored in {folder}.\n"
    Session(Workbook(folder)).register()
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
    with pytest.raises(CellError) as raised:
        session.exercise("nms", "def nms(:\n")
    assert raised.value._render_traceback_() == ["SyntaxError: invalid syntax\n    line 2 of your cell: def nms(:"]
    assert session.my_workbook.code_of("nms") == "def nms(:\n"
    session.check("nms")
    assert "SyntaxError" in capsys.readouterr().out


def test_a_cell_becomes_a_module_and_its_names_are_in_the_notebook(session, notebook, capsys):
    session.exercise("box_iou", "LIMIT = 3\n\n\ndef box_iou(first, second):\n    return bias\n")
    assert "bias: it is not defined anywhere" in capsys.readouterr().out
    assert notebook["LIMIT"] == 3
    assert notebook["box_iou"].__module__ == "my_detector.box_iou"


def test_the_map_says_in_its_alt_text_where_you_are_and_what_is_yours(session, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("coursekit.show.figure", lambda fig, alt: shown.append(alt))
    session.lesson_map(6)
    assert shown == ["The lessons as boxes with arrows. You are at 06 · RoI features. Yours: nothing yet."]
    assert "Lesson 06, about" in capsys.readouterr().out


def test_after_a_check_the_other_answers_call_the_new_version(session, notebook):
    session.exercise("propose", "from my_detector import nms\n\n\ndef propose():\n    return nms\n")
    propose = notebook["propose"]
    for code in (answer("nms", "right_with_a_shrinking_list"), answer("nms", "right_with_plain_numbers")):
        session.exercise("nms", code)
        session.check("nms")
        assert propose() is notebook["nms"]
        assert propose().__module__ == "my_detector.nms"
