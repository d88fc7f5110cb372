from types import SimpleNamespace

from coursekit.show.heads import heads_picture


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
