import json
import pickle
import sys

import pytest
import torch

from coursekit.data import load
from coursekit.data.boxes import resize_with_boxes
from coursekit.from_scratch.loader import CocoDataset, collate
from coursekit.lessons.checking.verdict import check
from coursekit.lessons.experiments.loader_speed import (
    Portable,
    Resized,
    longer_steps,
    samples_per_second,
    store,
)
from coursekit.lessons.workbook.workbook import importable
from tests.lessons.answers import right_answer


@pytest.fixture
def stored(tmp_path):
    """Six images of 24 × 32 pixels."""
    folder = tmp_path / "small"
    store(Resized(load("mini", "train"), 32, resize_with_boxes), 6, folder)
    return folder


def _opened(folder):
    return CocoDataset(folder / "annotations" / "instances_train2017.json", folder / "train2017")


def test_stored_images_are_a_coco_folder_with_the_same_boxes(stored, capsys):
    before, after = load("mini", "train"), load(stored, "train")
    assert (len(after), after.classes) == (6, before.classes)
    for index in range(6):
        image, target = after[index]
        old_image, old_target = before[index]
        scale = max(image.shape) / max(old_image.shape)
        assert max(image.shape) == 32
        torch.testing.assert_close(target["boxes"], old_target["boxes"] * scale, rtol=0, atol=0.6)
        assert target["labels"].tolist() == old_target["labels"].tolist()


def test_the_size_of_the_files_is_printed(tmp_path, capsys):
    store(Resized(load("mini", "train"), 32, resize_with_boxes), 2, tmp_path / "tiny")
    assert capsys.readouterr().out.startswith("tiny: 2 files of ")
    content = json.loads((tmp_path / "tiny" / "annotations" / "instances_train2017.json").read_text())
    assert len(content["images"]) == 2


def test_what_travels_needs_its_workbook_where_it_arrives(workbook, monkeypatch):
    workbook.store("collate", right_answer("collate"))
    check(workbook, "collate")
    with importable(workbook):
        from my_detector import collate as mine

        packed = pickle.dumps(Portable(mine, workbook))
    assert mine.__module__ == "my_detector.collate"
    finders = [finder for finder in sys.meta_path if type(finder).__name__ != "_Finder"]
    monkeypatch.setattr(sys, "meta_path", finders)  # a new process, which knows of no workbook
    for name in [name for name in sys.modules if name.split(".")[0] == "my_detector"]:
        monkeypatch.delitem(sys.modules, name)
    assert pickle.loads(packed).__module__ == "my_detector.collate"


@pytest.mark.slow
@pytest.mark.parametrize("start_method", ["spawn"])
def test_workers_read_your_own_data_set_also_where_they_are_spawned(workbook, stored, start_method, capsys):
    for name in ("CocoDataset", "collate"):
        workbook.store(name, right_answer(name))
        check(workbook, name)
    with importable(workbook):
        from my_detector import CocoDataset as Mine
        from my_detector import collate as mine

        dataset = Mine(stored / "annotations" / "instances_train2017.json", stored / "train2017")
        assert type(dataset).__module__ == "my_detector.CocoDataset"
        rates = samples_per_second({"two workers": (dataset, 2)}, mine, workbook, start_method)
    assert rates["two workers"] > 0
    assert f"workers: {start_method}" in capsys.readouterr().out


def test_loaders_are_measured_with_and_without_the_course_s_own(workbook, stored, capsys):
    ways = {"plain": (_opened(stored), 0), "the course's": (load(stored, "train"), 0)}
    rates = samples_per_second(ways, collate, workbook)
    table = capsys.readouterr().out
    assert list(rates) == list(ways)
    assert all(f"{rate:,.0f}" in table for rate in rates.values())


def test_the_share_of_a_step_that_loading_takes(capsys):
    longer_steps({"slow": 20, "fast": 2000}, 10)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["50.0%", "0.5%"]
