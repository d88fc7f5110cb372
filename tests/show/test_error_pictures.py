import numpy as np
import pytest
from PIL import Image

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.evaluation.errors import KINDS, ErrorReport, Kind
from coursekit.show import save
from coursekit.show.error_pictures import MOST_CURVES, confusion_picture, curves_picture, error_bars, gallery


def _report(costs):
    return ErrorReport(0.5, {name: Kind(7, cost) for name, cost in zip(KINDS, costs, strict=True)})


def _all_texts(axes):
    return {text.get_text() for text in axes.texts}


def _draws(fig, path):
    save(fig, path)
    return np.asarray(Image.open(path).convert("RGB")).std() > 10


def test_bars_are_named_and_stand_by_cost(tmp_path):
    fig = error_bars(_report([0.1, 0.3, 0.05, 0, 0.2, 0.01]))
    axes = fig.axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == sorted([0.1, 0.3, 0.05, 0, 0.2, 0.01])
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "place"  # the dearest on top
    assert "0.300   7 ×" in _all_texts(axes)
    assert len({bar.get_hatch() for bar in axes.patches}) == 6  # colour alone says nothing
    assert axes.get_xlabel()
    assert _draws(fig, tmp_path / "bars.png")
    assert _draws(error_bars(_report([0] * 6)), tmp_path / "none.png")


def test_a_small_matrix_has_its_counts_written_out(tmp_path):
    matrix = np.array([[5, 2, 1], [0, 4, 0], [3, 0, 0]])
    fig = confusion_picture(matrix, ["cat", "dog"])
    axes = fig.axes[0]
    assert {(t.get_position(), t.get_text()) for t in axes.texts} == {
        ((0, 0), "5"), ((1, 0), "2"), ((2, 0), "1"), ((1, 1), "4"), ((0, 2), "3"),
    }  # fmt: skip
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("found as", "truth")
    assert np.allclose(axes.images[0].get_array(), [[5 / 8, 2 / 8, 1 / 8], [0, 1, 0], [1, 0, 0]])
    assert matrix[2].tolist() == [3, 0, 0]  # left as it was
    assert _draws(fig, tmp_path / "matrix.png")


def test_of_a_large_matrix_the_worst_confusions_are_named(tmp_path):
    names = [f"class {n}" for n in range(80)]
    matrix = np.diag([50] * 80 + [0])
    for n in range(20):
        matrix[n, 79 - n] = n + 1
    fig = confusion_picture(matrix, names)
    texts = _all_texts(fig.axes[0])
    assert len(texts) == 10
    assert "class 19 → class 60: 20" in texts
    assert "class 9 → class 70: 10" not in texts
    assert len(fig.axes[0].get_yticklabels()) == 81
    assert _draws(fig, tmp_path / "matrix.png")


def test_an_empty_matrix_draws(tmp_path):
    assert _draws(confusion_picture(np.zeros((3, 3), np.int64), ["cat", "dog"]), tmp_path / "empty.png")


def test_a_matrix_and_names_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"\(3, 3\) is needed"):
        confusion_picture(np.zeros((2, 2), np.int64), ["cat", "dog"])


def test_at_most_eight_curves_stand_out_and_they_differ_in_more_than_colour(tmp_path):
    curves = {f"class {n}": np.linspace(1, n / 20, 101).tolist() for n in range(20)} | {"absent": [-1.0] * 101}
    fig = curves_picture(curves)
    bold = [line for line in fig.axes[0].lines if line.get_linewidth() > 1]
    assert len(bold) == MOST_CURVES
    assert len(fig.axes[0].lines) == 20
    assert len({line.get_marker() for line in bold}) == MOST_CURVES
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert any(label.startswith("class 19 ") for label in labels)
    assert any(label.startswith("class 0 ") for label in labels)
    assert "12 more" in labels
    assert not any("absent" in label for label in labels)
    assert _draws(fig, tmp_path / "curves.png")


def test_a_curve_ends_where_recall_ends():
    lines = curves_picture({"cat": [0.8] * 41 + [0.0] * 60, "dog": [0.0] * 101}).axes[0].lines
    ends = {line.get_label().split()[0]: line.get_xdata().max(initial=0) for line in lines}
    assert ends == {"cat": pytest.approx(0.4), "dog": 0}


def test_no_curve_at_all_is_refused():
    with pytest.raises(ConfigError, match="no curve"):
        curves_picture({"absent": [-1.0] * 101})


def test_the_gallery_shows_each_image_with_its_own_boxes(coco_folder, tmp_path):
    dataset = load(coco_folder, "train")
    results = [
        {"image_id": 7, "category_id": 18, "bbox": [4.0, 5, 20, 10], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [4.0, 5, 20, 10], "score": 0.3},
    ]
    fig = gallery(dataset, results, [17, 7])
    assert [axes.get_title() for axes in fig.axes[::2]] == ["image 17: truth", "image 7: truth"]
    assert [_all_texts(axes) for axes in fig.axes[1::2]] == [set(), {"dog 0.90"}]
    box = fig.axes[3].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (4, 5, 20, 10)
    assert _draws(fig, tmp_path / "gallery.png")


def test_the_gallery_refuses_images_that_are_not_there(coco_folder):
    dataset = load(coco_folder, "val")
    with pytest.raises(ConfigError, match="image 99 is not in"):
        gallery(dataset, [], [99])
    with pytest.raises(ConfigError, match="no image to show"):
        gallery(dataset, [], [])
