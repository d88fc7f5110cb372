import errno
import json
import re

import pytest

from coursekit.core.errors import DataError
from coursekit.export.settings import DETECTIONS, Settings
from coursekit.export.web import PAGE, write_web

SETTINGS = Settings(["dog"], (64, 64), [0.5] * 3, [0.2] * 3, [DETECTIONS])


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"weights")
    return tmp_path / "model.onnx"


def test_the_folder_has_all_that_the_page_asks_for(model, tmp_path):
    runtime = tmp_path / "ort.mjs"
    runtime.write_text("run")
    write_web(model, SETTINGS, tmp_path / "web", [runtime])
    names = {path.name for path in (tmp_path / "web").iterdir()}
    assert names == {path.name for path in PAGE.iterdir()} | {"ort.mjs", "model.onnx", "settings.json", "NOTICE.txt"}
    assert (tmp_path / "web" / "model.onnx").read_bytes() == b"weights"
    assert json.loads((tmp_path / "web" / "settings.json").read_text())["classes"] == ["dog"]


def test_a_model_that_is_in_the_folder_stays(model, tmp_path):
    write_web(model, SETTINGS, tmp_path, [])
    assert model.read_bytes() == b"weights"


def test_a_model_of_before_stays_if_the_disk_is_full(model, tmp_path, monkeypatch):
    def half(source, target):
        target.write_bytes(b"wei")
        raise OSError(errno.ENOSPC, "No space left on device")

    write_web(model, SETTINGS, tmp_path / "web", [])
    monkeypatch.setattr("shutil.copyfile", half)
    with pytest.raises(DataError, match="disk"):
        write_web(model, SETTINGS, tmp_path / "web", [])
    assert (tmp_path / "web" / "model.onnx").read_bytes() == b"weights"
    assert [path.name for path in (tmp_path / "web").glob("*model.onnx")] == ["model.onnx"]


def test_the_page_names_no_other_server():
    for file in PAGE.iterdir():
        assert not re.search(r"(https?:)?//[a-z]+\.", file.read_text(encoding="utf-8")), file
