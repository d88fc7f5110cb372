"""The second stage against torchvision's: levels, RoIAlign, the head, samples, losses and detections."""

from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision import ops
from torchvision.models.detection import roi_heads
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops.poolers import LevelMapper

from coursekit.detector import (
    BoxHead,
    axis_weights,
    detection_losses,
    encode_boxes,
    level_for_box,
    nms,
    pool_levels,
    postprocess,
    roi,
    roi_align,
    sample_rois,
)

quick = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**20)
halves = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
SIZE = (90, 130)
WEIGHTS = (10.0, 10.0, 5.0, 5.0)
STRIDES = [8, 16, 32]


def _heads(count=64, fraction=0.25, score_thresh=0.05, nms_thresh=0.5, detections_per_img=100):
    """Return torchvision's RoIHeads, without modules: only its arithmetic is used."""
    modules = nn.Identity(), nn.Identity(), nn.Identity()
    limits = score_thresh, nms_thresh, detections_per_img
    return roi_heads.RoIHeads(*modules, 0.5, 0.5, count, fraction, None, *limits)


def _boxes(count, generator, extent=80.0, min_side=5.0, dtype=torch.float32):
    corners = torch.rand(count, 2, 2, generator=generator, dtype=dtype).sort(1).values
    return corners.reshape(count, 4) * extent + torch.tensor([0.0, 0.0, min_side, min_side], dtype=dtype)


# Levels


@quick
@given(st.integers(0, 30), seeds, st.sampled_from([64, 224]), st.sampled_from([(3, 5), (2, 5), (4, 4)]))
def test_levels_are_torchvisions(count, seed, canonical, levels):
    generator = torch.Generator().manual_seed(seed)
    sides = torch.rand(count, 2, generator=generator).mul(8).exp2() * canonical / 16
    limits = torch.randint(-3, 4, (count, 1), generator=generator).exp2().expand(-1, 2) * canonical
    corners = 100 * torch.rand(
        2 * count, 2, generator=generator
    )  # added, they make a side a little longer or shorter by rounding
    boxes = torch.cat([corners, corners + torch.cat([sides, limits])], 1)
    expected = LevelMapper(*levels, canonical_scale=canonical)([boxes]) + levels[0]
    assert torch.equal(level_for_box(boxes, *levels, canonical), expected)


def test_a_box_at_the_limit_is_on_the_coarser_level_and_a_box_without_area_on_the_finest():
    sides = torch.tensor(
        [[0.0, 9], [31.9, 31.9], [32, 32], [63.9, 63.9], [64, 64], [127.9, 127.9], [128, 128], [999, 999]]
    )
    boxes = torch.cat([torch.zeros(8, 2), sides], 1)
    levels = level_for_box(boxes, 3, 5)
    assert levels.tolist() == [3, 3, 3, 3, 4, 4, 5, 5]
    assert torch.equal(levels, LevelMapper(3, 5, canonical_scale=64)([boxes]) + 3)
    assert level_for_box(boxes, 2, 6).tolist() == [2, 2, 3, 3, 4, 4, 5, 6]


# RoIAlign


@st.composite
def maps_and_boxes(draw, dtype=torch.float64, bins_and_samples=((7, 2), (1, 1), (3, 4), (14, 2))):
    """Draw a map, boxes in cells (inside, across an edge or outside), and numbers of bins and samples."""
    generator = torch.Generator().manual_seed(draw(seeds))
    height, width, channels = draw(st.integers(1, 9)), draw(st.integers(1, 13)), draw(st.integers(1, 3))
    features = torch.randn(channels, height, width, generator=generator, dtype=dtype)
    boxes = _boxes(draw(st.integers(0, 6)), generator, 24, 0, dtype) - 6
    inside = [
        (x, y, x + across, y + down)  # on halves of cells, some without width or height
        for x, y, across, down in draw(
            st.lists(st.tuples(*(st.integers(0, 2 * side - 2) for side in (width, height, width, height))), max_size=4)
        )
        if x + across < 2 * width - 1 and y + down < 2 * height - 1
    ]
    grid = torch.tensor(inside, dtype=dtype).reshape(-1, 4) / 2
    bins, samples = draw(st.sampled_from(bins_and_samples))
    return features, torch.cat([boxes, grid]), bins, samples


