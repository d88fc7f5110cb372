import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_convert

from coursekit.data.boxes import flip_with_boxes, xywh_to_xyxy, xyxy_to_xywh

shapes = st.sampled_from([(4,), (0, 4), (1, 4), (7, 4), (2, 3, 4)])


@given(shapes, st.integers(0, 100))
def test_conversions_equal_torchvisions(shape, seed):
    boxes = 100 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(xywh_to_xyxy(boxes), box_convert(boxes, "xywh", "xyxy"))
    torch.testing.assert_close(xyxy_to_xywh(boxes), box_convert(boxes, "xyxy", "xywh"))


def test_integers_stay_integers():
    assert xywh_to_xyxy(torch.tensor([1, 2, 3, 4])).tolist() == [1, 2, 4, 6]


def test_flipped_box_contains_the_same_pixels():
    image = torch.arange(2 * 6 * 9).reshape(2, 6, 9)
    flipped, boxes = flip_with_boxes(image, torch.tensor([[1.0, 2.0, 4.0, 5.0]]))
    x1, y1, x2, y2 = boxes[0].int().tolist()
    assert torch.equal(flipped[:, y1:y2, x1:x2].flip(-1), image[:, 2:5, 1:4])


def test_flipping_twice_changes_nothing():
    image, boxes = torch.rand(3, 5, 8), torch.tensor([[0.0, 1.0, 8.0, 2.0], [3.0, 0.0, 4.0, 5.0]])
    again, same = flip_with_boxes(*flip_with_boxes(image, boxes))
    assert torch.equal(again, image)
    assert torch.equal(same, boxes)
