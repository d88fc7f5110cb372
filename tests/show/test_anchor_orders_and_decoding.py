import sys

import pytest
import torch

from coursekit.detector import box_iou, decode_boxes, encode_boxes, make_anchors, match_anchors
from coursekit.lessons.case_inputs import xyxy
from coursekit.show.anchor_orders_and_decoding import (
    awkward_cases,
    decoded_picture,
    explore_decoding,
    explore_orders,
    guesses_and_matches,
    order_picture,
)

IMAGE = torch.full((3, 64, 96), 128, dtype=torch.uint8)
BOXES = xyxy((20, 20, 44, 44))


@pytest.fixture
def shown(monkeypatch):
    pictures = []
    module = sys.modules["coursekit.show.anchor_orders_and_decoding"]
    monkeypatch.setattr(module, "figure", lambda fig, alt: pictures.append((fig, alt)))
    return pictures


@pytest.fixture(scope="module")
def level():
    """Anchors of a level, and a head that predicts their true IoU, as a map."""
    anchors = make_anchors((4, 6), (16, 16), [16, 24], [0.5, 1.0, 2.0])
    return anchors, box_iou(anchors, BOXES).amax(1).reshape(4, 6, 6).permute(2, 0, 1)


def test_the_guesses_of_a_cell_and_the_matches(shown):
    guesses_and_matches(IMAGE, BOXES, (8, 16, 32), lambda stride: [1.5 * stride, 3 * stride], (1.0, 2.0))
    [(fig, alt)] = shown
    left, right = fig.axes
    assert len(left.patches) == 4
    matched = len(right.patches) - 1
    assert f"where {matched} of 504 guesses match the 1 objects" in alt


def test_only_the_right_order_gives_the_predicted_iou(level):
    titles = [order_picture(IMAGE, BOXES, *level, order)[1] for order in ("H, W, A", "A, H, W", "W, H, A")]
    same = [title.split("predicted ")[1].split(", true ") for title in titles]
    assert same[0][0] == same[0][1].removesuffix(".")
    assert all(predicted != true.removesuffix(".") for predicted, true in same[1:])


def test_the_orders_can_be_explored_and_start_with_a_wrong_one(level):
    widget = explore_orders(IMAGE, BOXES, *level)
    slider, picture = widget.children
    assert (len(slider.options), slider.value) == (6, "A, H, W")
    slider.value = "H, W, A"
    assert "order H, W, A" in picture.value


def test_awkward_cases_with_their_matches(shown, capsys):
    anchors = xyxy((10, 20, 40, 50), (30, 20, 60, 50))
    awkward_cases(
        {"a tie": (anchors, xyxy((20, 20, 50, 50))), "nobody": (anchors, xyxy((60, 60, 70, 70)))}, match_anchors
    )
    [(fig, alt)] = shown
    assert {text.get_text() for text in fig.axes[0].texts} == {"object 0", "0"}
    assert "a tie: [0, 0]; nobody: [-1, -1]" in alt
    assert "a tie: [0, 0]; IoU of each object with the anchors: [0.5, 0.5]" in capsys.readouterr().out


def test_without_a_mistake_decoded_boxes_are_the_objects():
    anchors = xyxy((18, 18, 40, 40), (22, 20, 50, 44))
    boxes = BOXES.repeat(2, 1)
    widget = explore_decoding(IMAGE, anchors, boxes, encode_boxes, decode_boxes)
    slider, picture = widget.children
    assert "decoded: mean IoU 1.00" in picture.value
    slider.value = 1.0
    assert "decoded: mean IoU 1.00" not in picture.value


def test_each_decoded_box_is_compared_with_its_own_object():
    boxes = xyxy((0, 0, 10, 10), (20, 0, 30, 10))
    assert "decoded: mean IoU 0.00" in decoded_picture(IMAGE, boxes, boxes, boxes.flip(0))[1]
