import pytest
import torch

from coursekit.detector import axis_weights
from coursekit.show.roi_align import (
    axis_weights_picture,
    explore_axis_weights,
    patches_picture,
    places_picture,
    sliding_box_picture,
    unread,
)

BOXES = [torch.tensor([[0.0, 0, 20, 20], [100, 0, 140, 40]]), torch.tensor([[200.0, 0, 260, 40]])]
RIGHT = torch.tensor([[8.0, 0, 10, 10], [16, 0, 20, 120], [16, 1, 20, 230]])  # stride, image, y, x
IMAGE = torch.zeros(3, 60, 80, dtype=torch.uint8)
OBJECTS = torch.tensor([[0.0, 0, 20, 20], [40, 30, 60, 50]])


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


@pytest.mark.parametrize(("left", "right", "count"), [(2, 16, 0), (2, 36, 5), (2.0, 2.5, 0), (50, 60, 0), (-4, 3, 0)])
def test_cells_between_the_tents_are_never_read(left, right, count):
    weights = axis_weights(torch.tensor([float(left)]), torch.tensor([float(right)]), 40)[0]
    assert unread(weights, left, right) == count


def test_one_sampling_point_per_bin_leaves_more_cells_unread():
    words = [axis_weights_picture(axis_weights, 40, 2.0, 34.0, ratio)[1] for ratio in (1, 2, 3)]
    counts = [int(text.split(": ")[1].split()[0]) for text in words]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_the_picture_shows_the_weights_and_both_edges():
    fig, alt = axis_weights_picture(axis_weights, 12, 1.0, 5.0, 2)
    axes = fig.axes[0]
    assert axes.images[0].get_array().shape == (7, 12)
    assert [line.get_xdata()[0] for line in axes.lines] == [1.0, 6.0]
    assert alt.startswith("Weights of 7 bins over 12 cells. Box from 1 to 6")


def test_your_own_function_is_explored():
    asked = []

    def mine(lo, hi, *rest):
        asked.append((lo.item(), hi.item(), *rest))
        return axis_weights(lo, hi, *rest)

    explore_axis_weights(mine, size=40)
    assert set(asked) == {(2.0, 36.0, 40, 7, 2)}


def test_each_box_has_a_patch_of_each_size():
    IMAGE[:, 30:50, 40:60] = 200  # the second box is bright
    fig, alt = patches_picture(IMAGE, OBJECTS, ["dog", "$cat$"], (14, 7))
    _, *squares = fig.axes
    shapes = [axes.images[0].get_array().shape for axes in squares]
    assert shapes == [(14, 14, 3), (14, 14, 3), (7, 7, 3), (7, 7, 3)]
    assert [axes.images[0].get_array().mean() > 0.3 for axes in squares] == [False, True, False, True]
    assert squares[0].get_title() == "A: dog\n14 × 14"
    assert squares[3].get_title() == "7 × 7"
    assert alt == "A scene with 2 boxes (dog, $cat$); the content of each as a square of 14 × 14 and of 7 × 7."
