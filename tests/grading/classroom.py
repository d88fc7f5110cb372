"""A class of thirty: right, empty, half done, written differently, mistaken, and hostile or broken ones."""

import json
import random
import re
import shutil
import zipfile
from pathlib import Path

from coursekit.grading.pack import pack
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.stubs import empty_line
from coursekit.lessons.workbook.workbook import ABOUT
from tests.grading.attacks import ATTACKS, FORCE, attack
from tests.lessons.answers import right_answer, wrong_answers

ROOT = Path(__file__).parents[2]
HIDDEN = """
import torch
from coursekit.lessons.exercise import case

# THE-HIDDEN-CANARY
def cases(generator):
    yield case("boxes that only touch", torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[4.0, 0, 8, 4]]))
"""
# After each name: what stands in the cell of an exercise {name}.
CRIMES = """
=== endless_loop
def {name}(*args, **kwargs):
    while True:
        try:
            pass
        except BaseException:
            pass
=== memory_bomb
import torch

def {name}(*args, **kwargs):
    kept = []
    while True:
        kept.append(torch.ones(1 << 26))
=== fork_bomb
import os

def {name}(*args, **kwargs):
    while True:
        try:
            os.fork()
        except OSError:
            pass
=== exits
import os

def {name}(*args, **kwargs):
    os._exit(0)
=== opens_socket
import socket

def {name}(*args, **kwargs):
    socket.create_connection(("127.0.0.1", {port}), 2).send(b"here")
=== reads_hidden
from pathlib import Path

def {name}(*args, **kwargs):
    raise ValueError(Path("{hidden}/box_iou.py").read_text())
=== reads_another
from pathlib import Path

def {name}(*args, **kwargs):
    raise ValueError(sorted(Path("{folder}").iterdir()))
=== writes_outside
from pathlib import Path

def {name}(*args, **kwargs):
    Path("{folder}/../WRITTEN-OUTSIDE").write_text("here")
=== kills_its_parent
import os, signal

def {name}(*args, **kwargs):
    os.kill(os.getppid(), signal.SIGKILL)
=== floods
import os

def {name}(*args, **kwargs):
    for _ in range(200):
        print("x" * 500_000)
        os.write(1, b"x" * 500_000)
    raise ValueError("printed")
=== always_equal
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __getattr__(self, name): return self
    def __call__(self, *args): return self
    def __len__(self): return 1
    def __iter__(self): return iter([self])
    def __bool__(self): return True

def {name}(*args, **kwargs): return Equal()
=== patches_checks
import coursekit.lessons.checking.compare_outcomes as compare, coursekit.lessons.checking.verdict as verdict, torch

def yes(*args, **kwargs): return None
compare.mismatch = compare.difference = yes
verdict.first_problem = verdict.first_wrong = verdict.mismatch = yes
torch.allclose = torch.isclose = torch.equal = lambda *args, **kwargs: True
torch.Tensor.__eq__ = lambda *args: True

def {name}(*args, **kwargs): return torch.zeros(1)
=== forges
import os
from coursekit.lessons.checking.message_bytes import framed, pack

def {name}(*args, **kwargs):
    for handle in range(3, 64):
        try:
            os.write(handle, framed(pack({{"ended": "well", "problem": None, "printed": "forged"}})))
        except OSError:
            pass
    os._exit(0)
"""
CRIMES = dict(part.split("\n", 1) for part in CRIMES.split("=== ")[1:])
TRICKS = {  # each finds a right answer in a way that can't be seen in its code
    "the library": """
import importlib

def box_iou(*args):
    return getattr(importlib.import_module("coursekit." + "detector.boxes"), "box_" + "iou")(*args)
""",
    "the reference of the exercise": """
import importlib

def box_iou(*args):
    return importlib.import_module("coursekit.lessons." + "exercises.box_iou").EXERCISE.reference(*args)
""",
    "a right answer of the exercise": """
import importlib

def box_iou(*args):
    return importlib.import_module("coursekit.lessons." + "exercises.box_iou").EXERCISE.right[0](*args)
""",
    "what an exercise imports": """
import importlib

def box_iou(*args):
    return importlib.import_module("coursekit.lessons." + "exercises.nms").box_iou(*args)
""",
}


def solutions():
    """Exercise → the right code."""
    return {
        name: code
        for path in sorted((ROOT / "solutions").glob("[01]*.ipynb"))
        for name, code in _exercises(json.loads(path.read_text()))
    }


def _exercises(notebook):
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if match := re.match(r"%%exercise (\w+)\n", text):
            yield match[1], text[match.end() :]


def from_exercises(kind, number=0):
    """Exercise → the code of its wrong or right answer of that number."""
    codes = {}
    for name in EXERCISES:
        answers = [right_answer(name)] if kind == "right" else wrong_answers(name)
        codes[name] = answers[number % len(answers)]
    return codes


