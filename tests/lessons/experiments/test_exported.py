import pytest
import torch

from coursekit.core.config import DetectorConfig
from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.export import export_run
from coursekit.export.onnx_detector import OnnxDetector
from coursekit.export.prepare import nms_padded
from coursekit.lessons.experiments import exported as module
from coursekit.lessons.experiments.exported import (
    compare,
    export,
    load_my_run,
    show_stages,
    time_both,
    time_in_turn,
    try_my_nms,
)
from coursekit.lessons.experiments.lesson07_run import _narrowed
from coursekit.lessons.workbook.own_parts import load_trained
from coursekit.runs.run_config import RunConfig
from coursekit.runs.save_and_load import build, save_run
from coursekit.training import TrainConfig


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return _narrowed(build(DetectorConfig(3, size=64), pretrained=False)).eval()


@pytest.fixture
def shown(monkeypatch):
    panels = []
    monkeypatch.setattr(module.show, "image_row", lambda *args: panels.append(args[0]))
    return panels


def test_without_the_extra_it_says_so_and_only_pytorch_is_timed(detector, capsys, monkeypatch, shown):
    def missing():
        raise ConfigError("exporting needs onnx")

    monkeypatch.setattr(module, "need_packages", missing)
    assert export(detector, ["a", "b", "c"], 10) is None
    image = load("mini", "val")[0][0]
    compare(None, detector, load("mini", "val").head(1))
    show_stages(None, image)
    times = time_both(None, detector, image, 1.0, rounds=1)
    assert list(times) == ["PyTorch, 1 thread", "PyTorch, 2 threads"]
    assert capsys.readouterr().out == "exporting needs onnx\n"
    assert not shown


@pytest.mark.slow
def test_a_detector_is_exported_compared_shown_and_timed(detector, tmp_path, monkeypatch, capsys, shown):
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    monkeypatch.chdir(tmp_path)
    data, threads = load("mini", "val").head(2), torch.get_num_threads()
    exported = export(detector, ["a", "b", "c"], 10)
    assert (tmp_path / module.FILE).is_file()
    compare(exported, detector, data)
    show_stages(exported, data[0][0])
    times = time_both(exported, detector, data[0][0], 1.0, rounds=1)
    assert list(times) == [f"{name}, {n}" for n in ("1 thread", "2 threads") for name in ("PyTorch", "onnxruntime")]
    assert torch.get_num_threads() == threads
    out = capsys.readouterr().out
    for words in (
        "runs/12/model.onnx: ",
        "you said 10 MB",
        "Agrees with PyTorch on 2 images",
        "times as fast; you said 1",
    ):
        assert words in out
    assert [title.split(":")[0] for title in shown[0]] == [stage.title for stage in exported.settings.stages]
    assert all(len(boxes) <= module.MOST_DRAWN for _, boxes, _ in list(shown[0].values())[:2])


def test_another_run_comes_with_its_own_classes_and_data(detector, tmp_path, workbook, capsys):
    data = load("mini", "val")
    run = RunConfig("mini", data.categories, DetectorConfig(len(data.classes), size=64), TrainConfig(epochs=2))
    save_run(tmp_path, build(run.detector, pretrained=False), run)
    model, unseen = load_my_run(str(tmp_path), workbook, "other data")
    assert unseen.classes == data.classes
    assert not model.training
    assert "trained on mini for 2 epochs." in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_is_the_same_file_from_the_notebook_and_from_the_command(tmp_path, workbook, monkeypatch):
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    monkeypatch.chdir(tmp_path)
    data = load("mini", "val")
    run = RunConfig("mini", data.categories, DetectorConfig(len(data.classes), size=64), TrainConfig(epochs=3))
    torch.manual_seed(0)
    module.FOLDER.mkdir(parents=True)
    save_run(module.FOLDER, build(run.detector, pretrained=False), run)
    model, _ = load_my_run("runs/07", workbook, "mini")
    ours = export(model, data.classes, 10).stages(data[0][0])
    other, config = load_trained(module.FOLDER, workbook)
    monkeypatch.setattr(export_run, "SCENES", 1)
    export_run.export_run(other, config, tmp_path / "command.onnx")
    theirs = OnnxDetector(tmp_path / "command.onnx").stages(data[0][0])
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


def test_a_difference_is_printed(detector, monkeypatch, capsys):
    class Other:
        def __call__(self, image):
            return {
                "boxes": torch.tensor([[0.0, 0, 9, 9]]),
                "labels": torch.tensor([1]),
                "scores": torch.tensor([0.99]),
            }

    compare(Other(), detector, load("mini", "val").head(1))
    assert "differs from PyTorch's" in capsys.readouterr().out


def test_an_nms_in_place_of_the_operator_finds_the_same_and_one_that_keeps_less_is_noticed(detector, capsys):
    data = load("mini", "val").head(2)
    try_my_nms(detector, nms_padded, data, 2.0)
    same, times = capsys.readouterr().out.splitlines()
    assert float(same.split()[-3]) < 1e-3
    assert times.endswith("times as long; you said 2")
    try_my_nms(detector, lambda *args: nms_padded(*args).where(torch.arange(args[3]) < 1, -1), data, 2.0)
    assert "at most inf pixels apart" in capsys.readouterr().out


def test_calls_take_turns_and_the_first_round_is_not_counted():
    calls = []
    times = time_in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert all(value >= 0 for value in times.values())
