import numpy as np

from coursekit.show.average_precision import curves_by_iou_picture, filled_curve_picture
from tests.show.pictures import is_drawn


def test_the_filled_curve_is_drawn_beside_the_raw_one(tmp_path):
    precision, recall = np.array([1, 0.5, 1 / 3, 0.5]), np.array([0.5, 0.5, 0.5, 1])
    fig, alt = filled_curve_picture(precision, recall, [1.0] * 51 + [0.5] * 50)
    ticks, raw = fig.axes[0].lines
    assert len(ticks.get_xdata()) == 101
    assert ticks.get_ydata()[50] == 1
    assert ticks.get_ydata()[51] == 0.5
    assert raw.get_ydata().tolist() == precision.tolist()
    assert {text.get_text() for text in fig.axes[0].texts} == {"1", "2", "3", "4"}
    assert "0.33 at recall 0.50" in alt
    assert is_drawn(fig, tmp_path / "filled.png")


def test_each_threshold_has_a_line_of_its_own_style():
    curve = np.array([1.0, 0.5]), np.array([0.5, 0.5])
    fig, alt = curves_by_iou_picture({0.5: (*curve, 0.6), 0.75: (*curve, 0.2), 0.9: (*curve, 0.0)}, "dog")
    lines = fig.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 3
    assert [line.get_label() for line in lines] == ["0.50: AP 0.60", "0.75: AP 0.20", "0.90: AP 0.00"]
    assert "AP 0.20 at IoU 0.75" in alt
