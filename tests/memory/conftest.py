from collections.abc import Callable

import pytest

from coursekit.memory import Peak, Setting, fits, make_plan
from coursekit.memory.fits import Plan
from coursekit.memory.setting import MIB


@pytest.fixture(autouse=True)
def no_constants_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))


def rule_of_thumb(setting: Setting) -> Peak:
    """A prediction in no time: in a line with the area and with the batch, half as much in half precision."""
    height, width = (-(-side // 32) * 32 for side in setting.size)
    pixel = 1600 * (1 if setting.precision == "fp32" else 0.5) * (1 if setting.frozen_stages < 3 else 0.5)
    return Peak(18 * MIB, 18 * MIB, 36 * MIB, round(setting.batch * height * width * pixel), 0)


@pytest.fixture
def quick(monkeypatch) -> Callable[[Setting], Peak]:
    monkeypatch.setattr(fits, "predict", rule_of_thumb)
    return rule_of_thumb


@pytest.fixture
def quick_plan(quick) -> Plan:
    return make_plan(4)
