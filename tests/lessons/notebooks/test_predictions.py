"""What readers predict is answered: a later cell, or the same one, uses it."""

import ast
import json
from pathlib import Path

import pytest

from coursekit.lessons.notebooks.lesson_rules import kind_of

COURSE = Path(__file__).parents[3] / "course"
NOTES = {"my_idea", "my_first_fix", "my_relative"}  # in words, for the readers themselves


@pytest.mark.parametrize("path", sorted(COURSE.glob("*.ipynb")), ids=lambda path: path.stem)
def test_each_prediction_is_used(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    cells = [dict(cell, source="".join(cell["source"])) for cell in cells]
    trees = [(kind_of(cell), ast.parse(cell["source"])) for cell in cells if kind_of(cell) != "exercise"]
    predicted = {name for kind, tree in trees if kind == "write" for name in _predicted(tree)}
    used = {name.id for _, tree in trees for name in _names(tree) if isinstance(name.ctx, ast.Load)}
    assert predicted - used - NOTES == set()


def _predicted(tree):
    """The names that are set to plain values, which readers replace by theirs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_plain(node.value):
            yield from (name.id for target in node.targets for name in _names(target))


def _names(tree):
    return (node for node in ast.walk(tree) if isinstance(node, ast.Name))


def _is_plain(value):
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True
