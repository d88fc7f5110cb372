"""`coursekit plan`, as its user types it."""

import json
import sys

import msgspec
import pytest
import torch

from coursekit.commands.machine import plan
from coursekit.core.errors import ConfigError
from coursekit.memory import Peak, b3_picture
from coursekit.memory.step_config import GIB, StepConfig

picture_module = sys.modules["coursekit.memory.b3_picture"]


@pytest.fixture
def calls(quick_plan, monkeypatch) -> list[tuple[float, str]]:
    """The arguments of each call of `make_plan`."""
    calls: list[tuple[float, str]] = []

    def make_plan(vram: float, backbone: str, *, kind: str) -> object:
        calls.append((vram, backbone))
        return quick_plan

    monkeypatch.setattr("coursekit.memory.planner.make_plan", make_plan)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return calls


def test_tables(calls, capsys):
    plan(4, "tf_efficientnet_lite0")
    printed = capsys.readouterr()
    assert calls == [(4, "tf_efficientnet_lite0")]
    assert all(word in printed.out for word in ("800 × 1333", "16 images", "fits", "Start with", "activations", "24"))
    assert max(map(len, printed.out.splitlines()[:10])) <= 80


def test_json_is_all_there_is_on_stdout(calls, capsys):
    plan(None, as_json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["vram_gib"] == 4
    assert "No CUDA device here: this is for a card of 4 GB" in printed.err
    assert calls[0][0] == 4


def test_the_card_here_is_asked_for_its_memory(calls, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    card = type("Card", (), {"total_memory": 6 * GIB})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    plan(as_json=True)
    assert calls[0][0] == 6
    assert capsys.readouterr().err == ""


def test_calibrating_without_a_gpu(calls):
    with pytest.raises(ConfigError, match="CUDA device"):
        plan(4, calibrate=True)
    assert calls == []


def test_a_card_without_memory_ends_with_one_line_and_exit_code_2(coursekit):
    done = coursekit("plan", "--vram", 0)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "coursekit: --vram 0: give the card's memory in GB, such as 4.\n"


@pytest.fixture
def no_prediction(monkeypatch):
    def predict(config: StepConfig) -> Peak:
        return Peak(GIB // 8, GIB // 16, GIB // 4, config.batch * GIB, GIB // 8)

    monkeypatch.setattr(picture_module, "predict", predict)


def test_the_picture_names_what_it_shows(no_prediction):
    axes = b3_picture().axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert any("does not fit" in text for text in texts)
    assert any("fits" in text for text in texts)
    assert any("4 GB" in text for text in texts)
    assert "GiB" in axes.get_xlabel()
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [
        "weights",
        "gradients",
        "optimizer",
        "activations",
        "rest",
    ]
    assert len({patch.get_hatch() for patch in legend.get_patches()}) == 5  # hatches differ where colors don't


def test_the_picture_is_written(calls, no_prediction, tmp_path, capsys):
    plan(4, picture=tmp_path / "new" / "b3.png", as_json=True)
    assert (tmp_path / "new" / "b3.png").read_bytes().startswith(b"\x89PNG")
    json.loads(capsys.readouterr().out)


def test_hours(calls, capsys, monkeypatch):
    monkeypatch.setattr("coursekit.runs.plan_by_hours.speed_here", lambda backbone, kind: 60.0)
    plan(4, hours=3)
    out = capsys.readouterr().out
    assert "In 3 hours, at 60 images" in out
    assert "this machine, measured" in out
    assert "coursekit data build coco-10k" in out
    assert "coursekit train --data coco-10k --size" in out
    plan(4, hours=3, as_json=True)
    assert json.loads(capsys.readouterr().out)["proposals"][0]["recipe"] == "coco-10k"


def test_hours_on_a_named_card(calls, capsys, monkeypatch):
    monkeypatch.setattr("coursekit.runs.plan_by_hours.speed_of_card", lambda rate, backbone, kind: rate / 1e11)
    plan(hours=3, card="t4")
    assert calls[0][0] == 16
    assert "T4, estimated from its data sheet, not measured" in capsys.readouterr().out


def test_hours_that_are_not_enough(calls, capsys, monkeypatch):
    monkeypatch.setattr("coursekit.runs.plan_by_hours.speed_here", lambda backbone, kind: 0.001)
    plan(4, hours=0.1)
    out = capsys.readouterr().out
    assert "No recipe gets 8 epochs in this time" in out
    assert "coursekit train" not in out


def test_a_card_without_hours_is_refused(calls):
    with pytest.raises(ConfigError, match=r"--card T4: it goes with --hours"):
        plan(card="T4")


def test_the_kind_of_detector_is_planned_and_named(quick_plan, monkeypatch, capsys):
    kinds = []

    def make_plan(vram, backbone, *, kind):
        kinds.append(kind)
        return msgspec.structs.replace(quick_plan, config=msgspec.structs.replace(quick_plan.config, kind=kind))

    monkeypatch.setattr("coursekit.memory.planner.make_plan", make_plan)
    monkeypatch.setattr("coursekit.runs.plan_by_hours.speed_here", lambda backbone, kind: 60.0)
    plan(4, kind="fcos")
    out = capsys.readouterr().out
    assert "FCOS" in out
    assert "coursekit train --kind fcos --backbone" in out
    plan(4, kind="fcos", hours=3)
    assert "coursekit train --kind fcos --data" in capsys.readouterr().out
    plan(4, kind="faster_rcnn")
    assert "--kind" not in capsys.readouterr().out
    assert kinds == ["fcos", "fcos", "faster_rcnn"]


def test_an_unknown_kind_ends_with_one_line_and_exit_code_2(coursekit, tmp_path):
    for words in (["plan"], ["train", "--data", "mini", "--out", tmp_path / "run"]):
        done = coursekit(*words, "--kind", "yolo")
        assert (done.returncode, done.stderr) == (
            2,
            "coursekit: kind is 'yolo': choose one of faster_rcnn, fcos.\n",
        )
    assert not (tmp_path / "run").exists()
