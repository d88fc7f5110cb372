import pytest

from coursekit.show.step_times import step_times_picture
from tests.show.pictures import is_drawn


def test_phases_are_drawn_one_after_the_other(tmp_path):
    fig, alt = step_times_picture({"fast": {"data": 0.5, "compute": 1.0}, "slow": {"data": 3.0, "compute": 1.0}})
    ends = [bar.get_x() + bar.get_width() for bar in fig.axes[0].patches]
    assert ends == pytest.approx([0.5, 3.0, 1.5, 4.0])
    assert "slow: data 3.00, compute 1.00" in alt
    assert is_drawn(fig, tmp_path / "times.png")
