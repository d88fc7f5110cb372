from coursekit.show.loading_rates import loading_rates_picture
from tests.show.pictures import is_drawn


def test_bars_and_the_line_of_what_training_needs(tmp_path):
    fig, alt = loading_rates_picture({"slow": 50, "fast": 2000}, 8)
    axes = fig.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [50, 2000]
    assert axes.lines[0].get_xdata()[0] == 8
    low, high = axes.get_xlim()
    assert low < 8
    assert high > 2000
    assert alt == "Samples per second. slow: 50; fast: 2,000. Training needs 8.0."
    assert is_drawn(fig, tmp_path / "rates.png")
