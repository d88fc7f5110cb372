"""Each part of a detector can be replaced by an intern's or by torchvision's, and then the replacement runs."""

import pickle
from dataclasses import replace
from functools import wraps
from inspect import signature

import pytest
import torch
from torch import nn
from torchvision import ops
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead

from coursekit.core.errors import ConfigError
from coursekit.detector import build_detector, nms
from coursekit.detector.choose_parts import FCOS_PARTS, PARTS, RANDOM, choose_parts

CALLS = {  # calls of each function in a training step, and in an inference: one image, one box, three levels
    "box_iou": (2, 0),
    "encode_boxes": (2, 0),
    "decode_boxes": (1, 2),
    "nms": (1, 2),
    "merge_top_down": (2, 2),
    "make_anchors": (3, 0),  # anchors are kept for batches of the same shape
    "match_anchors": (2, 0),
    "sample_balanced": (2, 0),
    "rpn_losses": (1, 0),
    "propose": (1, 1),
    "level_for_box": (1, 1),
    "axis_weights": (6, 6),
    "roi_align": (3, 3),
    "pool_levels": (1, 1),
    "sample_rois": (1, 0),
    "detection_losses": (1, 0),
    "postprocess": (0, 1),
}
MODULES = ("fpn", "rpn_head", "box_head")
FCOS_CALLS = {
    "box_iou": (0, 0),
    "nms": (0, 1),
    "merge_top_down": (2, 2),
    "assign_cells": (1, 0),
    "encode_distances": (1, 0),
    "decode_distances": (1, 1),
    "centerness": (1, 0),
    "focal_loss": (1, 0),
    "postprocess_one_stage": (0, 1),
}
FCOS_MODULES = {"fpn": "fpn", "one_stage": "head"}


def _detector(parts=None, **options):
    torch.manual_seed(0)
    detector = build_detector(
        num_classes=2, channels=16, hidden=16, pretrained=False, parts=parts, **{"size": 64} | options
    )
    # Everything is sampled: a replaced part that draws at random draws otherwise than the batched twin.
    numbers = {"rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    detector.options = replace(detector.options, **numbers)
    return detector


def _image(side=64):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))


def _losses(detector, **options):
    target = {"boxes": torch.tensor([[4.0, 5, 40, 50]]), "labels": torch.tensor([2])}
    torch.manual_seed(0)
    return detector.train()([_image()], [target], **options)


@torch.no_grad()
def _detections(detector, side=64):
    return detector.eval()([_image(side)])[0]


def _recorded(part):
    calls = []

    @wraps(part)
    def recorder(*args, **named):
        calls.append(args)
        return part(*args, **named)

    return recorder, calls


@pytest.fixture(scope="module")
def plain():
    detector = _detector()
    return _losses(detector), _detections(detector)


def test_the_lists_above_name_all_parts():
    assert {*CALLS, *MODULES} == set(PARTS)
    assert {*FCOS_CALLS, *FCOS_MODULES} == set(FCOS_PARTS)


def _fcos(parts=None):
    torch.manual_seed(0)
    return build_detector(num_classes=2, channels=16, pretrained=False, parts=parts, size=64, kind="fcos")


@pytest.mark.parametrize("name", FCOS_CALLS)
def test_a_replaced_function_of_an_fcos_runs(name):
    recorder, calls = _recorded(FCOS_PARTS[name])
    detector = _fcos({name: recorder})
    losses, in_training = _losses(detector), len(calls)
    detections = _detections(detector)
    assert (in_training, len(calls) - in_training) == FCOS_CALLS[name]
    torch.testing.assert_close((losses, detections), (_losses(_fcos()), _detections(_fcos())))


@pytest.mark.parametrize(("name", "spelled"), [("fpn", "FPN"), ("one_stage", "OneStage")])
def test_a_replaced_module_of_an_fcos_runs(name, spelled):
    class Mine(FCOS_PARTS[name]):
        pass

    assert isinstance(getattr(_fcos({spelled: Mine}), FCOS_MODULES[name]), Mine)


