"""The head of FCOS against torchvision's, with the same weights."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.detection import FCOS
from torchvision.models.detection._utils import BoxLinearCoder
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from coursekit.detector import OneStage, cell_points, focal_loss, giou_loss, nms, postprocess_one_stage
from coursekit.detector.fcos import level_ranges

quick = settings(max_examples=30, deadline=None, derandomize=True)
seeds, limits = st.integers(0, 2**20), st.integers(1, 60)
STRIDES, GRIDS = (8, 16), [(7, 9), (4, 5)]
CELLS = sum(height * width for height, width in GRIDS)


def _cells():
    points = torch.cat([cell_points(grid, stride) for grid, stride in zip(GRIDS, STRIDES, strict=True)])
    level = torch.tensor([0] * 63 + [1] * 20)
    return points, *(torch.tensor(values)[level] for values in ((8.0, 16.0), level_ranges(STRIDES)))


def _outputs(images, classes, generator, dtype=torch.float64):
    """Draw outputs like those of a head that has learned a little."""
    shapes = (images, CELLS, classes), (images, CELLS, 4), (images, CELLS)
    logits, distances, centers = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return 2 * logits, (2 + 2 * distances).relu(), centers


def _head(channels=16, classes=3, **parts):
    torch.manual_seed(0)
    return OneStage(channels, classes, **parts)


# Losses of numbers


@quick
@given(st.integers(0, 6), st.integers(1, 9), st.floats(0, 1), st.floats(0, 4), seeds)
def test_the_focal_loss_is_torchvisions(rows, columns, alpha, gamma, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 6 * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 2, (rows, columns), generator=generator).double()
    expected = sigmoid_focal_loss(logits, targets, alpha, gamma)
    torch.testing.assert_close(focal_loss(logits, targets, alpha, gamma), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_the_focal_loss_of_half_precision_is_a_float32(half):
    loss = focal_loss(torch.tensor([-90.0, 90.0], dtype=half), torch.tensor([1, 0]))
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()


@quick
@given(st.integers(0, 9), seeds)
def test_the_giou_loss_is_torchvisions(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 8, (2, count, 2, 2), generator=generator).double()  # some touch, some have no area
    boxes = corners.sort(2).values.flatten(2)
    torch.testing.assert_close(giou_loss(*boxes), generalized_box_iou_loss(*boxes), rtol=1e-9, atol=1e-12)
    assert (giou_loss(boxes[0], boxes[0]) >= 0).all()


def test_giou_of_equal_and_of_distant_boxes():
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    assert giou_loss(box, box).item() == pytest.approx(0, abs=1e-6)
    distant = torch.tensor([[990.0, 0.0, 1000.0, 10.0]], requires_grad=True)
    loss = giou_loss(distant, box)
    assert loss.item() == pytest.approx(1.98, abs=1e-6)  # 1 − IoU of 0 + empty share of 0.98
    loss.sum().backward()
    assert distant.grad[0, 0] > 0  # a smaller x1 has a smaller loss


# The head


def _their_head(ours, channels, classes):
    theirs = FCOSHead(channels, 1, classes).double()
    for module in theirs.modules():
        if isinstance(module, nn.Conv2d | nn.GroupNorm):
            nn.init.normal_(module.weight, std=0.3)
            nn.init.normal_(module.bias)
    pairs = (
        (ours.class_tower, theirs.classification_head.conv), (ours.box_tower, theirs.regression_head.conv),
        (ours.class_logits, theirs.classification_head.cls_logits),
        (ours.distances, theirs.regression_head.bbox_reg), (ours.centerness, theirs.regression_head.bbox_ctrness),
    )  # fmt: skip
    for layer, source in pairs:
        layer.load_state_dict(source.state_dict())
    return theirs


@quick
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3), st.integers(1, 3), seeds)
def test_the_head_is_torchvisions_with_the_same_weights(grids, images, seed):
    torch.manual_seed(seed)
    ours = _head(64, 5).double()
    theirs = _their_head(ours, 64, 5)
    levels = [torch.randn(images, 64, *grid, dtype=torch.float64) for grid in grids]
    class_logits, distances, centerness_logits = ours(levels)
    expected = theirs(levels)
    torch.testing.assert_close(class_logits, expected["cls_logits"])
    torch.testing.assert_close(distances, expected["bbox_regression"])
    torch.testing.assert_close(centerness_logits, expected["bbox_ctrness"].squeeze(2))
    assert (distances >= 0).all()


def test_an_untrained_head_gives_each_class_a_probability_of_one_percent():
    class_logits, *_ = _head(32)([torch.randn(2, 32, 8, 8)])
    assert class_logits.sigmoid().mean().item() == pytest.approx(0.01, abs=0.003)


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (96, 32), (64, 32), (16, 16), (20, 4), (7, 1)])
def test_groups_divide_the_channels(channels, groups):
    norms = [module for module in _head(channels).modules() if isinstance(module, nn.GroupNorm)]
    assert [norm.num_groups for norm in norms] == [groups] * 8


def test_towers_may_be_shorter():
    head = OneStage(16, 3, convs=1)
    assert sum(isinstance(module, nn.Conv2d) for module in head.modules()) == 2 + 3


# The losses


def _targets(counts, generator):
    """Return boxes (B, G, 4) and labels (B, G), padded with zeros, in an image of 56 × 72 pixels."""
    most = max(1, *counts, 0)
    boxes, labels = torch.zeros(len(counts), most, 4).double(), torch.zeros(len(counts), most, dtype=torch.int64)
    for image, count in enumerate(counts):
        size = 6 + torch.rand(count, 2, generator=generator) * 40
        corner = torch.rand(count, 2, generator=generator) * (torch.tensor([72.0, 56.0]) - size)
        boxes[image, :count] = torch.cat([corner, corner + size], 1).double()
        labels[image, :count] = torch.randint(1, 4, (count,), generator=generator)
    return boxes, labels


def _their_losses(outputs, boxes, labels):
    """Return torchvision's losses, with classes from 0 and without padding."""
    points, strides, ranges = (column.double() for column in _cells())
    head = _head()
    matches = [head.assign_cells(points, strides, ranges, of_image) for of_image in boxes]
    anchors = torch.cat([points - strides[:, None] / 2, points + strides[:, None] / 2], 1)
    targets = [
        {"boxes": of_image[label > 0], "labels": label[label > 0] - 1}
        for of_image, label in zip(boxes, labels, strict=True)
    ]
    named = {"cls_logits": outputs[0], "bbox_regression": outputs[1], "bbox_ctrness": outputs[2][..., None]}
    model = SimpleNamespace(box_coder=BoxLinearCoder(normalize_by_size=True))
    return FCOSHead.compute_loss(model, targets, named, [anchors] * len(boxes), matches)


