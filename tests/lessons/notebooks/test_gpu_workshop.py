"""The optional page of lesson 08: its snippets are valid, and what they name exists."""

import ast
import importlib
import re
import textwrap
from pathlib import Path

import pytest

from coursekit.memory import StepConfig, predict
from coursekit.memory.step_config import MIB

PAGE = Path(__file__).parents[3] / "course" / "gpu-workshop.md"
TEXT = PAGE.read_text(encoding="utf-8")
SNIPPETS = [textwrap.dedent(block) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", TEXT, flags=re.MULTILINE)]


def test_each_snippet_is_python_or_a_setting():
    assert len(SNIPPETS) >= 9
    for snippet in SNIPPETS:
        if "PYTORCH_CUDA_ALLOC_CONF" not in snippet:
            ast.parse(snippet)


def test_what_the_snippets_import_exists():
    for snippet in SNIPPETS:
        for module, names in re.findall(r"^from (\S+) import (.+)$", snippet, flags=re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_its_links_lead_to_files():
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert link.startswith("https://") or (PAGE.parent / link).exists(), link


def test_lesson_08_links_to_it():
    assert "(gpu-workshop.md)" in (PAGE.parents[1] / "solutions" / "08_training.py").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "without", "with_it"), [("tf_efficientnet_lite0", 1093, 502), ("efficientnet_b3", 2218, 1070)]
)
def test_its_numbers_are_the_planners(backbone, without, with_it):
    for checkpoints, expected in ((False, without), (True, with_it)):
        config = StepConfig(backbone, size=(640, 640), batch=4, frozen_stages=0, checkpoints=checkpoints)
        assert predict(config).total / MIB == pytest.approx(expected, rel=0.01)
        assert f"{expected:,}" in TEXT
