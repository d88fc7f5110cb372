import pytest
import torch

from coursekit.detector import axis_weights
from coursekit.show.tents import axis_weights_picture, explore_axis_weights, unread


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
