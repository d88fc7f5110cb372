import json

import pytest
import timm
import torch
from msgspec import structs
from safetensors.torch import save_file

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.data.records import Category
from coursekit.detector import FCOS, FasterRCNN
from coursekit.evaluation import evaluate
from coursekit.runs.run_config import FORMAT, RunConfig, load_config
from coursekit.runs.save_and_load import build, check_classes, load_run, results_of, save_run
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


def test_a_run_from_before_there_were_kinds_is_a_faster_rcnn(run):
    path = run[0] / "config.json"
    content = json.loads(path.read_text())
    assert content["detector"].pop("kind") == "faster_rcnn"
    path.write_text(json.dumps(content))
    model, config = load_run(run[0])
    assert config == CONFIG
    assert isinstance(model, FasterRCNN)


def test_a_run_with_one_stage_is_saved_and_loaded(tmp_path):
    config = structs.replace(CONFIG, detector=structs.replace(CONFIG.detector, kind="fcos"))
    model = build(config.detector, pretrained=False)
    save_run(tmp_path, model, config)
    loaded, read = load_run(tmp_path)
    assert (type(loaded), read) == (FCOS, config)
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name


def test_a_run_of_an_unknown_kind_is_refused(run):
    path = run[0] / "config.json"
    path.write_text(path.read_text().replace('"faster_rcnn"', '"yolo"'))
    with pytest.raises(DataError, match=r"config\.json: damaged \(kind is 'yolo': choose one of faster_rcnn, fcos\)"):
        load_run(run[0])


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
    assert check_classes(CONFIG, load(coco_folder, "val")).categories == CONFIG.categories
    other = RunConfig("there", [Category(1, "person")], CONFIG.detector, TrainConfig())
    with pytest.raises(DataError, match="trained on other classes: it doesn't know 'dog'"):
        check_classes(other, load(coco_folder, "val"))


def test_results_have_the_ids_of_the_data_set_that_they_are_about(run, coco_folder):
    before, dataset = results_of(run[0], str(coco_folder))
    assert before
    path = coco_folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    new = {1: 18, 18: 1}
    for record, name in [(each, "id") for each in content["categories"]] + [
        (each, "category_id") for each in content["annotations"]
    ]:
        record[name] = new[record[name]]
    path.write_text(json.dumps(content))
    after, swapped = results_of(run[0], str(coco_folder))
    assert after == [result | {"category_id": new[result["category_id"]]} for result in before]
    assert evaluate(after, swapped).metrics == evaluate(before, dataset).metrics


def test_a_misspelled_field_is_named(run):
    folder, _ = run
    content = json.loads((folder / "config.json").read_text())
    content["training"]["lrr"] = content["training"].pop("lr")
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"config\.json: damaged .*lrr"):
        load_config(folder)


def _set(content, value, *keys):
    for key in keys[:-1]:
        content = content[key]
    content[keys[-1]] = value


TAMPERED = [
    (10**9, "detector", "size"), (10**8, "detector", "num_classes"), (10**7, "detector", "channels"),
    (10**40, "detector", "hidden"), (-1, "detector", "frozen_stages"), (True, "detector", "size"),
    (None, "detector"), ([], "detector"), ("x", "categories"), ([1], "categories"), ([], "categories"),
    ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "categories"), (10**7, "training", "workers"),
    (-3, "training", "epochs"), ("evil", "training", "optimizer"), (0, "overfit"), (5, "parts"),
    (["../x"], "parts"), ({"a/b": "x"}, "digests"), (5, "workbook"), ("\x1b[2J", "workbook"), (1, "unknown"),
]  # fmt: skip


@pytest.mark.parametrize("change", TAMPERED, ids=str)
def test_a_tampered_configuration_is_refused_in_one_line(run, change):
    value, *keys = change
    content = json.loads((run[0] / "config.json").read_text())
    _set(content, value, *keys)
    (run[0] / "config.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"^[^\n]*config\.json: damaged \([^\n]*\)\. Train again[^\n]*$"):
        load_run(run[0])


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"\xef\xbb\xbf" + b, lambda b: b.decode().encode("utf-16"), lambda b: b"null", lambda b: b"[]",
        lambda b: b'{"data": ' + b"[" * 10**5, lambda b: b.replace(b"0.001", b"NaN"), lambda b: b + b" " * 2**23,
        lambda b: b.replace(b"320", b"9" * 9000).replace(b"64", b"9" * 9000), lambda b: b.replace(b"dog", b"d\xf6g"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_refused(run, damage):
    path = run[0] / "config.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"config\.json: damaged"):
        load_config(run[0])


@pytest.mark.parametrize(
    "backbone",
    ["hf-hub:somebody/model", "local-dir:/tmp", "/etc/passwd", "resnet50.a1_in1k", "vit_7b_patch16_dinov3", "x" * 999],
)
def test_only_timms_own_models_are_backbones(run, backbone, monkeypatch):
    monkeypatch.setattr(timm, "create_model", _refuse_memory(timm.create_model))
    content = json.loads((run[0] / "config.json").read_text())
    _set(content, backbone, "detector", "backbone")
    (run[0] / "config.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"^backbone '[^\n]{,200}$"):
        load_run(run[0])


def _refuse_memory(create):
    def created(*args, **kwargs):
        assert torch.get_default_device().type == "meta", "it would have taken memory"
        return create(*args, **kwargs)

    return created


def _tensors(run, change):
    state = {name: value.clone() for name, value in run[1].state_dict().items()}
    change(state, next(name for name, value in state.items() if value.ndim == 4))
    save_file({name: value.contiguous() for name, value in state.items()}, run[0] / "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda state, name: state.update({name: state[name].double()}),
        lambda state, name: state.update({name: state[name] * float("nan")}),
        lambda state, name: state.update({name: torch.zeros(3)}),
        lambda state, name: state.update({"evil\x1b[2J": torch.zeros(3)}),
        lambda state, name: state.pop(name),
    ],
)
def test_tampered_weights_are_refused(run, change):
    _tensors(run, change)
    with pytest.raises(DataError, match=r"^[^\n\x1b]*model\.safetensors: the weights can't be used \([^\n\x1b]*$"):
        load_run(run[0])


def test_weights_that_claim_an_enormous_size_are_refused_unread(run):
    path = run[0] / "model.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [25 * 10**9], "data_offsets": [0, 10**11]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 10**11)  # a file with a hole
    with pytest.raises(DataError, match="the weights can't be used"):
        load_run(run[0])
