import numpy as np
import pytest

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.evaluation import split_errors, to_coco_results
from coursekit.evaluation.error_analysis import KINDS, ErrorReport, Kind
from coursekit.lessons.experiments.lesson07_run import stand_in
from coursekit.show import error_pictures
from coursekit.show.error_pictures import confusion_picture, error_bars
from tests.show.pictures import all_texts, is_drawn


def _report(costs):
    return ErrorReport(0.5, {name: Kind(7, cost) for name, cost in zip(KINDS, costs, strict=True)})


def test_bars_are_named_and_sorted_by_cost(tmp_path):
    fig = error_bars(_report([0.1, 0.3, 0.05, 0, 0.2, 0.01]))
    axes = fig.axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == sorted([0.1, 0.3, 0.05, 0, 0.2, 0.01])
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "localization"  # the costliest on top
    assert "0.300   7 ×" in all_texts(axes)
    assert len({bar.get_hatch() for bar in axes.patches}) == 6  # not by color alone
    assert axes.get_xlabel()
    assert is_drawn(fig, tmp_path / "bars.png")
    assert is_drawn(error_bars(_report([0] * 6)), tmp_path / "none.png")


def test_a_small_matrix_has_its_counts_written_out(tmp_path):
    matrix = np.array([[5, 2, 1], [0, 4, 0], [3, 0, 0]])
    fig = confusion_picture(matrix, ["cat", "dog"])
    axes = fig.axes[0]
    assert {(t.get_position(), t.get_text()) for t in axes.texts} == {
        ((0, 0), "5"), ((1, 0), "2"), ((2, 0), "1"), ((1, 1), "4"), ((0, 2), "3"),
    }  # fmt: skip
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "ground truth")
    assert np.allclose(axes.images[0].get_array(), [[5 / 8, 2 / 8, 1 / 8], [0, 1, 0], [1, 0, 0]])
    assert matrix[2].tolist() == [3, 0, 0]  # not changed
    assert is_drawn(fig, tmp_path / "matrix.png")


@pytest.mark.slow
def test_of_a_large_matrix_the_worst_confusions_are_named(tmp_path):
    names = [f"class {n}" for n in range(80)]
    matrix = np.diag([50] * 80 + [0])
    for n in range(20):
        matrix[n, 79 - n] = n + 1
    fig = confusion_picture(matrix, names)
    texts = all_texts(fig.axes[0])
    assert len(texts) == 10
    assert "class 19 → class 60: 20" in texts
    assert "class 9 → class 70: 10" not in texts
    assert len(fig.axes[0].get_yticklabels()) == 81
    assert is_drawn(fig, tmp_path / "matrix.png")


def test_an_empty_matrixis_drawn(tmp_path):
    assert is_drawn(confusion_picture(np.zeros((3, 3), np.int64), ["cat", "dog"]), tmp_path / "empty.png")


def test_a_matrix_and_names_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"2 classes need \(3, 3\)"):
        confusion_picture(np.zeros((2, 2), np.int64), ["cat", "dog"])


@pytest.fixture(scope="module")
def detected():
    dataset = load("mini", "val").head(8)
    return to_coco_results(stand_in(dataset), dataset.image_ids, dataset.category_ids), dataset


def test_costs_and_confusions_have_words_for_those_who_do_not_see_them(detected, tmp_path):
    report = split_errors(*detected)
    fig, alt = error_pictures.error_costs_picture(report)
    assert f"missed {report.kinds['missed'].cost:.3f}" in alt
    assert is_drawn(fig, tmp_path / "costs.png")
    _, alt = error_pictures.confusions_picture(*detected, threshold=0.3)
    assert " as " in alt
    _, alt = error_pictures.confusions_picture(*detected, threshold=1.0)
    assert alt == "Which classes are confused: none."


def test_the_worst_images_are_named(detected, capsys):
    error_pictures.worst_images(*detected, 2, 0.3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("image 5") for line in lines)
    error_pictures.worst_images([], detected[1], 2, 0.3)
    assert capsys.readouterr().out == "No image has an error at this threshold.\n"
