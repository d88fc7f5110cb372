import pytest
import torch

from coursekit.core.config import DetectorConfig
from coursekit.data.records import Category
from coursekit.export import export_run, npm, packages
from coursekit.runs.run_config import RunConfig
from coursekit.runs.save_and_load import build, save_run
from coursekit.training import TrainConfig


@pytest.fixture
def run_folder(tmp_path, coco_folder):
    """A run of a tiny, untrained detector on the two validation images of `coco_folder`."""
    detector = DetectorConfig(2, size=64, channels=16, hidden=16)
    torch.manual_seed(0)
    categories = [Category(1, "person"), Category(18, "dog")]
    save_run(
        tmp_path, build(detector, pretrained=False), RunConfig(str(coco_folder), categories, detector, TrainConfig())
    )
    return tmp_path


@pytest.mark.slow
def test_the_file_and_the_page_are_written_and_compared_with_pytorch(coursekit, run_folder, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "ort.mjs").write_text("run")
    monkeypatch.setattr("coursekit.export.web.npm_files", lambda package: [tmp_path / "ort.mjs"])
    out, web = run_folder / "made" / "model.onnx", run_folder / "web"
    done = coursekit("export", run_folder, "--out", out, "--web", web)
    assert done.returncode == 0, done.stderr
    assert "Agrees with PyTorch on 2 images" in done.stdout
    assert "fitted into 64×64 pixels" in done.stdout
    assert f"python -m http.server -b 127.0.0.1 -d {web}" in done.stdout
    assert (web / "model.onnx").read_bytes() == out.read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["model.onnx"]


@pytest.mark.slow
def test_a_detector_that_does_not_agree_is_not_kept(coursekit, run_folder, monkeypatch):
    pytest.importorskip("onnxruntime")
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    monkeypatch.setattr(export_run, "OnnxDetector", lambda path, threads: lambda image: empty)
    done = coursekit("export", run_folder, "--out", run_folder / "model.onnx")
    assert done.returncode == 2
    assert "differs from PyTorch's in 200 detections of 2 images" in done.stderr
    assert not (run_folder / "model.onnx").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "name what to write: --out model.onnx, or --web FOLDER"),
        (["--out", "x.onnx", "--serve"], "--serve: only with --web"),
    ],
)
def test_options_that_make_no_sense_are_refused(coursekit, run_folder, options, problem):
    done = coursekit("export", run_folder, *options)
    assert done.returncode == 2
    assert problem in done.stderr


def test_without_the_extra_the_command_says_what_to_install(coursekit, run_folder, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    done = coursekit("export", run_folder, "--out", run_folder / "model.onnx")
    assert done.returncode == 2
    assert "exporting needs onnx, onnxscript, onnxruntime" in done.stderr


def test_without_a_run_the_command_says_so(coursekit, tmp_path):
    done = coursekit("export", tmp_path / "nowhere", "--out", tmp_path / "model.onnx")
    assert done.returncode == 2
    assert "no run here" in done.stderr


def test_the_runtime_has_a_version_and_a_hash():
    assert npm.ONNXRUNTIME_WEB.version == "1.30.0"
    assert npm.ONNXRUNTIME_WEB.integrity.startswith("sha512-")