def workbook(folder, codes, hints=0):
    """Write a folder with my_detector, and a progress file that says how many hints were opened."""
    (folder / "my_detector").mkdir(parents=True)
    (folder / "my_detector" / "__init__.py").write_text(ABOUT)
    for name, code in codes.items():
        (folder / "my_detector" / f"{name}.py").write_text(code)
    records = {name: {"hints": hints, "seen": hints == 3} for name in list(codes)[:5]} if hints else {}
    (folder / "progress.json").write_text(json.dumps({"exercises": records, "version": 1}))
    return folder


def notebooks(folder, change=lambda notebook: notebook, source="solutions"):
    """A folder of notebooks, each changed a little."""
    folder.mkdir(parents=True)
    for path in sorted((ROOT / source).glob("[01]*.ipynb")):
        (folder / path.name).write_text(json.dumps(change(json.loads(path.read_text()))))
    return folder


def crime(kind, folder, hidden, port=9, names=("box_iou",)):
    """Right answers but for those named, which do something bad."""
    places = {"folder": folder, "hidden": hidden, "port": port}
    return solutions() | {name: CRIMES[kind].format(name=name, **places) for name in names}


def make_class(folder, hidden, port=9):
    """Write thirty submissions into `folder`, and a hidden case into `hidden`."""
    hidden.mkdir(parents=True)
    (hidden / "box_iou.py").write_text(HIDDEN)
    right = solutions()
    pack(workbook(folder / "tmp", right), folder / "right_zip.zip")
    shutil.rmtree(folder / "tmp")
    workbook(folder / "right_folder", right, hints=2)
    notebooks(folder / "right_notebooks")
    notebooks(folder / "empty", source="course")
    half = {name: code for name, code in right.items() if EXERCISES[name].lesson < 5}
    workbook(folder / "half_done", half | {"nms": f"def nms(*args):\n    {empty_line('nms')}\n"}, hints=3)
    workbook(folder / "written_differently", from_exercises("right"))
    for number in range(3):
        workbook(folder / f"mistaken_{number}", from_exercises("wrong", number), hints=1)
    shutil.copy(ROOT / "solutions" / "04_anchors.ipynb", folder / "one_notebook.ipynb")
    notebooks(folder / "moved_cells", _shuffled)
    notebooks(folder / "renamed_cells", _renamed)
    notebooks(folder / "deleted_cells", _without(("nms", "FPN", "coco_map")))
    workbook(folder / "borrowed", right | {"nms": "from torchvision.ops import nms\n"})
    workbook(folder / "borrowed_by_trick", right | {"box_iou": TRICKS["the library"]})
    for kind in CRIMES:
        workbook(folder / kind, crime(kind, folder, hidden, port, ("box_iou", "nms", "average_precision")))
    broken = notebooks(folder / "broken_notebook")
    text = (broken / "03_the_fpn.ipynb").read_text()
    (broken / "03_the_fpn.ipynb").write_text(text[: len(text) // 2])
    climbs_out(folder / "climbs_out.zip", right)
    return sorted(path.name for path in folder.iterdir())


def make_hostile_class(folder, seed=0, hostile=20, honest=10):
    """Write a class into `folder`, most of which attacks in three exercises. Return the names of both kinds."""
    kinds = list(ATTACKS) + 2 * list(FORCE)
    chosen, right = random.Random(seed).sample(kinds, 3 * hostile), solutions()
    named = {f"hostile_{number:02}": chosen[3 * number : 3 * number + 3] for number in range(hostile)}
    for name, three in named.items():
        attacks = {
            exercise: attack(kind, exercise)
            for exercise, kind in zip(("box_iou", "nms", "collate"), three, strict=True)
        }
        workbook(folder / name, right | attacks)
    for number in range(honest):
        workbook(folder / f"honest_{number:02}", right)
    return named, [f"honest_{number:02}" for number in range(honest)]


def climbs_out(path, codes):
    """A zip with right answers, and members that lead out of it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, code in codes.items():
            archive.writestr(f"my_detector/{name}.py", code)
        archive.writestr("../../WRITTEN-OUTSIDE.py", "print('out')")
        archive.writestr("/tmp/WRITTEN-OUTSIDE.py", "print('out')")
        link = zipfile.ZipInfo("my_detector/link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")


def _shuffled(notebook):
    random.Random(0).shuffle(notebook["cells"])
    return notebook


def _renamed(notebook):
    """Without the magic and without ids: what a cell defines is all there is to go by."""
    for number, cell in enumerate(notebook["cells"]):
        cell["source"] = re.sub(r"^%%exercise .*\n", "", "".join(cell["source"]))
        cell["id"], cell["metadata"] = f"cell-{number}", {}
    return notebook


def _without(names):
    def change(notebook):
        starts = tuple(f"%%exercise {name}\n" for name in names)
        return notebook | {
            "cells": [cell for cell in notebook["cells"] if not "".join(cell["source"]).startswith(starts)]
        }

    return change
