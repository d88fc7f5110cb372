import pytest

from coursekit.lessons.workbook.workbook import Workbook


@pytest.fixture
def workbook(tmp_path):
    return Workbook(tmp_path / "my_detector")
