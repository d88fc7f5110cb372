import torch

from coursekit.data import load
from coursekit.detector.one_stage import assign_cells
from coursekit.lessons.experiments.cells_of_objects import cells_of, objects_without_a_cell
from coursekit.lessons.notebooks.short_form import short_form


def test_cells_come_level_by_level_with_their_strides_and_limits():
    points, strides, ranges = cells_of((30, 40), (8, 16, 32))
    assert points[:2].tolist() == [[0, 0], [8, 0]]
    assert [int((strides == stride).sum()) for stride in (8, 16, 32)] == [4 * 5, 2 * 3, 1 * 2]
    assert ranges[[0, 20, 26]].tolist() == [[0, 32], [32, 64], [64, float("inf")]]


def test_objects_are_counted_by_size(coco_folder, capsys):
    dataset = load(coco_folder, "train")
    objects = sum(len(dataset.target(i)["boxes"]) for i in range(len(dataset)))
    objects_without_a_cell(dataset, assign_cells, (8, 16, 32), 7)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["small", "medium", "large"]
    assert sum(int(line.split()[1]) for line in lines[:3]) == objects
    assert lines[3].endswith("of 1,000 have no cell; you guessed 7")
    assert lines[4:] == [short_form().rstrip()] * bool(short_form())
    objects_without_a_cell(dataset, lambda points, *_: torch.full((len(points),), -1), (8, 16, 32), 7)
    assert "1000 of 1,000 have no cell" in capsys.readouterr().out
