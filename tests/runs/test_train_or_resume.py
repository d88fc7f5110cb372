"""`coursekit train`: what it writes, how it resumes, what it refuses."""

import json
from functools import partial

import pytest
import torch
from msgspec import structs

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError, CourseError
from coursekit.core.lock import alone_in
from coursekit.detector import FCOS
from coursekit.evaluation import score
from coursekit.lessons.workbook.own_parts import results_of_run
from coursekit.runs.save_and_load import load_run
from coursekit.runs.train_or_resume import train_run
from coursekit.training import Log, TrainConfig, measure_precision
from coursekit.training.hooks import read_metrics

pytestmark = pytest.mark.slow

FILES = {"best.pt", "config.json", "curves.png", "last.pt", "metrics.jsonl", "model.safetensors"}
SMALL = DetectorConfig(0, size=64, channels=16, hidden=16)
QUICK = TrainConfig(epochs=2, batch_size=3, precision="fp32")


def test_a_run_writes_its_files_and_its_configuration(coco_folder, tmp_path):
    train_run(str(coco_folder), tmp_path / "run", QUICK, SMALL)
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["detector"]["size"], config["detector"]["num_classes"], config["training"]["epochs"]) == (64, 2, 2)
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 1, 2, 2, 2]
    assert "cores" in lines[0]["device"]
    assert lines[-1] == {"step": 2, "left_out": "", "memory": None}
    assert score(*results_of_run(tmp_path / "run", str(coco_folder)))["AP"] >= 0


def test_a_detector_with_one_stage_trains_resumes_to_the_same_numbers_and_is_scored(coco_folder, tmp_path):
    small = structs.replace(SMALL, kind="fcos")
    train_run(str(coco_folder), tmp_path / "whole", QUICK, small)
    assert {path.name for path in (tmp_path / "whole").iterdir()} == FILES
    expected, config = load_run(tmp_path / "whole")
    assert (type(expected), config.detector.kind) == (FCOS, "fcos")
    assert score(*results_of_run(tmp_path / "whole", str(coco_folder)))["AP"] >= 0

    after_step = Log.after_step

    def stop(self, run):
        after_step(self, run)
        run.stopped = True

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Log, "after_step", stop)
        train_run(str(coco_folder), tmp_path / "cut", QUICK, small)
    with pytest.raises(ConfigError, match="kind fcos in the run, faster_rcnn now"):
        train_run(str(coco_folder), tmp_path / "cut", QUICK, SMALL, resume=True)
    train_run(str(coco_folder), tmp_path / "cut", QUICK, small, resume=True)
    weights = load_run(tmp_path / "cut")[0].state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in expected.state_dict().items())


def test_a_measured_precision_is_kept_with_the_run_and_used_for_its_predictions(coco_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(measure_precision, "half_precision", lambda device: "bf16")
    monkeypatch.setattr(measure_precision, "_seconds", lambda run, batch, name: {"fp32": 2.0, "bf16": 1.0}[name])
    train_run(str(coco_folder), tmp_path, structs.replace(QUICK, epochs=1, precision="auto"), SMALL, evaluate_every=0)
    model, config = load_run(tmp_path)
    assert config.training.precision == "auto"
    assert config.measured == {"cpu": "bf16"}
    assert model.precision == "bf16"


def test_a_run_is_neither_overwritten_nor_started_twice(coco_folder, tmp_path):
    (tmp_path / "last.pt").touch()
    with pytest.raises(ConfigError, match="an unfinished run is here. Continue it with --resume"):
        train_run(str(coco_folder), tmp_path, QUICK, SMALL)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match="a trained run here already"):
        train_run(str(coco_folder), tmp_path, QUICK, SMALL)


def test_there_must_be_a_run_to_resume(coco_folder, tmp_path):
    with pytest.raises(ConfigError, match="no run to resume"):
        train_run(str(coco_folder), tmp_path / "new", QUICK, SMALL, resume=True)


def test_a_run_resumes_only_with_its_own_options(coco_folder, tmp_path):
    train_run(str(coco_folder), tmp_path, QUICK, SMALL)
    (tmp_path / "model.safetensors").unlink()
    other = DetectorConfig(0, size=96, channels=16, hidden=16)
    with pytest.raises(ConfigError, match="size 64 in the run, 96 now"):
        train_run(str(coco_folder), tmp_path, QUICK, other, resume=True)
    with pytest.raises(ConfigError, match="epochs 2 in the run, 5 now"):
        train_run(str(coco_folder), tmp_path, TrainConfig(epochs=5, batch_size=3), SMALL, resume=True)


def _edit(folder, split, change):
    path = folder / "annotations" / f"instances_{split}2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