@settings(quick, max_examples=100)
@given(maps_and_boxes(), st.sampled_from([1.0, 1 / 8, 1 / 16]))
def test_roi_align_and_its_gradient_are_torchvisions(inputs, scale):
    features, cells, bins, samples = inputs
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    patches = roi_align(ours, cells / scale, scale, bins, samples)
    expected = ops.roi_align(theirs[None], [cells / scale], bins, scale, samples)
    torch.testing.assert_close(patches, expected, rtol=0, atol=1e-10)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(expected.shape, generator=generator, dtype=expected.dtype)
    for output in (patches, expected):
        (output * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-10)


@quick
@given(maps_and_boxes(torch.float32, [(7, 2), (5, 3)]))
def test_roi_align_in_float32_is_torchvisions(inputs):
    features, cells, bins, samples = inputs
    expected = ops.roi_align(features[None], [cells * 8], bins, 1 / 8, samples)
    torch.testing.assert_close(roi_align(features, cells * 8, 1 / 8, bins, samples), expected, rtol=2e-4, atol=2e-4)


def test_a_patch_of_a_ramp_is_a_ramp_with_the_same_slopes():
    down, across = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    patch = roi_align(torch.stack([across, down]), torch.tensor([[32.0, 16, 88, 72]]), 1 / 8)[0]
    centers = torch.arange(7) + 0.5  # seven bins of one cell each
    torch.testing.assert_close(patch[0], (4 + centers).expand(7, 7))
    torch.testing.assert_close(patch[1], (2 + centers)[:, None].expand(7, 7))


def test_the_gradient_of_roi_align_matches_finite_differences():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    boxes = _boxes(3, generator, 60, 3, torch.float64) - 6
    assert torch.autograd.gradcheck(lambda x: roi_align(x, boxes, 1 / 8, 3, 2), features)


@halves
def test_roi_align_keeps_half_precision_and_is_close_to_float32(half):
    generator = torch.Generator().manual_seed(0)
    features, boxes = torch.rand(4, 30, 40, generator=generator), _boxes(20, generator, 200)
    patches = roi_align(features.to(half), boxes, 1 / 8)
    assert patches.dtype == half
    torch.testing.assert_close(patches.float(), roi_align(features, boxes, 1 / 8), rtol=0, atol=0.02)


@halves
def test_torchvisions_roi_align_under_autocast_is_as_close_to_float32(half):
    generator = torch.Generator().manual_seed(0)
    features, boxes = torch.rand(4, 75, 75, generator=generator), _boxes(50, generator, 80) + 450
    expected = roi_align(features, boxes, 1 / 8)
    with torch.autocast("cpu", half):
        twin, ours = (align(features.to(half), boxes, 1 / 8) for align in (roi.torchvision_roi_align, roi_align))
    assert twin.dtype == ours.dtype == half
    assert (twin - expected).norm() < 2 * (ours - expected).norm()


@quick
@given(st.integers(0, 8), st.integers(1, 30), seeds)
def test_weights_along_an_axis_sum_to_one_if_all_samples_are_on_the_map(count, size, seed):
    edges = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)).sort(1).values * (size - 1)
    lo, hi = edges.T
    weights = axis_weights(lo, hi.clamp(max=size), size)
    assert weights.shape == (count, 7, size)
    assert ((weights >= 0) & (weights <= 1)).all()
    torch.testing.assert_close(weights.sum(2), torch.ones(count, 7))


