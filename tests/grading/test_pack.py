import zipfile

import pytest

from coursekit.core.errors import ConfigError
from coursekit.grading.pack import file_name, pack
from coursekit.grading.submission import read
from tests.grading.classroom import notebooks, solutions, workbook


def test_everything_is_packed_but_the_journal_only_on_request(tmp_path):
    folder = workbook(tmp_path / "work", {"box_iou": solutions()["box_iou"]}, hints=1)
    notebooks(folder / "n").rename(folder / "m")
    for path in (folder / "m").iterdir():
        path.rename(folder / path.name)
    (folder / "journal.json").write_text("[]")
    (folder / "my_detector" / "former").mkdir()
    (folder / "my_detector" / "former" / "box_iou-001.py").write_text("old")
    packed = pack(folder, tmp_path / "anna.zip")
    names = zipfile.ZipFile(tmp_path / "anna.zip").namelist()
    assert "my_detector/box_iou.py" in names
    assert "progress.json" in names
    assert "00_start_here.ipynb" in names
    assert not [name for name in names if "journal" in name or "former" in name]
    missing = "\n".join(packed.missing)
    assert "stays with you" in missing
    assert "the report" in missing
    assert read(tmp_path / "anna.zip", "anna").answers["box_iou"] == solutions()["box_iou"]
    first = (tmp_path / "anna.zip").read_bytes()
    pack(folder, tmp_path / "anna.zip", journal=True)
    assert "journal.json" in zipfile.ZipFile(tmp_path / "anna.zip").namelist()
    pack(folder, tmp_path / "anna.zip")
    assert (tmp_path / "anna.zip").read_bytes() == first


def test_what_is_missing_is_named(tmp_path):
    packed = pack(workbook(tmp_path / "work", {"box_iou": "x = 1"}), tmp_path / "anna.zip")
    assert packed.contents == ["1 answer", "progress.json"]
    assert any("nms" in phrase for phrase in packed.missing)
    assert any("00_start_here.ipynb" in phrase for phrase in packed.missing)


def test_optional_lessons_are_packed_and_not_missed(tmp_path):
    packed = pack(workbook(tmp_path / "work", {"focal_loss": "x = 1"}), tmp_path / "anna.zip")
    assert "my_detector/focal_loss.py" in zipfile.ZipFile(tmp_path / "anna.zip").namelist()
    missing = "\n".join(packed.missing)
    assert not [word for word in ("OneStage", "nms_padded", "11_one_stage", "12_ship_it") if word in missing]


def test_nothing_to_pack(tmp_path):
    with pytest.raises(ConfigError, match="neither notebooks nor my_detector"):
        pack(tmp_path, tmp_path / "anna.zip")
    with pytest.raises(ConfigError, match="no such folder"):
        pack(tmp_path / "none", tmp_path / "anna.zip")
    with pytest.raises(ConfigError, match="letters, digits"):
        file_name("../anna")


@pytest.mark.parametrize("name", ["con", "Aux.v2", "anna.", "nul"])
def test_a_name_that_can_be_no_file_on_windows(name):
    with pytest.raises(ConfigError, match="letters, digits"):
        file_name(name)


def test_what_cannot_be_packed_is_named(tmp_path):
    folder = workbook(tmp_path / "work", {"box_iou": "x = 1"})
    (folder / "Mine.IPYNB").write_text('{"cells": []}')
    (folder / "\udcff.ipynb").write_text('{"cells": []}')
    packed = pack(folder, tmp_path / "anna.zip")
    assert packed.contents == ["1 answer", "1 notebook", "progress.json"]
    assert packed.missing[-1] == "�.ipynb: its name isn't valid text. Rename it and pack again"
    assert "Mine.IPYNB" in zipfile.ZipFile(tmp_path / "anna.zip").namelist()
