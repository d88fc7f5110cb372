"""The region proposal network against torchvision's, with the same weights and the same random samples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.detection import rpn as theirs
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import clip_boxes_to_image

from coursekit.detector import RPNHead, decode_boxes, make_anchors, nms, propose, rpn_losses

quick = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**20)
grids = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=3)
SIZE = (90, 130)


def _rpn(count=256, fraction=0.5, pre_nms_top_n=500, post_nms_top_n=300, nms_thresh=0.7, score_thresh=0.0):
    """Return torchvision's RegionProposalNetwork, without a head: only its arithmetic is used."""
    top_n = [{"training": number, "testing": number} for number in (pre_nms_top_n, post_nms_top_n)]
    modules = AnchorGenerator(), nn.Identity()
    return theirs.RegionProposalNetwork(*modules, 0.7, 0.3, count, fraction, *top_n, nms_thresh, score_thresh)


def _anchors(grids):
    """Return the anchors of all levels, (N, 4), and how many are on each. Strides double from level to level."""
    levels = [
        make_anchors(grid, (8 * 2**level, 8 * 2**level), [12 * 2**level], [0.5, 1.0, 2.0])
        for level, grid in enumerate(grids)
    ]
    return torch.cat(levels), [len(level) for level in levels]


def _predictions(count, generator, images=None):
    """Draw logits and deltas like those of a head that has learned a little."""
    shape = (count,) if images is None else (images, count)
    return 2 * torch.randn(shape, generator=generator), 0.3 * torch.randn(*shape, 4, generator=generator)


def _boxes(count, generator, extent=60.0):
    corners = torch.rand(count, 2, 2, generator=generator).sort(1).values
    return corners.reshape(count, 4) * extent + torch.tensor([0.0, 0.0, 5.0, 5.0])


# The head


@quick
@given(grids, st.integers(1, 3), st.integers(1, 4), seeds)
def test_the_head_is_torchvisions_with_the_same_weights(grids, batch, anchors, seed):
    torch.manual_seed(seed)
    ours, reference = RPNHead(6, anchors), theirs.RPNHead(6, anchors)
    for layer, source in zip(
        (ours.hidden, ours.objectness, ours.deltas),
        (reference.conv[0][0], reference.cls_logits, reference.bbox_pred),
        strict=True,
    ):
        nn.init.normal_(source.bias)
        layer.load_state_dict(source.state_dict())
    levels = [torch.randn(batch, 6, *grid) for grid in grids]
    logits, deltas = ours(levels)
    flat_logits, flat_deltas = theirs.concat_box_prediction_layers(*reference(levels))
    torch.testing.assert_close(logits.flatten(), flat_logits.flatten())
    torch.testing.assert_close(deltas.flatten(0, 1), flat_deltas)


def test_a_new_head_starts_from_torchvisions_distribution():
    torch.manual_seed(0)
    ours, reference = RPNHead(64, 9), theirs.RPNHead(64, 9)
    for name, parameter in reference.named_parameters():
        ours_of_name = dict(zip(dict(reference.named_parameters()), ours.parameters(), strict=True))[name]
        assert ours_of_name.std(correction=0).item() == pytest.approx(parameter.std(correction=0).item(), rel=0.1)


def test_predictions_have_the_order_of_the_anchors():
    head = RPNHead(1, 3)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    nn.init.ones_(head.hidden.weight[:, :, 1, 1])  # each hidden cell is the cell itself
    nn.init.constant_(head.objectness.weight[1], 1.0)  # the second anchor of each cell
    nn.init.constant_(head.deltas.weight[4 * 1 + 2], 1.0)  # its third number, the width
    levels = [torch.zeros(1, 1, 3, 5), torch.zeros(1, 1, 2, 2)]
    levels[0][0, 0, 2, 4] = levels[1][0, 0, 0, 1] = 7.0
    with torch.no_grad():
        logits, deltas = head(levels)
    anchors = torch.cat(
        [make_anchors((3, 5), (8, 8), [16], [0.25, 1.0, 4.0]), make_anchors((2, 2), (16, 16), [32], [0.25, 1.0, 4.0])]
    )
    positive = torch.where(logits[0] > 0)[0]
    assert anchors[positive].tolist() == [
        [24.0, 8.0, 40.0, 24.0],
        [0.0, -16.0, 32.0, 16.0],
    ]  # around (32, 16) and (16, 0)
    assert deltas[0, positive].tolist() == [[0.0, 0.0, 7.0, 0.0]] * 2
    assert deltas.abs().sum() == 14


