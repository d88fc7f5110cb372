import pytest

from coursekit.lessons.notebooks.short_form import quick, short_form


@pytest.mark.parametrize(("value", "expected"), [(None, 200), ("0", 200), ("1", 16)])
def test_the_short_form(monkeypatch, value, expected):
    monkeypatch.delenv("COURSEKIT_FAST", raising=False)
    if value:
        monkeypatch.setenv("COURSEKIT_FAST", value)
    assert quick(200, 16) == expected
    assert short_form().startswith("Short form") == (value == "1")