@quick
@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), seeds)
def test_the_losses_are_torchvisions(counts, seed):
    generator = torch.Generator().manual_seed(seed)
    outputs, (boxes, labels) = _outputs(len(counts), 3, generator), _targets(counts, generator)
    losses = _head().losses(outputs, *(column.double() for column in _cells()), boxes, labels)
    expected = _their_losses(outputs, boxes, labels)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-10, atol=1e-12)


def test_without_objects_there_is_only_a_loss_for_classes():
    head = _head()
    outputs = head([torch.randn(2, 16, *grid) for grid in GRIDS])
    losses = head.losses(outputs, *_cells(), torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.int64))
    assert losses["bbox_regression"] == losses["bbox_ctrness"] == 0
    assert losses["classification"] > 0
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_are_float32(half):
    generator = torch.Generator().manual_seed(0)
    outputs = [output.to(half) for output in _outputs(2, 3, generator, torch.float32)]
    boxes, labels = _targets([3, 1], generator)
    losses = _head().losses(outputs, *_cells(), boxes.float(), labels)
    assert all(loss.dtype == torch.float32 and math.isfinite(loss) for loss in losses.values())


# Detections


@quick
@given(
    st.sampled_from([0.0, 0.2, 0.5, 0.99]), st.sampled_from([0.3, 0.6]), st.integers(1, 30), st.integers(1, 60), seeds
)
def test_detections_are_torchvisions(score_thresh, nms_thresh, detections, candidates, seed):
    generator = torch.Generator().manual_seed(seed)
    outputs, size = _outputs(1, 3, generator), (50, 66)
    points, strides, _ = (column.double() for column in _cells())
    anchors = torch.cat([points - strides[:, None] / 2, points + strides[:, None] / 2], 1)
    model = SimpleNamespace(
        score_thresh=score_thresh, nms_thresh=nms_thresh, detections_per_img=detections, topk_candidates=candidates,
        box_coder=BoxLinearCoder(normalize_by_size=True),
    )  # fmt: skip
    named = zip(("cls_logits", "bbox_regression", "bbox_ctrness"), (*outputs[:2], outputs[2][..., None]), strict=True)
    levels = {name: list(output.split([63, 20], dim=1)) for name, output in named}
    (expected,) = FCOS.postprocess_detections(model, levels, [list(anchors.split([63, 20]))], [size])
    limits = score_thresh, nms_thresh, detections, candidates
    found = postprocess_one_stage(*(output[0] for output in outputs), points, strides, [63, 20], size, *limits)
    torch.testing.assert_close(found["scores"], expected["scores"])
    torch.testing.assert_close(found["boxes"], expected["boxes"])
    assert torch.equal(found["labels"], expected["labels"] + 1)


def test_the_reference_suppression_gives_the_same_detections():
    outputs = [output[0] for output in _outputs(1, 3, torch.Generator().manual_seed(0))]
    points, strides, _ = _cells()
    first, second = (
        postprocess_one_stage(*outputs, points, strides, [63, 20], (50, 66), **parts) for parts in ({}, {"nms": nms})
    )
    assert len(first["boxes"])
    torch.testing.assert_close(first, second)
