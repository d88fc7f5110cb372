"""Anchors, their matches and samples of them, against torchvision's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from coursekit.detector import anchors as anchors_module
from coursekit.detector import make_anchors, match_anchors, sample_balanced

quick = settings(max_examples=60, deadline=None, derandomize=True)
seeds = st.integers(0, 2**20)
BACKGROUND, IGNORED = -1, -2


@st.composite
def boxes(draw, max_count=8, min_side=0):
    """Draw (N, 4) xyxy of small whole numbers: x and y in different ranges, some boxes without width or height."""
    box = st.tuples(st.integers(0, 12), st.integers(0, 8), st.integers(min_side, 9), st.integers(min_side, 6))
    rows = [(x, y, x + width, y + height) for x, y, width, height in draw(st.lists(box, max_size=max_count))]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def _random_boxes(count, seed, extent=100.0):
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)).sort(1).values
    return corners.reshape(count, 4) * extent + torch.tensor([0.0, 0.0, 1.0, 1.0])


# Making


@quick
@given(
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 7)), min_size=1, max_size=4),
    st.tuples(st.integers(7, 300), st.integers(7, 300)),
    st.lists(st.floats(4, 500), min_size=1, max_size=3),
    st.lists(st.floats(0.1, 8), min_size=1, max_size=3),
)
def test_anchors_are_torchvisions_on_every_level(grids, image, sizes, ratios):
    sizes = [[size * 2**level for size in sizes] for level in range(len(grids))]
    generator = AnchorGenerator(tuple(map(tuple, sizes)), (tuple(ratios),) * len(grids))
    features = [torch.zeros(1, 2, *grid) for grid in grids]
    theirs = generator(ImageList(torch.zeros(1, 3, *image), [image]), features)[0]
    strides = [(image[0] // grid[0], image[1] // grid[1]) for grid in grids]  # usually not square
    ours = [make_anchors(*level, ratios) for level in zip(grids, strides, sizes, strict=True)]
    assert all(torch.isfinite(level).all() and level.dtype == torch.float32 for level in ours)
    assert torch.equal(torch.cat(ours), theirs)


def test_a_ratio_is_height_over_width_and_an_area_is_the_size_squared():
    tall = make_anchors((1, 1), (8, 8), [40], [4.0])[0]
    assert tall.tolist() == [-10.0, -40.0, 10.0, 40.0]


def test_anchors_come_row_by_row_then_ratio_by_ratio_then_size_by_size():
    anchors = make_anchors((2, 3), (10, 20), [16, 32], [0.25, 1.0, 4.0]).view(2, 3, 3, 2, 4)
    centers, sides = (anchors[..., :2] + anchors[..., 2:]) / 2, anchors[..., 2:] - anchors[..., :2]
    assert centers[:, :, 0, 0, 0].tolist() == [[0, 20, 40]] * 2
    assert centers[:, :, 0, 0, 1].tolist() == [[0, 0, 0], [10, 10, 10]]
    assert sides[1, 2, :, :, 1].tolist() == [[8, 16], [16, 32], [32, 64]]


# Matching


def _their_matches(anchors, gt_boxes, fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches):
    """Return torchvision's matches, without boxes that overlap no anchor: to those it would give all anchors."""
    iou = box_iou(gt_boxes, anchors).nan_to_num(0.0)
    overlapped = torch.where(iou.amax(1) > 0)[0]
    if not len(overlapped):
        return torch.full((len(anchors),), BACKGROUND)
    matches = Matcher(fg_iou_thresh, bg_iou_thresh, allow_low_quality_matches=allow_low_quality_matches)(
        iou[overlapped]
    )
    return torch.where(matches >= 0, overlapped[matches.clamp(min=0)], matches)


@pytest.mark.slow
@settings(quick, max_examples=150)
@given(
    boxes(max_count=25).filter(len),
    boxes(),
    st.sampled_from([(0.7, 0.3), (0.5, 0.5), (0.5, 0.25), (0.9, 0.1)]),
    st.booleans(),
    st.booleans(),
)
def test_matches_are_torchvisions_with_and_without_ties(
    anchors, gt_boxes, thresholds, allow_low_quality_matches, twins
):
    anchors, gt_boxes = _with_twins(anchors, gt_boxes) if twins else (anchors, gt_boxes)
    expected = _their_matches(anchors, gt_boxes, *thresholds, allow_low_quality_matches)
    assert torch.equal(match_anchors(anchors, gt_boxes, *thresholds, allow_low_quality_matches), expected)