def test_a_sample_just_outside_reads_the_border_and_a_sample_further_out_reads_zero():
    lo, hi = torch.tensor([-1.4]), torch.tensor([0.6])  # samples at -1.15, -0.65, -0.15 and 0.35
    weights = axis_weights(lo, hi, 3, output_size=2, sampling_ratio=2)
    torch.testing.assert_close(weights[0], torch.tensor([[0.5, 0, 0], [0.5 + 0.65 / 2, 0.35 / 2, 0]]))


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(("side", "separable"), [(8, True), (39, True), (65, False)])
def test_the_faster_roi_align_is_chosen_by_the_size_of_the_map(monkeypatch, grad, side, separable):
    calls = []
    for name in ("roi_align", "torchvision_roi_align"):
        original = getattr(roi, name)
        monkeypatch.setattr(roi, name, lambda *a, name=name, f=original, **k: (calls.append(name), f(*a, **k))[1])
    generator = torch.Generator().manual_seed(0)
    features, boxes = torch.randn(3, side, side, generator=generator), _boxes(5, generator, 4 * side)
    with torch.set_grad_enabled(grad):
        patches = roi.fastest_roi_align(features, boxes, 1 / 8)
    assert calls == ["roi_align" if separable else "torchvision_roi_align"]
    torch.testing.assert_close(patches, ops.roi_align(features[None], [boxes], 7, 1 / 8, 2), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("cells", "grad", "separable"),
    [
        ((32, 48), True, True), ((32, 48), False, True), ((32, 49), True, True), ((32, 49), False, False),
        ((64, 64), True, True), ((64, 65), True, False),
    ],
)  # fmt: skip
def test_without_gradients_torchvisions_kernel_is_faster_on_smaller_maps_already(monkeypatch, cells, grad, separable):
    calls = []
    for name in ("roi_align", "torchvision_roi_align"):
        monkeypatch.setattr(roi, name, lambda *_, name=name: calls.append(name))
    with torch.set_grad_enabled(grad):
        roi.fastest_roi_align(torch.zeros(2, *cells), torch.zeros(1, 4), 1 / 8)
    assert calls == ["roi_align" if separable else "torchvision_roi_align"]


# Levels and RoIAlign together


