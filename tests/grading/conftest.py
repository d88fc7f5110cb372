import pytest

from coursekit.errors import SettingError
from coursekit.grading.sandbox import require


@pytest.fixture(scope="session")
def sandboxed():
    try:
        require(True)
    except SettingError as error:
        pytest.skip(f"no sandbox here: {str(error)[:200]}")
