from coursekit.show.loss_runs import loss_runs_picture
from tests.show.pictures import is_drawn


def test_the_alt_text_says_how_high_each_run_gets_and_how_it_ends(tmp_path):
    fig, alt = loss_runs_picture({"0.001": [3.0, 5.5, 1.25], "$0.1": [3.0, 120.0]})
    assert "0.001: at most 5.5, 1.25 at the end" in alt
    assert "$0.1: at most 120, 120 at the end" in alt
    assert fig.axes[0].get_yscale() == "log"
    assert is_drawn(fig, tmp_path / "runs.png")


def test_each_run_has_a_style_of_its_own():
    fig, _ = loss_runs_picture({str(number): [1.0, 2.0] for number in range(5)})
    assert len({(line.get_color(), line.get_linestyle()) for line in fig.axes[0].lines}) == 5
