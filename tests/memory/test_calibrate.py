import sys

import pytest
import torch

from coursekit.core.errors import ConfigError
from coursekit.memory import Constants, Peak, StepConfig, calibrate, load_constants
from coursekit.memory.budget import constants_file
from coursekit.memory.step_config import MIB

module = sys.modules["coursekit.memory.calibrate"]  # in the package, this name is the function
NEEDED = 400 * MIB


def test_calibrating_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="CUDA device"):
        calibrate()
    assert not constants_file().exists()


def test_the_largest_measurements_are_kept(monkeypatch):
    first, second = (NEEDED, NEEDED * 12 // 10, 300 * MIB), (NEEDED, NEEDED, 310 * MIB)
    measurements = iter([module.Measured(*first), module.Measured(*second)])
    monkeypatch.setattr(module, "measure", lambda config: next(measurements))
    monkeypatch.setattr(module, "predict", lambda config: Peak(0, 0, 0, NEEDED, 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    assert load_constants() == Constants()
    lines: list[str] = []
    constants = calibrate([StepConfig(), StepConfig()], lines.append)
    assert constants == Constants(310 * MIB, 1.2, "a card") == load_constants()
    assert len(lines) == 2
    assert "predicted 400 MiB, allocated 400, reserved 480" in lines[0]
