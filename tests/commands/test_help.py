"""Commands that answer at once import nothing large; `--help` gives the defaults of the configuration."""

import inspect
import json
import subprocess
import sys

import pytest

from coursekit.commands.machine import plan
from coursekit.commands.train import demo, train
from coursekit.core.config import EVALUATE_EVERY, DetectorConfig, TrainConfig
from coursekit.lessons.workbook import progress
from coursekit.lessons.workbook.progress import Record
from coursekit.lessons.workbook.workbook import PACKAGE, Workbook, digest
from tests.lessons.answers import IOU

RUN = """
import json, sys
from coursekit.commands.main import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code
print(json.dumps(sorted(sys.modules)))
"""
LARGE = {"torch", "torchvision", "timm", "matplotlib", "pycocotools", "hotcoco", "IPython", "httpx2", "scipy"}


def _run(*command):
    """Run a command in a fresh process. Return what it prints, and the modules that it imported."""
    done = subprocess.run([sys.executable, "-c", RUN, *command], capture_output=True, text=True, check=True)
    *text, modules = done.stdout.splitlines()
    return "\n".join(text), set(json.loads(modules))


@pytest.mark.parametrize("command", ["", "train", "data build", "lessons status", "grade"])
def test_help_imports_no_large_library(command):
    text, modules = _run(*command.split(), "--help")
    assert "--help" in text
    assert not (LARGE | {"numpy", "PIL"}) & modules


def test_listing_recipes_imports_no_large_library():
    text, modules = _run("data", "list")
    assert "mini" in text
    assert not LARGE & modules


def test_the_status_of_lessons_imports_no_large_library(tmp_path):
    workbook, empty = (
        Workbook(tmp_path / PACKAGE),
        'def nms(boxes):\n    raise NotImplementedError("nms: your code here")\n',
    )
    for name, code in (("box_iou", IOU), ("nms", empty)):
        workbook.begin()
        workbook.file_of(name).write_text(code)
    progress.save(workbook, "box_iou", Record("correct", digest(IOU)))
    text, modules = _run("lessons", "status", str(tmp_path))
    assert "✓\u00a0box_iou" in text
    assert "○\u00a0nms" in text
    assert not LARGE & modules


def _defaults(command):
    return {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}


def test_the_defaults_are_those_of_the_configuration():
    defaults, training, detector = _defaults(train), TrainConfig(), DetectorConfig(num_classes=2)
    option_of = {
        "batch_size": "batch", "warmup_steps": "warmup", "clip_norm": "clip", "compile": "compile_",
    }  # fmt: skip
    for name in TrainConfig.__struct_fields__:
        if name not in ("backbone_lr", "flip"):  # the first follows from lr; the second has no option
            assert defaults[option_of.get(name, name)] == getattr(training, name), name
    for name in ("kind", "backbone", "size", "frozen_stages"):
        assert defaults[name] == getattr(detector, name), name
    assert (defaults["evaluate_every"], defaults["backbone_lr"]) == (EVALUATE_EVERY, None)
    assert _defaults(demo)["seed"] == training.seed
    assert (_defaults(plan)["backbone"], _defaults(plan)["kind"]) == (detector.backbone, detector.kind)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], TrainConfig()),
        (["--lr", "0.02"], TrainConfig(lr=0.02, backbone_lr=0.002)),
        (["--lr", "0.02", "--backbone-lr", "0.5"], TrainConfig(lr=0.02, backbone_lr=0.5)),
    ],
)
def test_options_become_the_configuration(coursekit, tmp_path, monkeypatch, options, expected):
    calls = []
    monkeypatch.setattr("coursekit.runs.train_or_resume.train_run", lambda *arguments, **named: calls.append(arguments))
    done = coursekit("train", "--data", "mini", "--out", tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert calls == [("mini", tmp_path, expected, DetectorConfig(num_classes=0))]
