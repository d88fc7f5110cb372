import json
import sys

import pytest
import torch

from coursekit.commands import plan as plan_module
from coursekit.commands.plan import plan_command
from coursekit.core.errors import ConfigError
from coursekit.memory import Peak, b3_picture
from coursekit.memory.step_config import GIB, StepConfig

picture_module = sys.modules["coursekit.memory.picture"]


@pytest.fixture
def asked(quick_plan, monkeypatch) -> list[tuple[float, str]]:
    calls: list[tuple[float, str]] = []

    def make_plan(vram: float, backbone: str) -> object:
        calls.append((vram, backbone))
        return quick_plan

    monkeypatch.setattr(plan_module, "make_plan", make_plan)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return calls


def test_tables(asked, capsys):
    plan_command(4, "tf_efficientnet_lite0")
    printed = capsys.readouterr()
    assert asked == [(4, "tf_efficientnet_lite0")]
    assert all(word in printed.out for word in ("800 × 1333", "16 images", "fits", "Begin with", "activations", "24"))
    assert max(map(len, printed.out.splitlines()[:10])) <= 80


def test_json_is_all_there_is_on_stdout(asked, capsys):
    plan_command(None, as_json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["vram_gib"] == 4
    assert "No CUDA device here: this is for a card of 4 GB" in printed.err
    assert asked[0][0] == 4


def test_calibrating_without_a_gpu(asked):
    with pytest.raises(ConfigError, match="CUDA device"):
        plan_command(4, calibrate=True)
    assert asked == []


@pytest.fixture
def no_prediction(monkeypatch):
    def predict(setting: StepConfig) -> Peak:
        return Peak(GIB // 8, GIB // 16, GIB // 4, setting.batch * GIB, GIB // 8)

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
    assert len({patch.get_hatch() for patch in legend.get_patches()}) == 5  # told apart without colour


def test_the_picture_is_written(asked, no_prediction, tmp_path, capsys):
    plan_command(4, picture=tmp_path / "new" / "b3.png", as_json=True)
    assert (tmp_path / "new" / "b3.png").read_bytes().startswith(b"\x89PNG")
    json.loads(capsys.readouterr().out)
