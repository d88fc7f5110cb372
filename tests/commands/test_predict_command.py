import pytest
import torch
from PIL import Image

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError, DataError
from coursekit.data.records import Category
from coursekit.runs.predict_files import predict_files
from coursekit.runs.run_config import RunConfig
from coursekit.runs.save_and_load import build, save_run
from coursekit.training import TrainConfig


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    detector = DetectorConfig(2, size=64, channels=16, hidden=16)
    torch.manual_seed(0)
    model = build(detector, pretrained=False)
    save_run(folder, model, RunConfig("x", [Category(1, "person"), Category(18, "dog")], detector, TrainConfig()))
    return folder


@pytest.fixture
def pictures(tmp_path):
    made = {"wide.jpg": (400, 100), "tall.png": (30, 90), "large.webp": (1500, 1100)}
    for name, size in made.items():
        Image.new("RGB", size, "grey").save(tmp_path / name)
    return [tmp_path / name for name in made]


def test_drawn_pictures_keep_their_size(run_folder, pictures, tmp_path):
    done = list(predict_files(run_folder, pictures, tmp_path / "out", threshold=0.0))
    assert [result.problem for result in done] == ["", "", ""]
    for result in done:
        assert result.out.stem == result.file.stem
        with Image.open(result.out) as drawn, Image.open(result.file) as picture:
            assert drawn.size == picture.size
    assert sum(done[0].counts.values()) > 0  # without a threshold, even an untrained detector finds something


def test_with_the_highest_threshold_nothing_is_drawn(run_folder, pictures, tmp_path):
    result = next(iter(predict_files(run_folder, pictures[:1], tmp_path / "out", threshold=1.0)))
    assert result.counts == {}
    assert Image.open(result.out).convert("RGB").getcolors() is not None


def test_files_of_the_same_name_are_numbered(run_folder, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (64, 64)).save(tmp_path / folder / "1.jpg")
    files = [tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg"]
    outs = {result.out.name for result in predict_files(run_folder, files, tmp_path / "out")}
    assert outs == {"1.png", "1-2.png"}


def test_unreadable_files_are_reported_and_the_rest_is_drawn(run_folder, pictures, tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    (tmp_path / "cut.jpg").write_bytes(pictures[0].read_bytes()[:300])
    files = [tmp_path / "page.jpg", tmp_path / "none.jpg", tmp_path, tmp_path / "cut.jpg", pictures[0]]
    done = list(predict_files(run_folder, files, tmp_path / "out"))
    reasons = ["a web page (HTML)", "no such file", "a folder", "the image is damaged", ""]
    assert [reason in result.problem for result, reason in zip(done, reasons, strict=True)] == [True] * 5
    assert [result.out is None for result in done] == [True] * 4 + [False]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_outside_0_to_1_is_refused(run_folder, pictures, tmp_path, threshold):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        list(predict_files(run_folder, pictures, tmp_path, threshold=threshold))


def test_a_missing_run_is_named(tmp_path, pictures):
    with pytest.raises(DataError, match="no run here"):
        list(predict_files(tmp_path / "nowhere", pictures, tmp_path))


def test_the_command_ends_with_exit_code_2_if_a_file_is_unreadable(coursekit, run_folder, pictures, tmp_path):
    done = coursekit("predict", run_folder, pictures[0], tmp_path / "none.jpg", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert f"{pictures[0]}: " in done.stdout
    assert "1 of 2 files could not be read" in done.stderr
    assert "Traceback" not in done.stderr
