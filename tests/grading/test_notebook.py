import json
import random

import pytest

from coursekit.grading import notebook, submission
from coursekit.grading.notebook import pieces
from coursekit.grading.submission import read
from coursekit.lessons.exercises import EXERCISES

CELL = {"cell_type": "code", "source": "%%exercise nms\nx = 1", "metadata": {}}


def _answers(content, notes=None):
    found = pieces(content if isinstance(content, bytes) else json.dumps(content).encode(), (notes or []).append)
    return {piece.exercise: piece.code for piece in found}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), "\ud83d", "\udfff\ud83d", "NaN \\ud800 \\"]
)
def test_what_jupyter_writes_although_json_forbids_it(value):
    cell = CELL | {"source": '%%exercise nms\nx = "NaN", "Infinity", "\\\\ud800", "😀"'}
    assert _answers({"cells": [cell | {"outputs": [value, [value], {"x": value}]}]}) == {
        "nms": 'x = "NaN", "Infinity", "\\\\ud800", "😀"'
    }


def test_halves_of_an_emoji_in_the_code_are_replaced():
    assert _answers({"cells": [CELL | {"source": "%%exercise nms\nx = '\ud83d'"}]}) == {"nms": "x = '\ufffd'"}


def test_a_byte_order_mark(tmp_path):
    assert _answers(b"\xef\xbb\xbf" + json.dumps({"cells": [CELL]}).encode()) == {"nms": "x = 1"}
    (tmp_path / "my_detector").mkdir()
    (tmp_path / "my_detector" / "nms.py").write_bytes(b"\xef\xbb\xbfx = 1")
    assert read(tmp_path, "a").answers == {"nms": "x = 1"}


@pytest.mark.parametrize(
    "odd",
    [
        {"source": [1, None, ["%%exercise nms"], "%%exercise FPN\n", "y"]},
        {"metadata": {"nbgrader": {"grade_id": []}}},
        {"metadata": [1]}, {"metadata": {"x": "y" * 100_000}}, {"cell_type": 7}, {"cell_type": None},
        {"source": 10**30},
        {"source": {"a": 1}}, {"source": "(" * 100_000}, {"source": "x" * 300_000}, {"source": "-" * 100_000 + "1"},
    ],
)  # fmt: skip
def test_odd_cells_do_not_spoil_the_others(odd):
    assert _answers({"cells": [CELL | {"source": "print()"} | odd, CELL]})["nms"] == "x = 1"


@pytest.mark.parametrize(
    "content",
    [
        b'{"cells": [1]}', b'{"cells": {}}', b"7", b"", b"[" * 10**6, b'{"cells": [' + b"[" * 10**6, b'{"x":' * 10**6,
        json.dumps({"cells": [CELL]}).encode("utf-16"), b'{"cells": [' + b"{}," * notebook.BRACES + b"{}]}",
        b'{"cells": [{"source": "\xff"}]}', b'{"x": NaN, "cells": [' + b'"\\', b"NaN", b"\0" * 1000,
    ],
)  # fmt: skip
def test_what_is_no_notebook_becomes_a_sentence(tmp_path, content):
    (tmp_path / "a.ipynb").write_bytes(content)
    found = read(tmp_path / "a.ipynb", "a")
    assert not found.answers
    assert len(found.problems) == 1
    assert found.problems[0].isprintable()


def test_a_large_cell_is_named(tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [CELL | {"source": "%%exercise nms\n" + "x" * 300_000}]}))
    assert "200 kB" in read(tmp_path / "a.ipynb", "a").problems[0]


def test_there_is_a_limit_to_all_code_together(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "ALL_CODE", 100)
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [CELL] * 100}))
    found = read(tmp_path / "a.ipynb", "a")
    assert found.answers == {"nms": "x = 1"}
    assert "the rest was not read" in found.problems[0]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"7", b'{"exercises": 7}', b'{"exercises": {"nms": 7}}', b'{"exercises": {"nms": {"hints": "2"}}}',
        b'{"exercises": {"nms": {"hints": 1e400}}}', b'{"exercises": {"nms": {"hints": ' + b"9" * 5000 + b"}}}",
        b'{"exercises": {"nms": {"seen": 1}}}', b'{"x": ' + b"[" * 10**6, b'{"exercises": {"\xff": {}}}',
        b'{"exercises": {"nms": {"hints": NaN}}}', b" " * (5 << 20),
    ],
)  # fmt: skip
def test_a_bad_progress_file_becomes_a_sentence(tmp_path, content):
    (tmp_path / "my_detector").mkdir()
    (tmp_path / "my_detector" / "nms.py").write_bytes(b"x = 1")
    (tmp_path / "progress.json").write_bytes(content)
    found = read(tmp_path, "a")
    assert found.answers == {"nms": "x = 1"}
    assert not found.records
    assert len(found.problems) == 1


def test_only_known_exercises_of_a_progress_file_are_kept(tmp_path):
    (tmp_path / "progress.json").write_text('{"exercises": {"nms": {"hints": -5}, "x": 7, "y": {}}, "more": []}')
    assert list(read(tmp_path, "a").records) == ["nms"]


@pytest.mark.slow
def test_notebooks_and_progress_files_changed_at_random(tmp_path):
    rng = random.Random(0)
    names = list(EXERCISES)[:3]
    whole = json.dumps({"cells": [CELL, {"cell_type": "code", "source": ["def FPN():\n", " 1"], "outputs": ["é"]}]})
    progress = json.dumps({"exercises": {name: {"hints": 2, "seen": True, "attempts": ["a"]} for name in names}})
    parts = (
        b"NaN",
        b"-Infinity",
        b'"',
        b"\\",
        b"\\ud800",
        b"[",
        b"{",
        b"}",
        b"\xef\xbb\xbf",
        b"\0",
        b"9" * 5000,
        b"1e999",
    )
    for _ in range(300):
        for name, text in (("a.ipynb", whole), ("progress.json", progress)):
            content = bytearray(text.encode())
            for _ in range(rng.choice((1, 2, 6))):
                start = rng.randrange(len(content))
                content[start : start + rng.choice((0, 1, 5, 20))] = rng.choice((*parts, b"", rng.randbytes(2)))
                content = content or bytearray(b"{")
            (tmp_path / name).write_bytes(content)
        found = read(tmp_path, "a")
        assert len(found.problems) < 20
        "".join([*found.answers.values(), *found.problems]).encode()
