"""Adapted parts of torchvision's take and return what ours do."""

from collections import OrderedDict

import pytest
import torch
from torchvision import ops
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead

from coursekit.detector import FPN, BoxHead, box_iou
from coursekit.detector import RPNHead as OurRPNHead
from coursekit.detector.torchvision_parts import adapt


@pytest.mark.parametrize("extra", [0, 1])
def test_a_pyramid_takes_and_returns_lists(extra):
    torch.manual_seed(0)
    maps = [torch.randn(2, channels, 16 // 2**n, 24 // 2**n) for n, channels in enumerate((3, 5, 7))]
    pyramid = adapt(ops.FeaturePyramidNetwork)([3, 5, 7], 4, extra)
    levels = pyramid(maps)
    assert [level.shape for level in levels] == [level.shape for level in FPN([3, 5, 7], 4, extra)(maps)]
    theirs = pyramid.fpn(OrderedDict(enumerate(maps)))
    assert all(torch.equal(level, their_level) for level, their_level in zip(levels, theirs.values(), strict=True))


def test_an_rpn_head_is_flattened_like_ours():
    torch.manual_seed(0)
    theirs, ours = adapt(RPNHead)(4, 3), OurRPNHead(4, 3)
    for parameter, source in zip(ours.parameters(), theirs.parameters(), strict=True):
        parameter.data.copy_(source.data)
    levels = [torch.randn(2, 4, 5, 7), torch.randn(2, 4, 2, 3)]
    torch.testing.assert_close(theirs(levels), ours(levels))


@pytest.mark.parametrize("part", [TwoMLPHead, FastRCNNPredictor])
@pytest.mark.parametrize("count", [0, 5])
def test_a_box_head_returns_a_box_for_each_class(part, count):
    torch.manual_seed(0)
    theirs, ours = adapt(part)(4, 3, hidden=8), BoxHead(4, 3, hidden=8)
    for parameter, source in zip(ours.parameters(), theirs.parameters(), strict=True):
        parameter.data.copy_(source.data)
    patches = torch.randn(count, 4, 7, 7)
    torch.testing.assert_close(theirs(patches), ours(patches))


def test_roi_align_takes_the_boxes_of_one_image():
    generator = torch.Generator().manual_seed(0)
    features, boxes = torch.randn(3, 8, 12, generator=generator), torch.tensor([[8.0, 4, 60, 40]])
    expected = ops.roi_align(features[None], [boxes], 5, 1 / 8, 3)
    torch.testing.assert_close(adapt(ops.roi_align)(features, boxes, 1 / 8, 5, 3), expected)


@pytest.mark.parametrize("part", [ops.nms, ops.box_iou, box_iou, FPN])
def test_a_part_that_is_called_like_ours_stays_as_it_is(part):
    assert adapt(part) is part
