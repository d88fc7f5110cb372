from dataclasses import replace

import numpy as np
import pytest

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.evaluation import precision_curve
from coursekit.from_scratch.average_precision import average_precision
from coursekit.show.average_precision import (
    ap50_area_picture,
    class_bars_picture,
    curves_by_iou_picture,
    filled_curve_picture,
    measured_curve,
)
from tests.show.pictures import all_texts, is_drawn


def _box(x, score, image_id=7, category_id=18):
    return {"image_id": image_id, "category_id": category_id, "bbox": [x, 5, 20, 10], "score": score}


@pytest.fixture
def dataset(coco_folder):
    return load(coco_folder, "val")  # a dog at (4, 5, 20, 10), two persons and a crowd


def test_the_measured_curve_is_the_one_that_coco_reads(dataset):
    results = [_box(40, 0.9), _box(4, 0.8), _box(4, 0.7)]
    label = dataset.classes.index("dog") + 1
    precision, recall = measured_curve(results, dataset, label)
    assert (precision.tolist(), recall.tolist()) == ([0, 1 / 2, 1 / 3], [0, 1, 1])
    assert average_precision(precision, recall) == pytest.approx(np.mean(precision_curve(results, dataset, label)))


def test_the_area_is_ap50(dataset, tmp_path):
    fig, alt = ap50_area_picture([_box(40, 0.9), _box(4, 0.8)], dataset, "dog")
    assert alt == "Precision by recall for dog: it ends at a recall of 1.00; the area below is 0.50."
    labels = [text.get_text() for text in fig.legends[0].get_texts()]
    assert labels == ["area: AP50 = 0.50", "as COCO reads it", "as measured"]
    assert is_drawn(fig, tmp_path / "area.png")


def test_without_detections_the_area_is_0(dataset):
    assert "the area below is 0.00" in ap50_area_picture([], dataset, "dog")[1]


def test_a_class_that_is_not_there(dataset):
    with pytest.raises(ConfigError, match="no class 'zebra' here. Choose one of: person, dog"):
        ap50_area_picture([], dataset, "zebra")
    without_dogs = replace(dataset, rows=dataset.rows[1:])
    with pytest.raises(ConfigError, match="no dog, so there's no curve"):
        ap50_area_picture([], without_dogs, "dog")


def test_bars_are_sorted_and_say_which_class_has_no_ground_truth(tmp_path):
    fig, alt = class_bars_picture({"dog": 0.5, "airplane": -1, "$cat$": 0.25}, "AP50")
    assert alt == "Bars, lowest first: airplane no ground truth here, $cat$ 0.25, dog 0.50."
    axes = fig.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0, 0.25, 0.5]
    assert all_texts(axes) == {"no ground truth here", "0.25", "0.50"}
    assert axes.lines[0].get_xdata()[0] == pytest.approx(0.375)
    assert is_drawn(fig, tmp_path / "bars.png")


def test_the_filled_curve_is_drawn_beside_the_raw_one(tmp_path):
    precision, recall = np.array([1, 0.5, 1 / 3, 0.5]), np.array([0.5, 0.5, 0.5, 1])
    fig, alt = filled_curve_picture(precision, recall, [1.0] * 51 + [0.5] * 50)
    ticks, raw = fig.axes[0].lines
    assert len(ticks.get_xdata()) == 101
    assert ticks.get_ydata()[50] == 1
    assert ticks.get_ydata()[51] == 0.5
    assert raw.get_ydata().tolist() == precision.tolist()
    assert {text.get_text() for text in fig.axes[0].texts} == {"1", "2", "3", "4"}
    assert "0.33 at recall 0.50" in alt
    assert is_drawn(fig, tmp_path / "filled.png")


def test_each_threshold_has_a_line_of_its_own_style():
    curve = np.array([1.0, 0.5]), np.array([0.5, 0.5])
    fig, alt = curves_by_iou_picture({0.5: (*curve, 0.6), 0.75: (*curve, 0.2), 0.9: (*curve, 0.0)}, "dog")
    lines = fig.axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 3
    assert [line.get_label() for line in lines] == ["0.50: AP 0.60", "0.75: AP 0.20", "0.90: AP 0.00"]
    assert "AP 0.20 at IoU 0.75" in alt