def test_an_own_suppression_and_an_own_assignment_change_an_fcos():
    def keep_none(boxes, scores, iou_threshold):
        return torch.zeros(0, dtype=torch.int64)

    def answer_for_none(points, strides, ranges, gt_boxes):
        return torch.full((len(points),), -1)

    assert len(_detections(_fcos())["boxes"])
    assert not len(_detections(_fcos({"nms": keep_none}))["boxes"])
    assert _losses(_fcos())["bbox_regression"] > 0
    assert _losses(_fcos({"assign_cells": answer_for_none}))["bbox_regression"] == 0


@pytest.mark.parametrize("name", CALLS)
def test_a_replaced_function_runs(name, plain):
    recorder, calls = _recorded(PARTS[name])
    detector = _detector({name: recorder})
    losses, in_training = _losses(detector), len(calls)
    detections = _detections(detector)
    assert (in_training, len(calls) - in_training) == CALLS[name]
    torch.testing.assert_close((losses, detections), plain)


@pytest.mark.parametrize("name", MODULES)
def test_a_replaced_module_runs(name):
    runs = []

    class Mine(PARTS[name]):
        def forward(self, inputs):
            runs.append(inputs)
            return super().forward(inputs)

    detector = _detector({name: Mine})
    assert isinstance(getattr(detector, name), Mine)
    _losses(detector)
    _detections(detector)
    assert len(runs) == 2


def test_a_replaced_part_changes_losses_and_detections(plain):
    def nothing_overlaps(first, second):
        return torch.zeros(len(first), len(second))

    losses = _losses(_detector({"box_iou": nothing_overlaps}))
    assert losses["loss_rpn_box_reg"] == losses["loss_box_reg"] == 0
    assert plain[0]["loss_rpn_box_reg"] > 0

    def keep_none(boxes, scores, iou_threshold):
        return torch.zeros(0, dtype=torch.int64)

    assert not len(_detections(_detector({"nms": keep_none}))["boxes"])
    assert len(plain[1]["boxes"])


