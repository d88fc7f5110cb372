from itertools import repeat

import torch

from coursekit.lessons.experiments import speed_ladder as module
from coursekit.lessons.experiments.speed_ladder import climb, peak_memory
from coursekit.memory import StepConfig
from coursekit.memory.step_config import MIB, Peak

SECONDS = {"plain": 4.0, "small": 1.0, "half": 2.0, "frozen": 0.5}


def test_each_rung_builds_on_those_that_were_faster(capsys):
    settings, now = [], [0.0]

    def prepare(side, dtype="fp32", frozen=0):
        settings.append((side, dtype, frozen))
        name = "frozen" if frozen else "half" if dtype == "bf16" else "small" if side == 320 else "plain"

        def step(images, targets):
            now[0] += SECONDS[name]

        return step, repeat(([0] * 4, []))

    ladder = {"plain": {"side": 640}, "small": {"side": 320}, "half": {"dtype": "bf16"}, "frozen": {"frozen": 3}}
    rungs = climb(ladder, prepare, lambda: now[0], {"small": 3.0, "in all": 5.0}, lambda **_: 100.0, steps=1)
    assert settings == [(640, "fp32", 0), (320, "fp32", 0), (320, "bf16", 0), (320, "fp32", 3)]
    assert [(rung.speed, rung.kept) for rung in rungs] == [(1.0, True), (4.0, True), (2.0, False), (8.0, True)]
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[2] == ["small", "4.00", "3.00", "×", "4.00", "×", "100", "kept"]
    assert rows[3][-2:] == ["left", "out"]
    assert rows[-1] == ["in", "all", "5.00", "×", "8.00", "×"]


def test_without_a_gpu_the_memory_of_a_card_is_predicted(monkeypatch):
    configs = []

    def predict(config):
        configs.append(config)
        return Peak(0, 0, 0, 3 * MIB, 0)

    monkeypatch.setattr(module, "predict", predict)
    memory_of = peak_memory(16, 4, torch.device("cpu"))
    assert memory_of(side=320, dtype=torch.bfloat16, frozen=3, workers=2) == 3.0
    expected = StepConfig(size=(320, 320), batch=4, precision="bf16", frozen_stages=3, num_classes=16)
    assert configs == [expected]
    assert expected.device == "cuda"
