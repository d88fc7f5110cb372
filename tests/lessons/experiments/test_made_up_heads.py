import torch

from coursekit.detector import decode_boxes, encode_boxes
from coursekit.lessons.case_inputs import xyxy
from coursekit.lessons.experiments.made_up_heads import flattened_wrongly, perfect_head


def test_a_perfect_head_finds_the_objects_and_nothing_else():
    anchors, boxes = xyxy((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)), xyxy((21, 0, 31, 12))
    logits, deltas = perfect_head(anchors, torch.tensor([-1, 0, -2]), boxes, encode_boxes)
    assert logits.tolist() == [-6, 6, -6]
    torch.testing.assert_close(decode_boxes(deltas, anchors)[1:2], boxes)
    assert not deltas[[0, 2]].any()


def test_maps_that_are_only_flattened_have_the_anchor_first():
    addresses = torch.tensor(
        [111.0, 211, 112, 212, 121, 221, 122, 222, 911, 912]
    )  # anchor, row, column; a level of one cell
    logits, deltas = flattened_wrongly(addresses, addresses[:, None].repeat(1, 4), [8, 2])
    assert logits.tolist() == [111, 112, 121, 122, 211, 212, 221, 222, 911, 912]
    assert deltas[:, 3].tolist() == logits.tolist()
