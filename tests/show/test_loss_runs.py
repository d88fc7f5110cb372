from coursekit.show.loss_runs import at_the_end, loss_runs_picture
from tests.show.pictures import is_drawn


def test_the_alt_text_says_how_high_each_run_gets_and_how_it_ends(tmp_path):
    fig, alt = loss_runs_picture({"0.001": [3.0, 5.5, 1.25], "$0.1": [3.0, 120.0]})
    assert "the highest, and the mean of the last quarter" in alt
    assert "0.001: at most 5.5, 1.25; $0.1: at most 120, 120." in alt
    assert fig.axes[0].get_yscale() == "log"
    assert is_drawn(fig, tmp_path / "runs.png")


def test_the_end_is_the_last_quarter_and_in_a_short_run_the_last_step():
    assert at_the_end([9.0] * 6 + [1.0, 2.0]) == 1.5
    assert at_the_end([9.0, 9.0, 1.0]) == 1.0


def test_each_run_has_a_style_of_its_own():
    fig, _ = loss_runs_picture({str(number): [1.0, 2.0] for number in range(5)})
    assert len({(line.get_color(), line.get_linestyle()) for line in fig.axes[0].lines}) == 5
