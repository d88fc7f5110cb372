"""Arithmetic on boxes against torchvision's. On a coarse grid, boxes touch, tie, coincide and have no area."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision import ops
from torchvision.models.detection._utils import BoxCoder

from coursekit.detector import box_iou, decode_boxes, encode_boxes, nms
from coursekit.detector.boxes import clip_boxes, nms_by_group

quick = settings(max_examples=60, deadline=None, derandomize=True)
halves = st.sampled_from([torch.float16, torch.bfloat16])
seeds = st.integers(0, 2**20)
ROI_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


@st.composite
def boxes(draw, max_count=12, min_side=0):
    """Draw (N, 4) xyxy of small whole numbers: x and y in different ranges, some boxes without width or height."""
    box = st.tuples(st.integers(0, 12), st.integers(0, 8), st.integers(min_side, 9), st.integers(min_side, 6))
    rows = [(x, y, x + width, y + height) for x, y, width, height in draw(st.lists(box, max_size=max_count))]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def _random_boxes(count, seed):
    """Return (N, 4) xyxy from 0 to 300 with sides of 10 or more, so that no delta is clamped."""
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(1).values
    return corners.reshape(count, 4) * 290 + torch.tensor([0.0, 0.0, 10.0, 10.0])


# Intersection over union


@quick
@given(boxes(), boxes(), st.sampled_from([1.0, 0.37, 25.0]), st.sampled_from([torch.float32, torch.float64]))
def test_iou_is_torchvisions_and_zero_where_that_is_nan(first, second, scale, dtype):
    first, second = first.to(dtype) * scale, second.to(dtype) * scale
    ours = box_iou(first, second)
    torch.testing.assert_close(ours, ops.box_iou(first, second).nan_to_num(0.0))
    assert ours.dtype == dtype


@quick
@given(boxes(), boxes())
def test_iou_is_symmetric_and_the_same_with_x_and_y_exchanged(first, second):
    iou = box_iou(first, second)
    assert torch.equal(iou, box_iou(second, first).T)
    assert torch.equal(iou, box_iou(first[:, [1, 0, 3, 2]], second[:, [1, 0, 3, 2]]))
    assert ((iou >= 0) & (iou <= 1)).all()


@quick
@given(boxes(min_side=1))
def test_the_iou_of_a_box_with_itself_is_one_and_with_a_box_it_touches_zero(some):
    assert torch.equal(box_iou(some, some).diagonal(), torch.ones(len(some)))
    width, height = (some[:, 2:] - some[:, :2]).T
    for shift in (torch.stack([width, 0 * width] * 2, 1), torch.stack([0 * height, height] * 2, 1)):
        assert not box_iou(some, some + shift).diagonal().any()


def test_a_box_without_area_overlaps_nothing_not_even_itself():
    flat = torch.tensor([[5.0, 5, 5, 9], [5, 5, 9, 5], [5, 5, 5, 5]])
    assert not box_iou(flat, torch.cat([flat, torch.tensor([[0.0, 0, 10, 10]])])).any()


@quick
@given(halves, boxes(), boxes(), st.sampled_from([1.0, 25.0]))
def test_iou_of_half_precision_is_computed_in_float32(half, first, second, scale):
    first, second = (first * scale).to(half), (second * scale).to(half)
    iou = box_iou(first, second)
    assert iou.dtype == torch.float32
    assert torch.equal(iou, box_iou(first.float(), second.float()))


def test_the_iou_of_large_boxes_does_not_overflow_in_float16():
    large = torch.tensor([[0.0, 0, 300, 300], [0, 0, 600, 300]], dtype=torch.float16)
    torch.testing.assert_close(box_iou(large, large), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))


# Clipping


@quick
@given(boxes(), st.integers(1, 15), st.integers(1, 15), st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_clipping_is_torchvisions(some, height, width, dtype):
    moved = (some * 2 - 7).to(dtype)
    assert torch.equal(clip_boxes(moved, (height, width)), ops.clip_boxes_to_image(moved, (height, width)))
    by_class = torch.stack([moved, moved + 3], 1)  # (N, 2, 4)
    assert torch.equal(clip_boxes(by_class, (height, width)), ops.clip_boxes_to_image(by_class, (height, width)))


# Encoding


@quick
@given(st.integers(0, 9), seeds, st.sampled_from([(1.0, 1.0, 1.0, 1.0), ROI_WEIGHTS]))
@example(3, 0, (2.0, 3.0, 5.0, 7.0))
def test_encoding_and_decoding_are_torchvisions(count, seed, weights):
    anchors, gt_boxes, coder = _random_boxes(count, seed), _random_boxes(count, seed + 1), BoxCoder(weights)
    deltas = encode_boxes(gt_boxes, anchors, weights)
    torch.testing.assert_close(deltas, coder.encode_single(gt_boxes, anchors))
    torch.testing.assert_close(decode_boxes(deltas, anchors, weights), coder.decode_single(deltas, anchors))
    torch.testing.assert_close(decode_boxes(deltas, anchors, weights), gt_boxes, rtol=1e-4, atol=1e-3)


@quick
@given(st.integers(0, 6), st.integers(1, 4), seeds)
def test_decoding_a_box_for_each_class_is_torchvisions(count, classes, seed):
    deltas = 3 * torch.randn(count, classes, 4, generator=torch.Generator().manual_seed(seed))
    anchors = _random_boxes(count, seed)
    theirs = BoxCoder(ROI_WEIGHTS).decode_single(deltas.flatten(1), anchors).view(count, classes, 4)
    torch.testing.assert_close(decode_boxes(deltas, anchors[:, None], ROI_WEIGHTS), theirs)


@pytest.mark.parametrize("scale", [5.0, 100.0, 1e6])
def test_the_scale_is_clamped_as_in_torchvision(scale):
    anchors, deltas = torch.tensor([[10.0, 20, 26, 52]]), torch.tensor([[0.0, 0, scale, scale]])
    box = decode_boxes(deltas, anchors)
    torch.testing.assert_close(box, BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(deltas, anchors))
    torch.testing.assert_close(box[:, 2:] - box[:, :2], torch.tensor([[1000.0, 2000.0]]))


@quick
@given(halves, st.integers(0, 9), seeds)
def test_half_precision_is_decoded_in_float32(half, count, seed):
    anchors = _random_boxes(count, seed).to(half)
    deltas = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)).to(half)
    decoded = decode_boxes(deltas, anchors)
    assert decoded.dtype == torch.float32
    assert torch.equal(decoded, decode_boxes(deltas.float(), anchors.float()))


# Non-maximum suppression


@quick
@given(boxes(max_count=20), seeds, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_suppression_is_torchvisions_also_with_ties(some, seed, threshold):
    scores = torch.randint(4, (len(some),), generator=torch.Generator().manual_seed(seed)) / 4
    assert nms(some, scores, threshold).tolist() == ops.nms(some, scores, threshold).tolist()


@quick
@given(st.integers(0, 60), seeds, st.floats(0.05, 0.95))
def test_suppression_is_torchvisions_on_random_boxes(count, seed, threshold):
    some, scores = _random_boxes(count, seed), torch.rand(count, generator=torch.Generator().manual_seed(seed))
    assert nms(some, scores, threshold).tolist() == ops.nms(some, scores, threshold).tolist()


def test_a_dropped_box_suppresses_nothing():
    row = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert nms(row, torch.tensor([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]


def test_the_first_of_identical_boxes_with_equal_scores_is_kept():
    same = torch.tensor([[1.0, 2, 5, 9]]).repeat(5, 1)
    assert nms(same, torch.ones(5), 0.5).tolist() == [0]


@quick
@given(halves, boxes(max_count=20), seeds)
def test_suppression_of_half_precision_is_that_of_float32(half, some, seed):
    scores = torch.randint(4, (len(some),), generator=torch.Generator().manual_seed(seed)).to(half) / 4
    assert torch.equal(nms(some.to(half), scores, 0.5), ops.nms(some, scores.float(), 0.5))


@quick
@given(boxes(max_count=20), st.integers(1, 4), seeds, st.sampled_from([ops.nms, nms]))
def test_suppression_by_group_is_torchvisions(some, groups, seed, suppress):
    generator = torch.Generator().manual_seed(seed)
    group = torch.randint(groups, (len(some),), generator=generator)
    scores = torch.randint(6, (len(some),), generator=generator) / 6
    kept = nms_by_group(some, scores, group, 0.5, suppress)
    assert kept.tolist() == ops.batched_nms(some, scores, group, 0.5).tolist()


def test_suppression_of_many_boxes_by_group_is_torchvisions():
    many = _random_boxes(1500, 0)  # from 1,000 boxes on, torchvision goes group by group
    generator = torch.Generator().manual_seed(0)
    groups, scores = torch.randint(5, (1500,), generator=generator), torch.rand(1500, generator=generator)
    assert torch.equal(nms_by_group(many, scores, groups, 0.5, ops.nms), ops.batched_nms(many, scores, groups, 0.5))


def test_suppression_of_no_boxes_returns_no_positions():
    no_boxes, groups = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    for kept in (nms(no_boxes, torch.zeros(0), 0.5), nms_by_group(no_boxes, torch.zeros(0), groups, 0.5, ops.nms)):
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64
