import pytest
import torch

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.data.records import Category
from coursekit.runs.config import RunConfig
from coursekit.runs.load import build, check_classes, load_run, save_run
from coursekit.training import TrainConfig

CONFIG = RunConfig(
    "here",
    [Category(1, "person"), Category(18, "dog")],
    DetectorConfig(2, size=64, channels=16, hidden=16),
    TrainConfig(),
)


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(0)
    model = build(CONFIG.detector, pretrained=False)
    save_run(tmp_path, model, CONFIG)
    return tmp_path, model


def test_a_run_comes_back(run):
    folder, model = run
    again, config = load_run(folder)
    assert config == CONFIG
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"<html>"])
def test_a_damaged_file_is_named(run, name, damage):
    path = run[0] / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=name):
        load_run(run[0])


def test_weights_of_another_detector_are_refused(run):
    config = (run[0] / "config.json").read_text()
    (run[0] / "config.json").write_text(config.replace('"channels": 16', '"channels": 24'))
    with pytest.raises(DataError, match=r"model\.safetensors: the weights can't be used"):
        load_run(run[0])


def test_no_run_says_how_to_get_one(tmp_path):
    with pytest.raises(DataError, match="no run here.*coursekit train"):
        load_run(tmp_path)


def test_other_classes_are_refused(coco_folder):
    check_classes(CONFIG, load(coco_folder, "val"))
    other = RunConfig("there", [Category(1, "person")], CONFIG.detector, TrainConfig())
    with pytest.raises(DataError, match="2 classes, not the 1 of there"):
        check_classes(other, load(coco_folder, "val"))
