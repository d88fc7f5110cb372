from types import SimpleNamespace

from coursekit.show.trained_classifiers import accuracies_picture, heads_picture
from tests.show.pictures import is_drawn


def test_losses_and_accuracies_of_each_head():
    trained = {
        "right": SimpleNamespace(losses=[3.0, 2, 1] * 4, accuracy=0.7),
        "wrong": SimpleNamespace(losses=[3.0] * 12, accuracy=0.1),
    }
    fig, alt = heads_picture(trained)
    left, right = fig.axes
    assert "right: loss 1.88 at the end, 70% of new objects named correctly" in alt
    assert [bar.get_height() for bar in right.patches] == [0.7, 0.1]
    assert list(left.lines[0].get_xdata()) == [8, 9, 10, 11, 12]  # each mean is drawn at its last step
    assert len({line.get_linestyle() for line in left.lines}) == 2


def test_a_training_of_one_step_has_a_picture():
    fig, _ = heads_picture({"short": SimpleNamespace(losses=[2.5], accuracy=0.0)})
    assert list(fig.axes[0].lines[0].get_ydata()) == [2.5]


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
