from coursekit.show.accuracies import accuracies_picture
from tests.show.pictures import is_drawn


def test_curves_levels_and_guessing(tmp_path):
    curves = {"pretrained": [(10, 0.5), (20, 0.8)], "random": [(10, 0.1), (20, 0.2)]}
    fig, alt = accuracies_picture(curves, {"pretrained": 0.7, "random": 0.4}, 1 / 16, "steps")
    assert alt == (
        "Accuracy by step. pretrained: 80% if all is trained, 70% if frozen; random: 20% if all is trained, 40% if "
        "frozen; guessing 6%."
    )
    lines = fig.axes[0].lines
    assert [list(line.get_ydata()) for line in lines] == [[0.5, 0.8], [0.7, 0.7], [0.1, 0.2], [0.4, 0.4], [1 / 16] * 2]
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 4  # told apart without color
    assert is_drawn(fig, tmp_path / "accuracies.png")
