import pytest


@pytest.fixture(autouse=True)
def own_workbook(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_WORKBOOK", str(tmp_path / "my_detector"))
    monkeypatch.delenv("COURSEKIT_STRICT", raising=False)
    return tmp_path / "my_detector"
