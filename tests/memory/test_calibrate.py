import sys

import pytest
import torch

from coursekit.core.errors import ConfigError
from coursekit.memory import Constants, Peak, StepConfig, calibrate, load_constants
from coursekit.memory.budget import constants_file
from coursekit.memory.step_config import MIB

module = sys.modules["coursekit.memory.calibrate"]  # its name in the package is the function's
NEEDED = 400 * MIB


def test_refuses_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="CUDA device"):
        calibrate()
    assert not constants_file().exists()


def test_the_worst_of_what_was_measured_is_kept(monkeypatch):
    found = iter([module.Measured(NEEDED, NEEDED * 12 // 10, 300 * MIB), module.Measured(NEEDED, NEEDED, 310 * MIB)])
    monkeypatch.setattr(module, "measure", lambda config: next(found))
    monkeypatch.setattr(module, "predict", lambda config: Peak(0, 0, 0, NEEDED, 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    assert load_constants() == Constants()
    lines: list[str] = []
    constants = calibrate([StepConfig(), StepConfig()], lines.append)
    assert constants == Constants(310 * MIB, 1.2, "a card") == load_constants()
    assert len(lines) == 2
    assert "predicted 400 MiB, allocated 400, reserved 480" in lines[0]