def _with_twins(anchors, gt_boxes):
    """Return each box twice, and once more as an anchor, so that boxes tie."""
    return torch.cat([anchors, gt_boxes]), torch.cat([gt_boxes, gt_boxes.flip(0)])


@quick
@given(st.integers(1, 200), st.integers(0, 12), seeds, st.booleans())
def test_matches_are_torchvisions_on_random_boxes(count, gt_count, seed, allow_low_quality_matches):
    anchors, gt_boxes = _random_boxes(count, seed), _random_boxes(gt_count, seed + 1)
    assert torch.equal(
        match_anchors(anchors, gt_boxes, allow_low_quality_matches=allow_low_quality_matches),
        _their_matches(anchors, gt_boxes, 0.7, 0.3, allow_low_quality_matches),
    )


@pytest.mark.parametrize(("max_pairs", "chunk"), [(1, 1), (10, 1), (20, 2), (29, 2), (1000, 7)])
def test_no_more_pairs_are_compared_at_once_than_the_limit(monkeypatch, max_pairs, chunk):
    chunks = []

    def record(boxes, anchors):
        chunks.append(len(boxes))
        return box_iou(boxes, anchors)

    monkeypatch.setattr(anchors_module, "MAX_PAIRS", max_pairs)
    match_anchors(_random_boxes(10, 0), _random_boxes(7, 1), box_iou=record)
    assert max(chunks) == chunk  # at least one box
    assert sum(chunks) == 7


@pytest.mark.parametrize("boxes", [torch.zeros(0, 4), torch.tensor([[0.0, 0, 4, 4]])])
def test_without_anchors_there_are_no_matches(boxes):
    matches = match_anchors(torch.zeros(0, 4), boxes)
    assert matches.shape == (0,)
    assert matches.dtype == torch.int64


def test_without_boxes_everything_is_background():
    anchors = _random_boxes(7, 0)
    assert match_anchors(anchors, torch.zeros(0, 4)).tolist() == [BACKGROUND] * 7
    assert match_anchors(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_an_anchor_between_the_thresholds_is_ignored_and_the_thresholds_are_inclusive():
    gt_boxes = torch.tensor([[0.0, 0, 8, 8]])
    widths = torch.tensor([8.0, 6, 5, 4, 2, 1])  # IoU 1, 3/4, 5/8, 1/2, 1/4, 1/8
    anchors = torch.stack([0 * widths, 0 * widths, widths, 0 * widths + 8], 1)
    expected = [0, 0, IGNORED, IGNORED, IGNORED, BACKGROUND]
    assert match_anchors(anchors, gt_boxes, fg_iou_thresh=0.75, bg_iou_thresh=0.25).tolist() == expected


def test_an_anchor_that_overlaps_two_boxes_equally_goes_to_the_first():
    gt_boxes = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 10, 10]])
    anchors = torch.tensor([[5.0, 0, 15, 10], [0, 0, 10, 10], [10, 0, 20, 10]])
    assert match_anchors(anchors, gt_boxes, fg_iou_thresh=0.3).tolist() == [0, 0, 1]


def test_low_quality_matches_are_all_anchors_that_tie_and_can_be_switched_off():
    gt_boxes = torch.tensor([[10.0, 10, 20, 20]])
    # IoU: 1/3 three times, then 1/9
    anchors = torch.tensor([[5.0, 10, 15, 20], [15, 10, 25, 20], [10, 5, 20, 15], [18, 10, 28, 20]])
    assert match_anchors(anchors, gt_boxes).tolist() == [0, 0, 0, BACKGROUND]
    assert match_anchors(anchors, gt_boxes, allow_low_quality_matches=False).tolist() == [IGNORED] * 3 + [BACKGROUND]


def test_a_low_quality_match_goes_to_the_box_that_the_anchor_overlaps_most():
    gt_boxes = torch.tensor([[0.0, 0, 10, 10], [8, 0, 20, 10]])
    anchors = torch.tensor([[1.0, 0, 11, 10]])  # the best anchor of both boxes, closer to the first
    assert match_anchors(anchors, gt_boxes).tolist() == [0]


