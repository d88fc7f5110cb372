import numpy as np
import pytest

from coursekit.core.errors import ConfigError
from coursekit.show.precision_recall import MAX_CURVES, precision_recall_curves
from tests.show.pictures import is_drawn


def test_at_most_eight_curves_stand_out_and_they_differ_in_more_than_color(tmp_path):
    curves = {f"class {n}": np.linspace(1, n / 20, 101).tolist() for n in range(20)} | {"absent": [-1.0] * 101}
    fig = precision_recall_curves(curves)
    bold = [line for line in fig.axes[0].lines if line.get_linewidth() > 1]
    assert len(bold) == MAX_CURVES
    assert len(fig.axes[0].lines) == 20
    assert len({line.get_marker() for line in bold}) == MAX_CURVES
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert any(label.startswith("class 19 ") for label in labels)
    assert any(label.startswith("class 0 ") for label in labels)
    assert "12 more" in labels
    assert not any("absent" in label for label in labels)
    assert is_drawn(fig, tmp_path / "curves.png")


def test_a_curve_ends_at_the_last_recall():
    lines = precision_recall_curves({"cat": [0.8] * 41 + [0.0] * 60, "dog": [0.0] * 101}).axes[0].lines
    ends = {line.get_label().split()[0]: line.get_xdata().max(initial=0) for line in lines}
    assert ends == {"cat": pytest.approx(0.4), "dog": 0}


def test_no_curve_at_all_is_refused():
    with pytest.raises(ConfigError, match="no curve to draw"):
        precision_recall_curves({"absent": [-1.0] * 101})
