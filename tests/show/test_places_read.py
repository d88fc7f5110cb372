import torch

from coursekit.show.places_read import places_picture, sliding_box_picture

BOXES = [torch.tensor([[0.0, 0, 20, 20], [100, 0, 140, 40]]), torch.tensor([[200.0, 0, 260, 40]])]
RIGHT = torch.tensor([[8.0, 0, 10, 10], [16, 0, 20, 120], [16, 1, 20, 230]])  # stride, image, y, x


def test_patches_of_another_place_are_counted():
    fig, alt = places_picture(BOXES, {"right": RIGHT, "wrong": RIGHT[[1, 0, 2]]})
    assert "right: 0 of 3 patches were read somewhere else; wrong: 2 of 3 patches were read somewhere else" in alt
    first, second = fig.axes
    assert [list(line.get_ydata()) for line in first.lines] == [[10], [120, 230]]
    assert [list(line.get_ydata()) for line in second.lines] == [[10], [120, 230]]
    assert [list(line.get_xdata()) for line in second.lines] == [[120], [10, 230]]


def test_strides_differ_in_more_than_color():
    fig, _ = places_picture(BOXES, {"right": RIGHT})
    assert len({line.get_marker() for line in fig.axes[0].lines}) == 2


def test_a_sliding_box_and_how_far_off_each_way_is():
    asked = torch.tensor([10.0, 12, 14])
    fig, alt = sliding_box_picture(asked, {"exact": asked, "rounded": torch.tensor([8.0, 8, 16])})
    assert "exact: at most 0.0 pixels off; rounded: at most 4.0 pixels off" in alt
    assert len({line.get_linestyle() for line in fig.axes[0].lines}) == 2
