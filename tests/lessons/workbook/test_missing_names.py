import math

from coursekit.lessons.workbook.missing_names import cures, missing_names


def test_names_of_the_notebook_are_found():
    code = "import torch\n\n\ndef f(x):\n    y = torch.abs(x) + bias\n    return [helper(z) for z in y]\n"
    assert missing_names(code) == ["bias", "helper"]


def test_nothing_is_missing_from_a_sound_cell():
    code = """
from __future__ import annotations
import torch
from torch import Tensor
LIMIT = 3

class A(torch.nn.Module):
    size: int = LIMIT
    def forward(self, x: Tensor) -> Tensor:
        global seen
        seen = lambda value: value + x
        with open("f") as file:
            return [self.size for self.size in range(len(file.read()))] and __name__ and print
"""
    assert missing_names(code) == []


def test_a_cell_that_does_not_parse_has_no_cures():
    assert missing_names("def f(x)\n    return y\n") == []


def test_each_name_has_a_cure():
    notebook = {"np": math, "sqrt": math.sqrt, "mine": 3}
    lines = cures("def f(x):\n    return np.pi + sqrt(x) + mine + nms(x) + nowhere\n", notebook, {"nms": None})
    assert lines == [
        "mine: it is defined in another cell: define it in this one, or make it an argument",
        "nms: write `from my_detector import nms` into the cell",
        "nowhere: it is not defined anywhere: a typo?",
        "np: write `import math as np` into the cell",
        "sqrt: write `from math import sqrt` into the cell",
    ]
