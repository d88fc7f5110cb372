import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_convert
from torchvision.transforms.v2 import functional as v2

from coursekit.data.boxes import clean_boxes, flip_with_boxes, resize_with_boxes, xywh_to_xyxy, xyxy_to_xywh

SIZE = (100, 200)  # height, width
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


def test_boxes_are_clipped_to_the_image():
    boxes = [[-5, 10, 30, 40], [10, -5, 30, 40], [180, 10, 250, 40], [10, 80, 30, 140], [20, 20, 60, 61]]
    clipped = [[0, 10, 30, 40], [10, 0, 30, 40], [180, 10, 200, 40], [10, 80, 30, 100], [20, 20, 60, 61]]
    clean, keep = clean_boxes(torch.tensor(boxes).float(), SIZE)
    assert clean.tolist() == clipped
    assert keep.tolist() == [True] * 5


@pytest.mark.parametrize(
    "box",
    [
        [50.0, 10, 50, 40], [50, 10, 60, 10],  # no width, no height
        [60, 10, 50, 40], [50, 40, 60, 10],  # exchanged corners
        [-30, 10, -5, 40], [-30, 10, 0, 40], [200, 10, 230, 40],  # left and right of the image
        [10, -30, 40, 0], [10, 100, 40, 130],  # above and below it
        [float("nan"), 10, 60, 40], [50, 10, float("inf"), 40], [50, -float("inf"), 60, 40],
    ],
)  # fmt: skip
def test_unusable_boxes_are_left_out_and_the_others_keep_their_order(box):
    first, last = [1.0, 2, 3, 4], [5.0, 6, 7, 8]
    clean, keep = clean_boxes(torch.tensor([first, box, last]), SIZE)
    assert clean.tolist() == [first, last]
    assert keep.tolist() == [True, False, True]


def test_boxes_thinner_than_a_pixel_are_kept():
    thin = [[10, 10, 10.25, 40], [0, 10, 0.25, 40], [199.75, 10, 200, 40], [10, 99.75, 40, 100]]
    assert clean_boxes(torch.tensor(thin), SIZE)[0].tolist() == thin


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_image_and_boxes_are_resized_by_the_same_two_factors(dtype):
    image = torch.randint(0, 256, (3, 100, 200), generator=torch.Generator().manual_seed(0)).to(dtype)
    resized, boxes = resize_with_boxes(image, torch.tensor([[20.0, 10, 40, 30]]), (25, 100))
    assert boxes.tolist() == [[10, 2.5, 20, 7.5]]
    assert resized.dtype == dtype
    torch.testing.assert_close(resized, v2.resize(image, [25, 100], antialias=True))
