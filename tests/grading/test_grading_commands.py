import sys

import pytest
from classroom import solutions, workbook

from coursekit.cli import main


def _run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["coursekit", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_submit_then_grade(tmp_path, monkeypatch, capfd):
    workbook(tmp_path / "work", {"xywh_to_xyxy": solutions()["xywh_to_xyxy"]}, hints=1)
    assert _run(monkeypatch, "submit", tmp_path / "work", "--name", "anna", "--out", tmp_path / "class") == 0
    assert "anna.zip: 1 answer, progress.json." in capfd.readouterr().out
    words = ("grade", tmp_path / "class", "--out", tmp_path / "out", "--lesson", 0, "--hint-penalty", 0.2, "--unsafe")
    assert _run(monkeypatch, *words) == 0
    said = capfd.readouterr()
    assert "answers run as you" in said.err
    assert "1 submission, 1 answer tried" in said.out
    assert "anna,4.0,20,20.0,1," in (tmp_path / "out" / "grades.csv").read_text()


def test_what_can_be_put_right_is_one_line(tmp_path, monkeypatch, capfd):
    assert _run(monkeypatch, "grade", tmp_path / "none", "--out", tmp_path / "out", "--unsafe") == 2
    assert _run(monkeypatch, "submit", tmp_path, "--name", "anna") == 2
    assert len(capfd.readouterr().err.splitlines()) == 3