# The losses


@quick
@given(grids, st.lists(st.integers(0, 5), min_size=1, max_size=3), st.sampled_from([(256, 0.5), (12, 0.25)]), seeds)
def test_losses_and_their_gradients_are_torchvisions(grids, counts, numbers, seed):
    generator = torch.Generator().manual_seed(seed)
    anchors, _ = _anchors(grids)
    gt_boxes = [_boxes(count, generator) for count in counts]
    gt_boxes = [boxes[(_overlaps(boxes, anchors)).any(1)] for boxes in gt_boxes]  # torchvision gives others all anchors
    predictions = _predictions(len(anchors), generator, images=len(counts))
    ours, reference = [[values.clone().requires_grad_() for values in predictions] for _ in range(2)]
    torch.manual_seed(seed)
    losses = rpn_losses(*ours, anchors, gt_boxes, *numbers)

    torch.manual_seed(seed)
    rpn = _rpn(*numbers)
    labels, matched = rpn.assign_targets_to_anchors([anchors] * len(counts), [{"boxes": boxes} for boxes in gt_boxes])
    target_deltas = rpn.box_coder.encode(matched, [anchors] * len(counts))
    objectness, box = rpn.compute_loss(reference[0].view(-1, 1), reference[1].view(-1, 4), labels, list(target_deltas))
    torch.testing.assert_close(losses["loss_objectness"], objectness)
    torch.testing.assert_close(losses["loss_rpn_box_reg"], box)
    for total in (sum(losses.values()), objectness + box):
        total.backward()
    for our_input, their_input in zip(ours, reference, strict=True):
        torch.testing.assert_close(our_input.grad, their_input.grad)


def _overlaps(first, second):
    return (torch.minimum(first[:, None, 2:], second[:, 2:]) > torch.maximum(first[:, None, :2], second[:, :2])).all(2)


def test_the_sample_of_an_image_depends_on_its_generator_alone():
    generator = torch.Generator().manual_seed(0)
    anchors, _ = _anchors([(6, 6)])
    logits, deltas = _predictions(len(anchors), generator, images=2)
    gt_boxes = [_boxes(3, generator), torch.zeros(0, 4)]
    losses = {}
    for order in ([0, 1], [1, 0]):
        generators = [torch.Generator().manual_seed(image) for image in order]
        inputs = logits[order], deltas[order], anchors, [gt_boxes[image] for image in order]
        losses[tuple(order)] = rpn_losses(*inputs, 16, generators=generators)
    torch.testing.assert_close(losses[0, 1], losses[1, 0])
    exchanged = [torch.Generator().manual_seed(image) for image in (1, 0)]
    assert rpn_losses(logits, deltas, anchors, gt_boxes, 16, generators=exchanged) != losses[0, 1]


def test_losses_without_positives_are_finite():
    anchors, _ = _anchors([(2, 3)])
    logits, deltas = (torch.zeros(2, 18, requires_grad=True), torch.zeros(2, 18, 4, requires_grad=True))
    far = torch.tensor([[500.0, 500, 600, 600]])
    losses = rpn_losses(logits, deltas, anchors, [torch.zeros(0, 4), far])
    assert losses["loss_objectness"].item() == pytest.approx(0.6931, abs=1e-4)
    assert losses["loss_rpn_box_reg"] == 0
    sum(losses.values()).backward()
    assert torch.isfinite(logits.grad).all()
    assert not deltas.grad.any()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_are_computed_in_float32(half):
    generator = torch.Generator().manual_seed(0)
    anchors, _ = _anchors([(4, 4)])
    logits, deltas = (values.to(half) for values in _predictions(len(anchors), generator, images=1))
    gt_boxes = [_boxes(3, generator)]
    torch.manual_seed(0)
    losses = rpn_losses(logits, deltas, anchors, gt_boxes)
    torch.manual_seed(0)
    expected = rpn_losses(logits.float(), deltas.float(), anchors, gt_boxes)
    assert losses["loss_rpn_box_reg"] > 0
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        assert torch.equal(loss, expected[name])


