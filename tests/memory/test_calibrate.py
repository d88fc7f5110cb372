import pytest
import torch

from coursekit.errors import SettingError
from coursekit.memory import Constants, Setting, calibrate, load_constants, predict
from coursekit.memory import calibrate as exported
from coursekit.memory.budget import constants_file
from coursekit.memory.setting import MIB

SETTINGS = [Setting(size=(64, 64), batch=1), Setting(size=(64, 64), batch=2)]


def test_refuses_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingError, match="CUDA device"):
        calibrate()
    assert not constants_file().exists()


def test_the_worst_of_what_was_measured_is_kept(monkeypatch):
    import sys

    module = sys.modules[exported.__module__]
    rows = iter([(1.2, 300), (1.3, 280)])

    def measure(setting: Setting) -> object:
        overhead, besides = next(rows)
        needed = predict(setting).total
        return module.Measured(needed, round(overhead * needed), besides * MIB)

    monkeypatch.setattr(module, "measure", measure)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    assert load_constants() == Constants()
    lines: list[str] = []
    found = calibrate(SETTINGS, lines.append)
    assert found.context == 300 * MIB
    assert found.overhead == pytest.approx(1.3, abs=1e-3)
    assert load_constants() == found
    assert found.measured_on == "a card"
    assert len(lines) == 2
