import pytest

from coursekit.memory import make_plan
from coursekit.memory.fits import Plan


@pytest.fixture(autouse=True)
def no_constants_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))


@pytest.fixture(scope="package")
def small_plan() -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_CACHE", "/nonexistent")
        return make_plan(4, "resnet18")
