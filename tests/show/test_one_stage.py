import pytest
import torch

from coursekit.detector.one_stage import assign_cells, centerness, focal_loss
from coursekit.lessons.experiments.cells_of_objects import cells_of
from coursekit.show.one_stage import cells_to_objects_picture, centerness_map_picture, focal_shapes_picture
from tests.show.pictures import all_texts, is_drawn


def test_each_cell_shows_the_number_of_its_object(tmp_path):
    image, boxes = torch.zeros(3, 64, 96, dtype=torch.uint8), torch.tensor([[4.0, 4, 28, 28], [20.0, 5, 90, 60]])
    points, strides, ranges = cells_of((64, 96), (8, 16, 32))
    matches = assign_cells(points, strides, ranges, boxes)
    fig, alt = cells_to_objects_picture(image, points, strides, matches, boxes)
    assert len(fig.axes) == 3
    assert all({"0", "1"} >= all_texts(axes) for axes in fig.axes)
    for axes, stride in zip(fig.axes, (8, 16, 32), strict=True):
        answering = int((matches[strides == stride] >= 0).sum())
        assert len(axes.texts) == answering + len(boxes)  # each box has its number, too
        assert f"stride {stride}: {answering} of" in alt
        tags = [text for text in axes.texts if text.get_va() == "top"]
        assert all(x1 <= tag.get_position()[0] < x2 for tag, (x1, _, x2, _) in zip(tags, boxes.tolist(), strict=True))
        assert all(y1 <= tag.get_position()[1] < y2 for tag, (_, y1, _, y2) in zip(tags, boxes.tolist(), strict=True))
    assert is_drawn(fig, tmp_path / "cells.png")


def test_an_image_without_objects(tmp_path):
    points, strides, _ = cells_of((32, 32), (8, 16))
    nothing = torch.full_like(strides, -1).long()
    fig, alt = cells_to_objects_picture(
        torch.zeros(3, 32, 32, dtype=torch.uint8), points, strides, nothing, torch.zeros(0, 4)
    )
    assert "for the objects (none)" in alt
    assert is_drawn(fig, tmp_path / "cells.png")


@pytest.mark.parametrize("size", [(96, 48), (40, 120)])
def test_centerness_is_1_in_the_center_and_0_58_a_quarter_in(size, tmp_path):
    fig, alt = centerness_map_picture(centerness, *size)
    assert "1.00 in the center, 0.58 a quarter" in alt
    assert "a quarter: 0.58" in all_texts(fig.axes[1])
    assert is_drawn(fig, tmp_path / "centerness.png")


def test_a_larger_gamma_makes_easy_answers_cheaper(tmp_path):
    fig, alt = focal_shapes_picture(focal_loss, (0, 2))
    linear, log = fig.axes
    assert (linear.get_yscale(), log.get_yscale()) == ("linear", "log")
    plain, focal = (line.get_ydata() for line in linear.get_lines())
    assert (focal < plain).all()
    assert len({line.get_linestyle() for line in linear.get_lines()}) == 2
    assert "0.11 for γ = 0, 0.0011 for γ = 2" in alt
    assert is_drawn(fig, tmp_path / "focal.png")
