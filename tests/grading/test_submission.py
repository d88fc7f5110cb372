import json
import os
import zipfile

import pytest

from coursekit.grading import submission
from coursekit.grading.submission import read
from coursekit.lessons.exercises import EXERCISES
from tests.grading.classroom import _renamed, _shuffled, _without, climbs_out, notebooks, solutions, workbook

BOX = "def box_iou(first, second):\n    return 1\n"


def _notebook(path, *cells):
    made = [{"cell_type": "code", "source": source, "metadata": metadata} for source, metadata in cells]
    path.write_text(json.dumps({"cells": made}))
    return path


@pytest.mark.parametrize("change", [_shuffled, _renamed])
def test_cells_are_found_by_their_exercise_wherever_they_stand(tmp_path, change):
    found = read(notebooks(tmp_path / "anna", change), "anna")
    assert set(found.answers) == set(EXERCISES)
    assert {name: code.strip() for name, code in found.answers.items()} == {
        name: code.strip() for name, code in solutions().items()
    }


def test_deleted_cells_are_missing_and_empty_ones_are_empty(tmp_path):
    found = read(notebooks(tmp_path / "anna", _without(("nms",)), source="course"), "anna")
    assert not found.answers
    assert set(EXERCISES) - found.empty == {"nms"}


def test_by_nbgraders_id_and_by_what_it_defines(tmp_path):
    path = _notebook(tmp_path / "a.ipynb", (BOX, {"nbgrader": {"grade_id": "nms"}}), (BOX, {"nbgrader": 7}))
    assert set(read(path, "a").answers) == {"nms", "box_iou"}


def test_of_two_cells_the_last_that_is_written_counts(tmp_path):
    stub = '%%exercise box_iou\nraise NotImplementedError("box_iou: your code here")'
    path = _notebook(
        tmp_path / "a.ipynb", ("%%exercise box_iou\n1", None), (f"%%exercise box_iou\n{BOX}", {}), (stub, {})
    )
    assert read(path, "a").answers == {"box_iou": BOX}


def test_the_workbook_is_what_ran_last(tmp_path):
    folder = workbook(tmp_path / "anna", {"box_iou": "x = 1\n"}, hints=2)
    _notebook(folder / "a.ipynb", (f"%%exercise box_iou\n{BOX}", {}))
    found = read(folder, "anna")
    assert found.answers == {"box_iou": "x = 1\n"}
    assert found.records["box_iou"].hints == 2
    assert "differ" in found.problems[0]


def test_a_zip_that_climbs_out_is_named_and_the_rest_is_read(tmp_path):
    climbs_out(tmp_path / "a.zip", {"box_iou": BOX})
    found = read(tmp_path / "a.zip", "a")
    assert found.answers == {"box_iou": BOX}
    assert len(found.problems) == 3
    assert "leads out of" in found.problems[0]
    assert "is a link" in found.problems[2]


def test_links_and_pipes_are_left_unread(tmp_path):
    folder = workbook(tmp_path / "anna", {})
    (tmp_path / "secret.py").write_text("secret")
    (folder / "my_detector" / "box_iou.py").symlink_to(tmp_path / "secret.py")
    (folder / "elsewhere").symlink_to(tmp_path)
    os.mkfifo(folder / "my_detector" / "nms.py")
    found = read(folder, "anna")
    assert not found.answers
    assert len(found.problems) == 2
    (tmp_path / "linked").symlink_to(folder)
    assert "is a link" in read(tmp_path / "linked", "linked").problems[0]


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "FILE_BYTES", 1 << 16)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.ipynb", b"0" * (1 << 20))
        archive.writestr("my_detector/box_iou.py", BOX)
    found = read(tmp_path / "a.zip", "a")
    assert found.answers == {"box_iou": BOX}
    assert "Clear the outputs" in found.problems[0]
    monkeypatch.setattr(submission, "FILES", 1)
    assert "was not read" in read(tmp_path / "a.zip", "a").problems[-1]


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 cut", b'{"cells": 7}', b"[" * 100_000, b'{"cells": [{"source": {"a": 1}}]}', b"\xff\xfe"],
)
@pytest.mark.parametrize("name", ["a.zip", "a.ipynb", "a/b.ipynb", "a/progress.json", "a/my_detector/nms.py"])
def test_broken_files_become_a_sentence_or_nothing(tmp_path, content, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    top = tmp_path / name.split("/")[0]
    found = read(top, "a")
    assert set(found.answers) <= {"nms"}
    assert len(found.problems) <= 1
