import json

import pytest

from coursekit.core.files import shipped
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.stubs import empty_line, is_empty, open_stubs

STUB = empty_line("nms")


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (f"def nms():\n    {STUB}", [2]),
        (f"def nms():\n    # {STUB}\n    return 1", []),
        (f"def nms():\n    return 1\n    {STUB}", []),
        (f"def nms(a):\n    if a:\n        return 1\n    {STUB}", [4]),
        (f"def nms(a):\n    try:\n        pass\n    except ValueError:\n        {STUB}", [5]),
        ("def nms():\n    raise NotImplementedError('mine')", []),
        (f'def nms():\n    """{STUB[:-1]}"""\n    return 1', []),
        (f"def nms(:\n    {STUB}", [2]),  # it doesn't parse
        (f"def nms(:\n    # {STUB}", []),
    ],
)
def test_stubs_that_can_be_reached_are_found_by_line(code, lines):
    assert open_stubs("nms", code) == lines


def test_a_cell_with_one_of_two_places_filled_in_is_not_empty():
    stub = f"        {empty_line('FPN')}\n"
    code = f"class FPN:\n    def __init__(self):\n{stub}\n    def forward(self, maps):\n{stub}"
    assert is_empty("FPN", code)
    assert not is_empty("FPN", code.replace(stub, "        pass\n", 1))


def test_each_exercise_knows_its_number_of_places():
    cells = [
        "".join(cell["source"])
        for path in sorted(shipped("course").glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    given = {cell.split()[1]: cell.partition("\n")[2] for cell in cells if cell.startswith("%%exercise ")}
    assert set(given) == set(EXERCISES)
    for name, code in given.items():
        assert len(open_stubs(name, code)) == EXERCISES[name].regions, name
