"""`coursekit demo`, `train` and `evaluate`, as their user types them."""

import json
from pathlib import Path

import pytest
import torch

from coursekit.detector.backbone import load_backbone
from coursekit.runs.run_config import load_config
from coursekit.runs.save_and_load import load_run
from tests.data.layout_folders import write_json

pytestmark = pytest.mark.slow

FILES = {"config.json", "curves.png", "metrics.json", "model.safetensors", "predictions.png"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo, with its budget cut to a few steps."""
    monkeypatch.setattr("coursekit.runs.demo.MOST_EPOCHS", 2)
    monkeypatch.setattr("coursekit.runs.demo.OVERFIT_STEPS", 3)


def test_the_demo_writes_its_files(quick, coco_folder, tmp_path):
    from coursekit.evaluation import METRICS
    from coursekit.runs.demo import demo

    metrics = demo(str(coco_folder), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics
    assert list(metrics) == [*METRICS, "seconds", "images_per_second"]


def test_a_run_takes_as_many_epochs_as_fit_and_can_be_repeated(coco_folder, tmp_path, monkeypatch):
    from coursekit.runs import fit_epochs
    from coursekit.runs.demo import demo

    monkeypatch.setattr(fit_epochs, "FIRST", 1)
    monkeypatch.setattr(fit_epochs, "LAST", 2)
    monkeypatch.setattr("coursekit.runs.demo.SECONDS", 0)
    demo(str(coco_folder), tmp_path / "fitted")
    config = load_config(tmp_path / "fitted")
    assert config.training.epochs == fit_epochs.LEAST_EPOCHS
    demo(str(coco_folder), tmp_path / "again", epochs=config.training.epochs)
    assert load_config(tmp_path / "again") == config
    weights = [load_run(tmp_path / name)[0].state_dict() for name in ("fitted", "again")]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    frozen = [name for name, parameter in load_run(tmp_path / "again")[0].named_parameters() if "backbone" in name]
    assert frozen
    assert torch.equal(weights[0][frozen[0]], load_backbone().state_dict()[frozen[0].removeprefix("backbone.")])


def test_overfit_then_evaluate(quick, coco_folder, tmp_path):
    from coursekit.evaluation import score
    from coursekit.lessons.workbook.own_parts import results_of_run
    from coursekit.runs.demo import demo

    metrics = demo(str(coco_folder), tmp_path / "out", overfit=2)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["overfit"] == 2
    assert set(score(*results_of_run(tmp_path / "out", str(coco_folder)))) < set(metrics)


def test_train_then_evaluate_by_command(coursekit, coco_folder, tmp_path):
    run = tmp_path / "run"
    trained = coursekit("train", "--data", coco_folder, "--out", run, "--epochs", 1, "--batch", 2, "--size", 64)
    assert trained.returncode == 0, trained.stderr
    assert f"coursekit evaluate {run}" in trained.stdout
    scored = coursekit("evaluate", run, "--data", coco_folder, "--json")
    assert json.loads(scored.stdout)["AP"] >= 0
    again = coursekit("train", "--data", coco_folder, "--out", run)
    assert (again.returncode, "a trained run here already" in again.stderr) == (2, True)


def test_one_absent_image_of_24_ends_neither_a_demo_nor_a_training(quick, coursekit, tmp_path, monkeypatch):
    monkeypatch.setattr("coursekit.runs.demo.MOST_EPOCHS", 1)
    names = [f"{number}.png" for number in range(24)]
    for split in ("train", "val"):
        write_json(tmp_path / split / "_annotations.coco.json", names, tmp_path / split)
        (tmp_path / split / "5.png").unlink()
    commands = [
        ("demo", "--data", tmp_path, "--out", tmp_path / "demo"),
        ("demo", "--data", tmp_path, "--out", tmp_path / "few", "--overfit", 8),
        ("train", "--data", tmp_path, "--out", tmp_path / "run", "--epochs", 1, "--batch", 8, "--size", 64),
        ("evaluate", tmp_path / "run", "--data", tmp_path, "--gallery", tmp_path / "gallery"),
    ]
    for command in commands:
        with pytest.warns(UserWarning, match=r"5\.png: the image is missing \(1 of 24 images is\)"):
            done = coursekit(*command)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "gallery" / "worst.png").exists()


def _break_json(folder: Path) -> None:
    (folder / "annotations" / "instances_train2017.json").write_text('{"images": [')


def _no_images(folder: Path) -> None:
    for path in (folder / "train2017").iterdir():
        path.unlink()


def _cut_image(folder: Path) -> None:
    path = folder / "val2017" / "1.jpg"
    path.write_bytes(path.read_bytes()[:-200])


def _no_classes(folder: Path) -> None:
    path = folder / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"categories": [], "annotations": []}))


@pytest.mark.parametrize(
    ("damage", "options", "words"),
    [
        (_break_json, [], "instances_train2017.json: broken JSON"),
        (_no_images, [], "train2017/0.jpg: the image is missing"),
        (_cut_image, [], "val2017/1.jpg: the image is damaged"),
        (_no_classes, [], "`categories` has no usable record"),
        (None, ["--overfit", 0], "--overfit 0"),
        (None, ["--epochs", 0], "--epochs 0"),
        (None, ["--epochs", 1, "--overfit", 2], "give one of them"),
        (None, ["--data", "nowhere"], "nowhere: no such folder"),
        (None, ["--out", "/dev/null/out"], "/dev/null/out: can't be written"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(coursekit, coco_folder, tmp_path, damage, options, words):
    if damage:
        damage(coco_folder)
    out = tmp_path / "out"
    done = coursekit("demo", "--data", coco_folder, "--out", out, *options)
    assert done.returncode == 2
    assert words in done.stderr
    news = ("Loading PyTorch", "Reading every image")
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(news)]
    assert len(lines) == 1, done.stderr
    assert not out.exists()


def test_an_unknown_backbone_is_named(coursekit, coco_folder, tmp_path):
    done = coursekit("train", "--data", coco_folder, "--out", tmp_path / "run", "--backbone", "effnet")
    assert done.returncode == 2
    assert "tf_efficientnet_lite0" in done.stderr
    assert "Traceback" not in done.stderr
