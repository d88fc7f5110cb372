import pytest

from coursekit.lessons.experiments.learning_rates import compare_runs
from coursekit.show.loss_curves import loss_runs_picture


def test_each_run_gets_a_line_and_one_that_stops_says_why(capsys):
    def train(rate, warmup):
        if rate > 1:
            raise FloatingPointError("the loss is nan")
        return [4.0, 9.0, 8.0, rate]

    histories = compare_runs(train, {"0.5": (0.5, 0), "2": (2.0, 3)}, {"0.5": 7.0})
    assert list(histories) == ["0.5"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["0.5", "4.00", "9.00", "7.00", "0.50"]
    assert lines[2].split() == ["2", "stopped:", "the", "loss", "is", "nan"]


def test_the_table_and_the_figure_say_the_same(capsys):
    histories = compare_runs(lambda *losses: list(losses), {"a": (4.0, 9.0, 8.0, 2.5)}, {})
    _, alt = loss_runs_picture(histories)
    row = capsys.readouterr().out.splitlines()[1].split()
    assert f"{row[0]}: at most {float(row[2]):g}, {float(row[-1]):g}" in alt


def test_another_error_is_not_hidden():
    with pytest.raises(ValueError, match="no"):
        compare_runs(lambda: int("no"), {"a": ()}, {})