@quick
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.sampled_from([32, 64, 96]),
    st.sampled_from([32, 160]),
    st.sampled_from([64, 224]),
    seeds,
)
def test_patches_from_all_levels_are_torchvisions(counts, height, width, canonical, seed):
    generator = torch.Generator().manual_seed(seed)
    levels = [
        torch.randn(len(counts), 2, height // s, width // s, generator=generator, dtype=torch.float64) for s in STRIDES
    ]
    boxes = [_boxes(count, generator, 200, 2, torch.float64) for count in counts]
    pooler = ops.MultiScaleRoIAlign(["0", "1", "2"], 7, 2, canonical_scale=canonical)
    named = OrderedDict((str(n), level) for n, level in enumerate(levels))
    expected = pooler(named, boxes, [(height, width)] * len(counts))
    torch.testing.assert_close(pool_levels(levels, STRIDES, boxes, canonical), expected, rtol=0, atol=1e-10)


@halves
def test_patches_keep_half_precision(half):
    generator = torch.Generator().manual_seed(0)
    levels = [torch.rand(2, 2, 64 // s, 96 // s, generator=generator) for s in STRIDES]
    boxes = [_boxes(9, generator), torch.zeros(0, 4)]
    patches = pool_levels([level.to(half) for level in levels], STRIDES, boxes)
    assert patches.dtype == half
    torch.testing.assert_close(patches.float(), pool_levels(levels, STRIDES, boxes), rtol=0, atol=0.02)


def test_without_boxes_there_are_no_patches_and_no_gradient():
    levels = [torch.randn(2, 3, 64 // s, 64 // s, requires_grad=True) for s in STRIDES]
    patches = pool_levels(levels, STRIDES, [torch.zeros(0, 4)] * 2)
    assert patches.shape == (0, 3, 7, 7)
    patches.sum().backward()
    assert not levels[0].grad.any()


# The head


@quick
@given(st.integers(0, 5), st.integers(1, 4), seeds)
def test_the_head_is_torchvisions_with_the_same_weights(count, classes, seed):
    torch.manual_seed(seed)
    ours, hidden, predictor = BoxHead(3, classes, 8), TwoMLPHead(3 * 49, 8), FastRCNNPredictor(8, classes + 1)
    sources = hidden.fc6, hidden.fc7, predictor.cls_score, predictor.bbox_pred
    for layer, source in zip((ours.first, ours.second, ours.classes, ours.deltas), sources, strict=True):
        layer.load_state_dict(source.state_dict())
    patches = torch.randn(count, 3, 7, 7)
    logits, deltas = ours(patches)
    expected = predictor(hidden(patches))
    torch.testing.assert_close(logits, expected[0])
    assert deltas.shape == (count, classes + 1, 4)
    torch.testing.assert_close(deltas.flatten(1), expected[1])


# Sampling


@quick
@given(st.integers(0, 60), st.integers(0, 5), st.sampled_from([(64, 0.25), (8, 0.5)]), seeds)
def test_samples_are_torchvisions(count, gt_count, numbers, seed):
    generator = torch.Generator().manual_seed(seed)
    gt_boxes, labels = _boxes(gt_count, generator), torch.randint(1, 5, (gt_count,), generator=generator)
    near = gt_boxes.repeat(3, 1) + 4 * torch.rand(3 * gt_count, 4, generator=generator)
    proposals = torch.cat([_boxes(count, generator), near])
    torch.manual_seed(seed)
    rois, target_labels, target_boxes = sample_rois(proposals, gt_boxes, labels, *numbers)
    torch.manual_seed(seed)
    targets = [{"boxes": gt_boxes, "labels": labels}]
    their_rois, _, their_labels, deltas = _heads(*numbers).select_training_samples([proposals], targets)
    ours = _rows(rois, target_labels, encode_boxes(target_boxes, rois, WEIGHTS))
    torch.testing.assert_close(ours, _rows(their_rois[0], their_labels[0], deltas[0]))
    assert target_boxes.shape == rois.shape


def _rows(rois, labels, deltas):
    """Return sorted rows, because torchvision's order differs. Deltas of background mean nothing: they become 0."""
    deltas = torch.where(labels[:, None] > 0, deltas, 0.0)
    return torch.tensor(sorted(torch.cat([rois, labels[:, None], deltas], 1).tolist())).reshape(-1, 9)


def test_the_ground_truth_is_among_the_samples_even_without_proposals():
    gt_boxes, labels = torch.tensor([[1.0, 2, 30, 40], [50, 5, 60, 80]]), torch.tensor([3, 1])
    rois, target_labels, target_boxes = sample_rois(torch.zeros(0, 4), gt_boxes, labels)
    assert torch.equal(rois, target_boxes)
    assert sorted(zip(rois.tolist(), target_labels.tolist(), strict=True)) == [
        ([1.0, 2, 30, 40], 3),
        ([50.0, 5, 60, 80], 1),
    ]


def test_samples_are_drawn_from_the_generator_given():
    generator = torch.Generator().manual_seed(0)
    inputs = _boxes(80, generator), _boxes(3, generator), torch.tensor([1, 2, 3])
    drawn = [sample_rois(*inputs, 16, generator=torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_the_samples_of_an_image_without_objects_are_background():
    no_objects = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    proposals = _boxes(5, torch.Generator().manual_seed(0))
    rois, labels, target_boxes = sample_rois(proposals, *no_objects)
    assert sorted(rois.tolist()) == sorted(proposals.tolist())
    assert labels.tolist() == [0] * 5
    assert labels.dtype == torch.int64
    assert target_boxes.shape == (5, 4)
    assert [len(values) for values in sample_rois(torch.zeros(0, 4), *no_objects)] == [0, 0, 0]


# Losses


@quick
@given(st.integers(1, 30), st.integers(1, 4), seeds)
def test_losses_and_their_gradients_are_torchvisions(count, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    rois, boxes = _boxes(count, generator), _boxes(count, generator)
    labels = torch.randint(classes + 1, (count,), generator=generator)
    logits = torch.randn(count, classes + 1, generator=generator)
    deltas = torch.randn(count, classes + 1, 4, generator=generator)
    ours, theirs = [(logits.clone().requires_grad_(), deltas.clone().requires_grad_()) for _ in range(2)]
    losses = detection_losses(*ours, rois, labels, boxes)
    targets = _heads().box_coder.encode([boxes], [rois])
    classifier, box = roi_heads.fastrcnn_loss(theirs[0], theirs[1].flatten(1), [labels], list(targets))
    torch.testing.assert_close(losses["loss_classifier"], classifier)
    torch.testing.assert_close(losses["loss_box_reg"], box)
    for total in (sum(losses.values()), classifier + box):
        total.backward()
    for our_input, their_input in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our_input.grad, their_input.grad)


@pytest.mark.parametrize("count", [0, 3])
def test_losses_without_positives_are_finite(count):
    logits, deltas = torch.zeros(count, 3, requires_grad=True), torch.zeros(count, 3, 4, requires_grad=True)
    rois, labels = torch.tensor([[0.0, 0, 9, 9]]).repeat(count, 1), torch.zeros(count, dtype=torch.int64)
    losses = detection_losses(logits, deltas, rois, labels, rois)
    assert losses["loss_classifier"].item() == pytest.approx(1.0986 if count else 0.0, abs=1e-4)
    assert losses["loss_box_reg"] == 0
    sum(losses.values()).backward()
    assert torch.isfinite(logits.grad).all()
    assert not deltas.grad.any()


@halves
def test_losses_of_half_precision_are_computed_in_float32(half):
    generator = torch.Generator().manual_seed(0)
    logits, deltas = torch.randn(9, 3, generator=generator).to(half), torch.randn(9, 3, 4, generator=generator).to(half)
    rest = _boxes(9, generator), torch.arange(9) % 3, _boxes(9, generator)
    losses, expected = detection_losses(logits, deltas, *rest), detection_losses(logits.float(), deltas.float(), *rest)
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert torch.equal(loss, expected[name])


# Detections


def _predictions(count, classes, generator):
    logits = 2 * torch.randn(count, classes + 1, generator=generator)
    return logits, torch.randn(count, classes + 1, 4, generator=generator), _boxes(count, generator, 150)


@quick
@given(
    st.integers(0, 30),
    st.integers(1, 5),
    st.sampled_from([(0.05, 0.5, 100), (0.0, 0.3, 100), (0.3, 0.7, 4), (0.999, 0.5, 100)]),
    seeds,
)
def test_detections_are_torchvisions(count, classes, numbers, seed):
    logits, deltas, rois = _predictions(count, classes, torch.Generator().manual_seed(seed))
    detections = postprocess(logits, deltas, rois, SIZE, *numbers)
    heads = _heads(score_thresh=numbers[0], nms_thresh=numbers[1], detections_per_img=numbers[2])
    (boxes,), (scores,), (labels,) = heads.postprocess_detections(logits, deltas.flatten(1), [rois], [SIZE])
    torch.testing.assert_close(detections, {"boxes": boxes, "labels": labels, "scores": scores})


@quick
@given(st.integers(1, 12), st.integers(1, 3), seeds)
def test_detections_with_ties_are_torchvisions(count, classes, seed):
    logits, deltas, rois = _predictions(count, classes, torch.Generator().manual_seed(seed))
    twice = logits.round().repeat(2, 1), (deltas * 0).repeat(2, 1, 1), rois.repeat(2, 1)
    detections = postprocess(*twice, SIZE)
    heads = _heads()
    (boxes,), (scores,), (labels,) = heads.postprocess_detections(twice[0], twice[1].flatten(1), [twice[2]], [SIZE])
    torch.testing.assert_close(detections, {"boxes": boxes, "labels": labels, "scores": scores})
    assert detections["scores"].tolist() == sorted(detections["scores"].tolist(), reverse=True)
    assert torch.equal(detections["boxes"], postprocess(*twice, SIZE, nms=nms)["boxes"])


@halves
def test_detections_of_half_precision_are_computed_in_float32(half):
    logits, deltas, rois = _predictions(20, 3, torch.Generator().manual_seed(0))
    detections = postprocess(logits.to(half), deltas.to(half), rois, SIZE)
    expected = postprocess(logits.to(half).float(), deltas.to(half).float(), rois, SIZE)
    assert len(detections["scores"]) > 5
    for name, value in detections.items():
        assert value.dtype == expected[name].dtype
        assert torch.equal(value, expected[name])


def test_without_proposals_or_area_there_are_no_detections():
    flat = torch.tensor([[5.0, 5, 5, 30], [200, 5, 220, 30]])  # without width, and outside the image
    for rois in (torch.zeros(0, 4), flat):
        logits = torch.tensor([-9.0, 9.0, 0.0]).repeat(len(rois), 1)
        detections = postprocess(logits, torch.zeros(len(rois), 3, 4), rois, SIZE)
        assert detections["boxes"].shape == (0, 4)
        assert detections["labels"].dtype == torch.int64
        assert detections["scores"].shape == (0,)
