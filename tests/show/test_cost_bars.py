from coursekit.show.cost_bars import cost_bars_picture
from tests.show.pictures import all_texts, is_drawn


def test_a_guess_is_hatched_and_the_hours_are_written_beside_the_bars(tmp_path):
    fig, alt = cost_bars_picture({"your guess": 10.0, "measured": 1234.5})
    guess, measured = fig.axes[0].patches
    assert (bool(guess.get_hatch()), bool(measured.get_hatch())) == (True, False)
    assert {"10.0", "1,234.5"} <= all_texts(fig.axes[0])
    assert "measured: 1,234.5" in alt
    assert is_drawn(fig, tmp_path / "cost.png")