def test_the_reference_suppression_gives_the_same_detections(plain):
    detector = _detector({"nms": nms})
    detections = _detections(detector)
    assert len(detections["boxes"]) > 10
    assert all(torch.equal(detections[key], value) for key, value in plain[1].items())
    assert all(torch.equal(value, plain[0][key]) for key, value in _losses(detector).items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nms", ops.nms),
        ("box_iou", ops.box_iou),
        ("roi_align", ops.roi_align),
        ("FPN", ops.FeaturePyramidNetwork),
        ("RPNHead", RPNHead),
        ("BoxHead", TwoMLPHead),
        ("box_head", FastRCNNPredictor),
    ],
)
def test_torchvisions_parts_give_the_same_losses_and_detections(name, part, plain):
    detector, ours = _detector({name: part}), _detector()
    for parameter, source in zip(detector.parameters(), ours.parameters(), strict=True):  # in the same order
        parameter.data.copy_(source.data)
    torch.testing.assert_close(_losses(detector), plain[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(_detections(detector), plain[1], rtol=1e-4, atol=1e-3)


def test_gradients_reach_all_of_torchvisions_parts_together():
    parts = {"nms": ops.nms, "box_iou": ops.box_iou, "roi_align": ops.roi_align}
    modules = {"fpn": ops.FeaturePyramidNetwork, "rpn_head": RPNHead, "box_head": TwoMLPHead}
    detector = _detector(parts | modules)
    sum(_losses(detector).values()).backward()
    for name in MODULES:
        assert all(parameter.grad.abs().sum() > 0 for parameter in getattr(detector, name).parameters())


@pytest.mark.parametrize("key", ["FPN", "RPNHead", "BoxHead", "fpn", "rpn_head", "box_head", "Box_IoU", "NMS"])
def test_a_part_may_be_spelled_like_its_class(key):
    def mine():
        pass

    chosen = vars(choose_parts({key: mine}))
    assert [name for name, part in chosen.items() if part is mine] == [
        {"FPN": "fpn", "RPNHead": "rpn_head", "BoxHead": "box_head", "Box_IoU": "box_iou", "NMS": "nms"}.get(key, key)
    ]


def test_an_unknown_part_is_an_error_that_names_the_known_ones():
    with pytest.raises(ConfigError, match="'anchor_maker'") as raised:
        build_detector(num_classes=2, pretrained=False, parts={"anchor_maker": len})
    assert all(name in str(raised.value) for name in PARTS)


def test_without_replacements_the_parts_are_ours():
    assert vars(choose_parts()) == vars(choose_parts({})) == PARTS


def test_detectors_do_not_share_parts():
    recorder, calls = _recorded(PARTS["nms"])
    _detector({"nms": recorder})
    _detections(_detector())
    assert not calls


@pytest.mark.parametrize("part", [3, "nms", None, [1]])
def test_a_part_that_cant_be_called_is_an_error(part):
    with pytest.raises(ConfigError, match="nms"):
        choose_parts({"nms": part})


def test_replaced_axis_weights_run_on_large_maps_too():
    recorder, calls = _recorded(PARTS["axis_weights"])
    _detections(_detector({"axis_weights": recorder}, size=320), 320)
    assert len(calls) == 6


# Random generators


def _my_sample_balanced(matches, batch_size_per_image, positive_fraction):
    return PARTS["sample_balanced"](matches, batch_size_per_image, positive_fraction)


def _my_rpn_losses(logits, deltas, anchors, boxes, batch_size_per_image):
    return PARTS["rpn_losses"](logits, deltas, anchors, boxes, batch_size_per_image)


def _my_sample_rois(proposals, boxes, labels, batch_size_per_image):
    return PARTS["sample_rois"](proposals, boxes, labels, batch_size_per_image)


WITHOUT_GENERATOR = {
    "sample_balanced": _my_sample_balanced,
    "rpn_losses": _my_rpn_losses,
    "sample_rois": _my_sample_rois,
}


@pytest.mark.parametrize("names", [[name] for name in WITHOUT_GENERATOR] + [list(WITHOUT_GENERATOR)])
@pytest.mark.parametrize("seeds", [None, [1]])
def test_parts_without_a_generator_train(names, seeds):
    detector = _detector({name: WITHOUT_GENERATOR[name] for name in names})
    losses = _losses(detector, seeds=seeds)
    sum(losses.values()).backward()
    gradients = [parameter.grad for parameter in detector.parameters() if parameter.requires_grad]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)


def test_the_random_parts_are_those_of_ours_that_take_a_generator():
    takes = {name: set(signature(part).parameters) & {"generator", "generators"} for name, part in PARTS.items()}
    assert {name: {keyword} for name, keyword in RANDOM.items()} == {
        name: taken for name, taken in takes.items() if taken
    }


@pytest.mark.parametrize("name", RANDOM)
def test_a_replaced_part_that_takes_a_generator_gets_it(name):
    seen = []

    def named(*args, generator=None, generators=None):
        seen.append(generator or generators[0])
        return PARTS[name](*args, **{RANDOM[name]: generator or generators})

    def anything(*args, **kwargs):
        return named(*args, **kwargs)

    losses = [_losses(_detector({name: part}), seeds=[1]) for part in (PARTS[name], named, anything)]
    assert len(seen) == 2 * CALLS[name][0]
    assert all(isinstance(generator, torch.Generator) for generator in seen)
    assert losses[0] == losses[1] == losses[2]


def test_a_detector_with_a_part_without_a_generator_can_be_copied():
    detector = _detector(WITHOUT_GENERATOR)
    copy = pickle.loads(pickle.dumps(detector))
    assert _losses(copy) == _losses(detector)


def test_a_function_may_make_a_module():
    def make_head(channels, anchors):
        return nn.Sequential(PARTS["rpn_head"](channels, anchors))

    assert isinstance(_detector({"rpn_head": make_head}).rpn_head, nn.Sequential)
