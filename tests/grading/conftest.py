import pytest

from coursekit.core.errors import ConfigError
from coursekit.grading.sandbox import require


@pytest.fixture(scope="session")
def sandboxed():
    try:
        require(True)
    except ConfigError as error:
        pytest.skip(f"no sandbox here: {str(error)[:200]}")
