import msgspec
import pytest
import torch

from coursekit.data import load
from coursekit.evaluation import predict, score, split_errors, to_coco_results
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.experiments import lesson07_run as module
from coursekit.lessons.experiments.lesson07_run import FOLDER, first_run, keep, options, stand_in
from coursekit.runs.run_config import CONFIG, load_config
from coursekit.runs.save_and_load import build
from tests.lessons.answers import right_answer

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSEKIT_FAST", "1")


def test_it_is_trained_once_and_saved(workbook, capsys):
    model = first_run(workbook)
    assert not model.training
    assert "There is no run in runs/07 yet" in capsys.readouterr().out.replace("\\", "/")
    again = first_run(workbook)
    assert "trained on mini for 1 epoch." in capsys.readouterr().out
    assert again.options == model.options
    image = [load("mini", "val")[1][0]]
    for detection, other in zip(predict(model, image), predict(again, image), strict=True):
        torch.testing.assert_close(detection, other)


def test_a_run_of_other_data_or_a_shorter_one_is_not_used(workbook, capsys, monkeypatch):
    first_run(workbook)
    capsys.readouterr()
    config = load_config(FOLDER)
    (FOLDER / CONFIG).write_bytes(msgspec.json.encode(msgspec.structs.replace(config, data="other")))
    monkeypatch.setattr(module, "train", lambda *_: [])
    first_run(workbook)
    assert "used other data, or was shorter. Training one now" in capsys.readouterr().out


def test_a_damaged_run_is_replaced(workbook, capsys, monkeypatch):
    FOLDER.mkdir(parents=True)
    (FOLDER / module.WEIGHTS).write_bytes(b"nothing")
    (FOLDER / CONFIG).write_text("{")
    monkeypatch.setattr(module, "train", lambda *_: [])
    first_run(workbook)
    assert "can't be used" in capsys.readouterr().out


def test_the_parts_of_the_workbook_are_those_of_the_run(workbook):
    workbook.store("level_for_box", right_answer("level_for_box"))
    check(workbook, "level_for_box")
    train_set = load("mini", "train")
    model = build(module._config(workbook, train_set, module._training()).detector, pretrained=False)
    keep(workbook, model, train_set, module._training())
    assert load_config(FOLDER).parts == ["level_for_box"]
    assert not first_run(workbook).training


def test_the_options_of_the_lesson_are_those_of_the_saved_run(workbook):
    train_set = load("mini", "train")
    model = build(module._config(workbook, train_set, module._training()).detector, pretrained=False)
    assert options(len(train_set.classes)) == module._narrowed(model).options


def test_a_stand_in_makes_errors_of_every_kind_that_a_detector_makes():
    dataset = load("mini", "val").head(30)
    detections = stand_in(dataset)
    results = to_coco_results(detections, dataset.image_ids, dataset.category_ids)
    assert 0.4 < score(results, dataset)["AP50"] < 0.9
    kinds = split_errors(results, dataset).kinds
    assert all(kinds[name].cost > 0 for name in ("classification", "background", "missed"))
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(detections, stand_in(dataset), strict=True))
