"""Names from data in plots: matplotlib would read `$…$` as a formula, which can also be broken."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from coursekit.data.info import Summary
from coursekit.show.boxes import draw_boxes
from coursekit.show.data_picture import data_picture
from coursekit.show.error_pictures import confusion_picture
from coursekit.show.figures import as_html, plain_text
from coursekit.show.precision_recall import curve_picture, precision_recall_curves

NAMES = ["$x^2$", r"$\frac{$", "$", "$$", r"a\$b$c$", "_hidden", "a\nb", "[red]"]


def _summary():
    counts = [(name, 3, 2) for name in NAMES]
    return Summary("train", 2, 0, 0, counts, np.array([1, 2]), np.array([20.0, 30.0, 40.0]))


def _boxes():
    fig = Figure()
    boxes = torch.tensor([[1.0, 1.0, 9.0, 9.0]] * len(NAMES))
    draw_boxes(fig.subplots(), torch.zeros(3, 12, 12, dtype=torch.uint8), boxes, NAMES, title="$x^2$")
    return fig


def _many_classes():
    count = 30
    return confusion_picture(np.ones((count + 1, count + 1), np.int64), (NAMES * 5)[:count])


FIGURES = {
    "boxes": _boxes,
    "data": lambda: data_picture([_summary()]),
    "confusion": lambda: confusion_picture(np.ones((len(NAMES) + 1,) * 2, np.int64), NAMES),
    "many classes": _many_classes,
    "curves": lambda: precision_recall_curves({name: np.linspace(1, 0.5, 101).tolist() for name in NAMES}),
    "curve": lambda: curve_picture(np.array([0.9, 0.4]), np.array([True, False]), 2, 0.5, title=r"$\frac{$")[0],
}


@pytest.mark.parametrize("kind", FIGURES)
def test_names_are_drawn_as_they_are(kind, monkeypatch):
    parsed = []
    monkeypatch.setattr("matplotlib.mathtext.MathTextParser.parse", lambda self, text, *_, **__: parsed.append(text))
    as_html(FIGURES[kind](), "")
    assert parsed == []


@pytest.mark.parametrize("name", ["$x^2$", "$", r"a\$b$c$", "plain", "[red]"])
def test_matplotlib_shows_the_name_itself(name):
    text = Figure().text(0, 0, plain_text(name))
    assert text._preprocess_math(text.get_text()) == (name, False)


def test_a_class_that_starts_with_an_underscore_is_in_the_legend():
    fig = precision_recall_curves({"_hidden": [1.0] * 101, "cat": [0.5] * 101})
    labels = [text.get_text().split()[0] for text in fig.axes[0].get_legend().get_texts()]
    assert labels == ["_hidden", "cat"]
