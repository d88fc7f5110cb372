import json

import pytest
import torch

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.data.records import Category
from coursekit.runs.config import FORMAT, RunConfig, load_config
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


def test_a_run_is_saved_and_loaded(run):
    folder, model = run
    loaded, config = load_run(folder)
    assert config == CONFIG
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


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


FIRST_EDITION = {
    "data": "mini",
    "categories": [{"id": 1, "name": "person"}],
    "detector": {"num_classes": 1, "backbone": "tf_efficientnet_lite0", "size": 64},
    "settings": {"epochs": 2, "batch_size": 4, "lr": 0.001},
    "parts": [],
    "version": "0.1.0",
}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            FIRST_EDITION,
            r"has format 1, and this version of the course reads format 2, so train it again with another --out",
        ),
        ({"format": FORMAT + 1, "version": "9.0", "data": 5}, r"has format 3, .*so update the course"),
    ],
)
def test_runs_of_another_format_are_refused_in_one_sentence(tmp_path, content, words):
    (tmp_path / "config.json").write_text(json.dumps(content))
    for load_it in (load_config, load_run):
        with pytest.raises(DataError, match=words) as refused:
            load_it(tmp_path)
        message = str(refused.value)
        assert message.startswith(f"{tmp_path}: ")
        assert message.endswith(".")
        assert ". " not in message


def test_a_run_of_another_format_ends_a_command_with_one_line_and_exit_code_2(coursekit, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(FIRST_EDITION))
    done = coursekit("evaluate", tmp_path, "--data", "mini")
    assert done.returncode == 2
    assert done.stderr.startswith(f"coursekit: {tmp_path}: this run has format 1")
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_format_is_stored_with_the_run(run):
    assert json.loads((run[0] / "config.json").read_text())["format"] == FORMAT


def test_no_run_says_how_to_get_one(tmp_path):
    with pytest.raises(DataError, match="no run here.*coursekit train"):
        load_run(tmp_path)


def test_other_classes_are_refused(coco_folder):
    check_classes(CONFIG, load(coco_folder, "val"))
    other = RunConfig("there", [Category(1, "person")], CONFIG.detector, TrainConfig())
    with pytest.raises(DataError, match="2 classes, not the 1 of there"):
        check_classes(other, load(coco_folder, "val"))


def test_a_misspelled_field_is_named(run):
    folder, _ = run
    content = json.loads((folder / "config.json").read_text())
    content["training"]["lrr"] = content["training"].pop("lr")
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"config\.json: damaged .*lrr"):
        load_config(folder)