# The proposals


@quick
@given(
    grids,
    st.sampled_from([(500, 300), (10, 300), (500, 7), (1, 1)]),
    st.sampled_from([0.7, 0.3, 1.0]),
    st.sampled_from([0.0, 0.5, 0.99]),
    seeds,
)
def test_proposals_are_torchvisions(grids, top_n, nms_thresh, score_thresh, seed):
    generator = torch.Generator().manual_seed(seed)
    anchors, level_sizes = _anchors(grids)
    logits, deltas = _predictions(len(anchors), generator)
    limits = *top_n, nms_thresh, score_thresh
    rpn = _rpn(256, 0.5, *limits)
    decoded = rpn.box_coder.decode(deltas, [anchors]).view(1, -1, 4)
    expected, _ = rpn.filter_proposals(decoded, logits[None], [SIZE], level_sizes)
    proposals = propose(logits, deltas, anchors, level_sizes, SIZE, *limits)
    torch.testing.assert_close(proposals, expected[0])


@quick
@given(grids, seeds)
def test_proposals_of_many_images_with_ties_are_torchvisions(grids, seed):
    generator = torch.Generator().manual_seed(seed)
    anchors, level_sizes = _anchors(grids)
    logits, deltas = _predictions(len(anchors), generator, images=2)
    logits = (10 * logits).round().clamp(-20, 30)  # in float32, the sigmoid is 1 from 17 on
    logits += 1e-3 * torch.randperm(logits.numel(), generator=generator).view_as(logits) / logits.numel()
    rpn = _rpn()
    decoded = rpn.box_coder.decode(deltas.view(-1, 4), [anchors] * 2).view(2, -1, 4)
    sizes = [SIZE, (40, 55)]
    expected, _ = rpn.filter_proposals(decoded, logits, sizes, level_sizes)
    for image, size in enumerate(sizes):
        proposals = propose(logits[image], deltas[image], anchors, level_sizes, size)
        torch.testing.assert_close(proposals, expected[image])
        assert torch.equal(proposals, clip_boxes_to_image(proposals, size))


def test_proposals_come_best_first_and_are_the_same_with_our_nms():
    generator = torch.Generator().manual_seed(0)
    anchors, level_sizes = _anchors([(6, 6), (3, 3)])
    logits, deltas = _predictions(len(anchors), generator)
    proposals = propose(logits, deltas, anchors, level_sizes, SIZE)
    decoded = clip_boxes_to_image(decode_boxes(deltas, anchors), SIZE)
    positions = [int(torch.where((decoded == box).all(1))[0][0]) for box in proposals]
    assert len(positions) > 20
    assert logits[positions].tolist() == sorted(logits[positions].tolist(), reverse=True)
    assert positions[0] == int(logits.argmax())
    assert torch.equal(proposals, propose(logits, deltas, anchors, level_sizes, SIZE, nms=nms))


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_proposals_of_half_precision_are_computed_in_float32(half):
    anchors, level_sizes = _anchors([(6, 6), (3, 3)])
    logits, deltas = (values.to(half) for values in _predictions(len(anchors), torch.Generator().manual_seed(0)))
    proposals = propose(logits, deltas, anchors, level_sizes, SIZE)
    assert proposals.dtype == torch.float32
    assert len(proposals) > 20
    assert torch.equal(proposals, propose(logits.float(), deltas.float(), anchors, level_sizes, SIZE))


def test_without_anchors_or_area_there_are_no_proposals():
    empty = propose(torch.zeros(0), torch.zeros(0, 4), torch.zeros(0, 4), [0, 0], SIZE)
    assert empty.shape == (0, 4)
    outside = torch.tensor([[200.0, 5, 220, 30], [5, 100, 30, 120], [7, 7, 7, 30]])
    assert propose(torch.ones(3), torch.zeros(3, 4), outside, [3], SIZE).shape == (0, 4)


def test_no_gradient_flows_through_proposals():
    anchors, level_sizes = _anchors([(3, 3)])
    logits, deltas = (
        values.requires_grad_() for values in _predictions(len(anchors), torch.Generator().manual_seed(0))
    )
    assert not propose(logits, deltas, anchors, level_sizes, SIZE).requires_grad
