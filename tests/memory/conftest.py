from collections.abc import Callable

import pytest

from coursekit.memory import Peak, StepConfig, make_plan, planner
from coursekit.memory.planner import Plan
from coursekit.memory.step_config import MIB


@pytest.fixture(autouse=True)
def no_constants_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))


def rule_of_thumb(config: StepConfig) -> Peak:
    """Predict instantly: linear in area and batch, and half as much in half precision."""
    height, width = (-(-side // 32) * 32 for side in config.size)
    pixel = 1600 * (1 if config.precision == "fp32" else 0.5) * (1 if config.frozen_stages < 3 else 0.5)
    return Peak(18 * MIB, 18 * MIB, 36 * MIB, round(config.batch * height * width * pixel), 0)


@pytest.fixture
def quick(monkeypatch) -> Callable[[StepConfig], Peak]:
    monkeypatch.setattr(planner, "predict", rule_of_thumb)
    return rule_of_thumb


@pytest.fixture
def quick_plan(quick) -> Plan:
    return make_plan(4)
