import pytest

from coursekit.evaluation.compare import Comparison, Difference
from coursekit.show.changes import changes_picture, paired_changes_picture
from tests.show.pictures import is_drawn

UP, NONE = Difference(0.2, 0.3, 0.05, 0.15), Difference(0.2, 0.2, -0.02, 0.02)


def test_each_comparison_has_a_row_with_two_intervals(tmp_path):
    fig, alt = changes_picture({"longer": Comparison(20, UP, NONE), "another seed": Comparison(20, NONE, NONE)})
    axes = fig.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["longer", "another seed"]
    intervals = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert [0.05, 0.15] in [list(ends) for ends in intervals]
    assert "longer: AP +0.100, the interval is above 0" in alt
    assert "another seed: AP +0.000, the interval holds 0" in alt
    assert is_drawn(fig, tmp_path / "changes.png")


def test_pairs_are_joined_and_their_differences_drawn():
    fig, alt = paired_changes_picture([0.3, 0.1], [0.32, 0.13], (0.01, 0.04), 0.05, "a stricter NMS")
    left, right = fig.axes
    assert [list(line.get_ydata()) for line in left.lines] == [[0.3, 0.32], [0.1, 0.13]]
    assert list(right.lines[0].get_xdata()) == pytest.approx([0.02, 0.03])
    assert [label.get_text() for label in right.get_yticklabels()] == ["seed 0", "seed 1", "mean"]
    assert "+0.020, +0.030; mean +0.025" in alt