def test_a_box_without_overlap_gets_no_anchor():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 30, 30]])
    apart = torch.tensor([[50.0, 50, 60, 60], [30, 0, 40, 10], [4, 4, 4, 4]])  # far away, touching, without area
    assert match_anchors(anchors, apart).tolist() == [BACKGROUND, BACKGROUND]
    assert match_anchors(anchors, torch.cat([apart, anchors[1:]])).tolist() == [BACKGROUND, 3]


@quick
@given(boxes(max_count=25).filter(len), boxes(max_count=20), st.integers(1, 150), st.booleans())
def test_matching_in_chunks_changes_nothing(anchors, gt_boxes, pairs, allow_low_quality_matches):
    anchors, gt_boxes = _with_twins(anchors, gt_boxes)
    expected = match_anchors(anchors, gt_boxes, 0.5, 0.25, allow_low_quality_matches)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anchors_module, "MAX_PAIRS", pairs)
        assert torch.equal(match_anchors(anchors, gt_boxes, 0.5, 0.25, allow_low_quality_matches), expected)


@quick
@given(st.sampled_from([torch.float16, torch.bfloat16]), boxes(max_count=25).filter(len), boxes())
def test_matches_of_half_precision_are_those_of_float32(half, anchors, gt_boxes):
    expected = match_anchors(anchors, gt_boxes, 0.5, 0.25)
    assert torch.equal(match_anchors(anchors.to(half), gt_boxes, 0.5, 0.25), expected)
    assert torch.equal(match_anchors(anchors.to(half), gt_boxes.to(half), 0.5, 0.25), expected)


@pytest.mark.slow
def test_a_crowd_does_not_fill_the_memory():
    anchors, gt_boxes = _random_boxes(270_000, 0), _random_boxes(200, 1)  # 216 MB for their IoU alone
    assert _peak_megabytes(lambda: match_anchors(anchors, gt_boxes)) < 60


def _peak_megabytes(function):
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = torch.tensor([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return allocated.cumsum(0).max().item() / 1e6


def test_the_peak_memory_is_what_exists_at_the_same_time():
    def three_then_one():
        tensors = [torch.zeros(1_000_000) for _ in range(3)]
        del tensors
        return torch.zeros(1_000_000)

    assert 11.9 < _peak_megabytes(three_then_one) < 12.2


# Sampling


@quick
@given(st.lists(st.integers(-2, 3), max_size=60), st.integers(1, 40), st.floats(0, 1), seeds)
def test_samples_are_torchvisions(matches, count, fraction, seed):
    matches = torch.tensor(matches, dtype=torch.int64)
    torch.manual_seed(seed)
    ours = sample_balanced(matches, count, fraction)
    torch.manual_seed(seed)
    labels = torch.where(matches == IGNORED, -1, (matches >= 0).long())
    theirs = BalancedPositiveNegativeSampler(count, fraction)([labels])
    for positions, (mask,) in zip(ours, theirs, strict=True):
        assert positions.sort().values.tolist() == torch.where(mask)[0].tolist()
        assert positions.dtype == torch.int64


def test_samples_are_random_and_each_candidate_is_drawn_sometimes():
    torch.manual_seed(0)
    matches = torch.tensor([0, 4, BACKGROUND, IGNORED, 1, BACKGROUND, 2, BACKGROUND])
    draws = [sample_balanced(matches, 4, 0.5) for _ in range(100)]
    assert {int(position) for positives, _ in draws for position in positives} == {0, 1, 4, 6}
    assert {int(position) for _, negatives in draws for position in negatives} == {2, 5, 7}


def test_samples_are_drawn_from_the_generator_given():
    matches = torch.tensor([0, BACKGROUND] * 50)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    drawn = [sample_balanced(matches, 20, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.cat(drawn[0]), torch.cat(drawn[1]))
    assert not torch.equal(torch.cat(drawn[0]), torch.cat(drawn[2]))


def test_negatives_fill_the_batch_if_there_are_few_positives():
    torch.manual_seed(0)
    matches = torch.tensor([0] + [BACKGROUND] * 50)
    positives, negatives = sample_balanced(matches, 20, 0.5)
    assert (len(positives), len(negatives)) == (1, 19)