REFUSED = [
    ("train", lambda c: c.update(annotations=[]), "train2017.json: no box to train on or to score: the list"),
    ("train", lambda c: [a.update(iscrowd="0") for a in c["annotations"]], "4 × its iscrowd is text, not 0 or 1"),
    ("train", lambda c: [a.update(id=f"u-{a['id']}") for a in c["annotations"]], "4 × its id is text"),
    ("train", lambda c: [each.update(name="thing") for each in c["categories"]], "classes share a name: 'thing'"),
    ("val", lambda c: [a.update(iscrowd=True) for a in c["annotations"]], "val2017.json: no box to train on"),
    ("val", lambda c: c["categories"].append({"id": 3, "name": "cat"}), "it doesn't know 'cat'"),
    ("val", lambda c: c["categories"][0].update(name="Dog"), r"it doesn't know 'Dog' \(did you mean 'dog'\?\)"),
    ("val", lambda c: [each.update(name="dog") for each in c["categories"]], "classes share a name: 'dog'"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("split", "change", "words"), REFUSED)
def test_what_can_not_be_trained_or_scored_is_refused_before_the_first_step(
    coco_folder, tmp_path, split, change, words
):
    _edit(coco_folder, split, change)
    with pytest.raises(CourseError, match=words):
        train_run(str(coco_folder), tmp_path / "run", QUICK, SMALL)
    assert not (tmp_path / "run").exists()


def test_val_may_have_other_ids_and_fewer_classes(coco_folder, tmp_path):
    def change(content):
        content["categories"] = [{"id": 5, "name": " dog "}]
        content["annotations"] = [content["annotations"][0] | {"category_id": 5}]

    _edit(coco_folder, "val", change)
    train_run(str(coco_folder), tmp_path / "run", QUICK, SMALL, evaluate_every=1)
    assert score(*results_of_run(tmp_path / "run", str(coco_folder)))["AP"] >= 0


def test_bad_numbers_end_with_one_message_and_exit_code_2(coursekit, coco_folder, tmp_path):
    done = coursekit("train", "--data", coco_folder, "--out", tmp_path / "run", "--batch", 0)
    assert (done.returncode, done.stderr.strip()) == (2, "coursekit: batch_size is 0: it must be greater than 0.")
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_names_losses_and_images_and_keeps_the_last_good_checkpoint(coursekit, coco_folder, tmp_path):
    options = ["--epochs", 9, "--batch", 3, "--size", 64, "--lr", 1e18, "--warmup", 0, "--evaluate-every", 0]
    done = coursekit("train", "--data", coco_folder, "--out", tmp_path / "run", *options)
    assert done.returncode == 2
    assert "The loss is NaN or infinite (loss_" in done.stderr
    assert "Try a tenth of the learning rate" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "last.pt").exists()


def test_if_not_even_one_image_fits_the_planner_says_what_to_lower(coco_folder, tmp_path, monkeypatch):
    import torch
    from torch._subclasses import FakeTensor

    from coursekit.detector import FasterRCNN

    losses = FasterRCNN.losses

    def full(self, batch, *more, **named):
        if isinstance(batch, FakeTensor):  # this call is the planner's
            return losses(self, batch, *more, **named)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("coursekit.detector.FasterRCNN.losses", full)
    monkeypatch.setattr("coursekit.runs.train_or_resume.total_memory", lambda: 2**26)
    with pytest.raises(CourseError, match=r"Not even one image fits.*GiB"):
        train_run(str(coco_folder), tmp_path, QUICK, SMALL)


def test_options_without_effect_are_refused(coursekit, coco_folder, tmp_path):
    done = coursekit("train", "--data", coco_folder, "--out", tmp_path / "run", "--reference", "nms")
    assert (done.returncode, done.stderr) == (
        2,
        "coursekit: --reference: only with --detector, whose parts it leaves out.\n",
    )
    with pytest.raises(ConfigError, match="evaluate_every is -1: it can't be negative"):
        train_run(str(coco_folder), tmp_path / "run", QUICK, SMALL, evaluate_every=-1)


@pytest.fixture
def unfinished(coco_folder, tmp_path):
    """A run that ended as if it had been killed before its last step was saved."""
    train_run(str(coco_folder), tmp_path / "run", QUICK, SMALL, evaluate_every=0)
    (tmp_path / "run" / "model.safetensors").unlink()
    return tmp_path / "run"


def test_a_second_training_in_the_same_folder_is_refused(coursekit, coco_folder, unfinished):
    before = _content(unfinished)
    with alone_in(unfinished, "training"):
        for words in ([], ["--resume"]):
            done = coursekit("train", "--data", coco_folder, "--out", unfinished, *words)
            assert done.returncode == 2
            assert "another training is writing here right now" in done.stderr
        done = coursekit("demo", "--data", coco_folder, "--out", unfinished)
        assert (done.returncode, "another training is writing here" in done.stderr) == (2, True)
    assert _content(unfinished) == before


def test_a_resume_that_fails_leaves_the_run_as_it_was(coco_folder, unfinished):
    (unfinished / "last.pt").write_bytes(b"PK")
    before = _content(unfinished)
    with pytest.raises(CourseError, match=r"last\.pt"):
        train_run(str(coco_folder), unfinished, structs.replace(QUICK, workers=1), SMALL, resume=True)
    assert _content(unfinished) == before


def test_a_log_that_is_a_link_or_no_log_is_refused(coco_folder, unfinished, tmp_path):
    run = partial(train_run, str(coco_folder), unfinished, QUICK, SMALL, resume=True, evaluate_every=0)
    path = unfinished / "metrics.jsonl"
    for text, words in (("5\n", "line 1"), ('{"step": "x"}\n', "line 1"), ('{"loss": 1}', "line 1")):
        path.write_text(text)
        with pytest.raises(CourseError, match=words):
            run()
    (tmp_path / "mine").write_text("mine")
    path.unlink()
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(CourseError, match="leads out of"):
        run()
    assert (tmp_path / "mine").read_text() == "mine"
    path.unlink()
    path.write_bytes(b"\xff\n" + b"[" * 9999)
    run()  # damaged lines are skipped, as those that a killed process leaves


def _content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
