"""Given the same weights, images and random samples, our detector says what torchvision's says."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import detection
from torchvision.models.detection import transform
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign, nms

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.detector import (
    decode_boxes,
    encode_boxes,
    from_torchvision,
    level_for_box,
    make_anchors,
    match_anchors,
    roi_align,
    sample_balanced,
)
from coursekit.detector.norm import ConvNorm
from coursekit.detector.parts import choose_parts
from coursekit.detector.resize import resize_boxes

RESNET50, MOBILENET, MOBILENET_320 = MAKES = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
SITUATIONS = [  # sides (height, width) of the images of a batch, boxes in each, classes, then torchvision's options
    ([(96, 130)], [0], 4, {}),
    ([(140, 100)], [1], 4, {"box_score_thresh": 0.2}),
    ([(120, 150)], [200], 20, {}),
    ([(110, 110), (90, 150)], [3, 0], 7, {"rpn_batch_size_per_image": 16}),
    ([(100, 140)], [6], 1, {"box_score_thresh": 0.01}),
    ([(100, 140)], [12], 90, {"box_score_thresh": 0.0}),
    ([(97, 131)], [5], 3, {"min_size": 85, "max_size": 119}),
    ([(201, 117), (83, 149)], [4, 9], 80, {"rpn_nms_thresh": 0.5, "box_nms_thresh": 0.3}),
    ([(64, 200), (128, 128), (190, 77)], [2, 1, 7], 2, {"box_detections_per_img": 10, "rpn_batch_size_per_image": 32}),
    ([(96, 72), (50, 70)], [30, 8], 10, {"rpn_score_thresh": 0.5, "rpn_post_nms_top_n_test": 400}),
]
NUMBERS = {  # for small images and little time
    "min_size": 80,
    "max_size": 112,
    "rpn_batch_size_per_image": 64,
    "rpn_pre_nms_top_n_train": 100,
    "rpn_pre_nms_top_n_test": 80,
    "rpn_post_nms_top_n_train": 60,
    "rpn_post_nms_top_n_test": 50,
    "box_batch_size_per_image": 32,
}
FEW = NUMBERS | {"canonical_scale": 32, "hidden": 64}


# Random cases


@pytest.mark.parametrize("n", range(10))
def test_losses_and_detections_are_torchvisions(n):
    _check(*_case(n))


@pytest.mark.long
@pytest.mark.parametrize("n", range(60))
def test_losses_and_detections_are_torchvisions_in_sixty_cases(n):
    _check(*_case(n))


@pytest.mark.long
@pytest.mark.parametrize("make", MAKES)
def test_torchvisions_own_numbers_of_proposals_and_samples_change_nothing(make):
    _check(*_make(make, [(150, 200), (200, 140)], [20, 3], 90, 0, min_size=160, max_size=224))


@pytest.mark.parametrize("make", [RESNET50, MOBILENET])
def test_gradients_are_torchvisions(make):
    _check_gradients(*_make(make, [(100, 140)], [6], 5, 1, **FEW))


@pytest.mark.long
@pytest.mark.parametrize("n", range(10))
def test_gradients_are_torchvisions_in_all_situations(n):
    _check_gradients(*_case(n))


def test_torchvisions_frozen_batch_norm_is_folded_too():
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5)
    assert any(isinstance(module, FrozenBatchNorm2d) for module in backbone.modules())
    images, targets = _batch([(90, 120)], [4], 3, 0)
    _check(_randomise(detection.FasterRCNN(backbone, 4, **NUMBERS), images), images, targets)


def test_two_maps_of_one_stride_are_read_as_torchvision_reads_them():
    _check(*_make(MOBILENET, [(96, 128)], [4], 3, 0, **FEW | {"canonical_scale": 16}))  # it has large boxes, in small


def test_boxes_that_outgrow_their_anchors_are_capped_alike():
    theirs, images, targets = _make(MOBILENET, [(96, 128)], [4], 3, 0, **FEW | {"box_score_thresh": 0.0})
    with torch.no_grad():
        theirs.rpn.head.bbox_pred.weight *= 10
        theirs.roi_heads.box_predictor.bbox_pred.weight *= 30
    _check(theirs, images, targets)


def test_boxes_in_float32_are_resized_to_the_same_bits():
    generator = torch.Generator().manual_seed(0)
    for before, after in torch.randint(20, 2000, (200, 2, 2), generator=generator).tolist():
        boxes = 2000 * torch.rand(9, 4, generator=generator)
        assert torch.equal(resize_boxes(boxes, before, after), transform.resize_boxes(boxes, before, after))


# Crowds


def test_crowd_boxes_change_nothing():
    theirs, images, targets = _make(MOBILENET, [(100, 140), (120, 90)], [6, 0], 5, 2, **FEW)
    ours = from_torchvision(theirs)
    with_crowds = [target | {"crowd_boxes": _boxes(3, 90, 90)} for target in targets]
    without, with_ = _our_losses(ours, images, targets), _our_losses(ours, images, with_crowds)
    assert all(torch.equal(without[name], with_[name]) for name in without)
    _check(theirs, images, targets, with_crowds)


def test_a_photographs_crowds_are_no_boxes_for_either(real_coco):
    data = load(real_coco, "val")
    with_crowds = [n for n in range(len(data)) if len(data.target(n)["crowd_boxes"])]
    if not with_crowds:
        pytest.skip("no crowd among these photographs")
    images, targets, reference = _photographs(data, with_crowds[:2], data.category_ids)
    assert all(len(target["crowd_boxes"]) for target in targets)
    _check(_theirs(MOBILENET, 90, 3, images, **FEW), images, reference, targets)


# Photographs


@pytest.mark.parametrize(("make", "classes"), [(RESNET50, 90), (MOBILENET_320, 80)])
def test_photographs_give_what_they_give_torchvision(real_coco, make, classes):
    data = load(real_coco, "val")
    half = _varied(data)[:: 2 if classes == 90 else -2]
    _check_photographs(data, half, make, classes)


@pytest.mark.long
@pytest.mark.parametrize("split", ["val", "train"])
@pytest.mark.parametrize(("make", "classes"), [(RESNET50, 80), (MOBILENET, 90)])
def test_all_photographs_give_what_they_give_torchvision(real_coco, split, make, classes):
    data = load(real_coco, split)
    _check_photographs(data, range(len(data)), make, classes)


# What is copied, and what is refused


@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2"])
def test_models_of_version_two_are_refused(name):
    model = getattr(detection, name)(weights=None, weights_backbone=None)
    with pytest.raises(ConfigError, match=r"another make.*fasterrcnn_resnet50_fpn.*not the v2"):
        from_torchvision(model)


def test_it_is_a_copy_of_the_same_dtype_and_mode():
    theirs, _, _ = _make(MOBILENET_320, [(96, 96)], [1], 2, 0, **FEW)
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    for training in (True, False):
        ours = from_torchvision(theirs.train(training))
        assert ours.training == training
    assert {value.dtype for value in ours.state_dict().values()} == {torch.float64}
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    after = theirs.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


# These tests can fail


@pytest.fixture(scope="module")
def sound():
    """A detector of torchvision's, ours with its weights, and a batch."""
    theirs, *batch = _make(RESNET50, [(80, 100)], [9], 4, 6, **FEW | {"min_size": 64})
    return theirs, from_torchvision(theirs), batch


def _swap_axes(boxes):
    return boxes[..., [1, 0, 3, 2]]


FAULTS = {
    "decode_boxes": lambda deltas, *others: decode_boxes(_swap_axes(deltas), *others),
    "encode_boxes": lambda boxes, anchors, *weights: _swap_axes(encode_boxes(boxes, anchors, *weights)),
    "make_anchors": lambda *args: make_anchors(*args) + 0.5,
    "match_anchors": lambda *args, **kw: match_anchors(*args, **kw | {"allow_low_quality_matches": False}),
    "sample_balanced": lambda matches, count, share: sample_balanced(matches, count, share / 2),
    "nms": lambda boxes, scores, threshold: nms(boxes, scores, threshold + 0.1),
    "roi_align": lambda features, boxes, scale: roi_align(features, boxes - 0.5 / scale, scale),
    "level_for_box": lambda boxes, low, high, size: level_for_box(boxes, low, high, size / 2),
}


def test_without_a_fault_the_detectors_agree(sound):
    theirs, ours, (images, targets) = sound
    ours.parts = choose_parts()
    _compare(ours, theirs, images, targets)


@pytest.mark.parametrize("part", FAULTS)
def test_a_fault_in_a_part_is_noticed(sound, part):
    theirs, ours, (images, targets) = sound
    ours.parts = choose_parts({part: FAULTS[part]})
    with pytest.raises(AssertionError):
        _compare(ours, theirs, images, targets)


def test_a_fault_in_a_weight_is_noticed(sound):
    theirs, _, (images, targets) = sound
    ours = from_torchvision(theirs)
    with torch.no_grad():
        ours.fpn.lateral[0].weight[0] *= 1.001
    with pytest.raises(AssertionError):
        _compare(ours, theirs, images, targets)


def test_other_samples_are_noticed(sound):
    theirs, ours, (images, targets) = sound
    ours.parts = choose_parts()
    expected = _their_losses(theirs, images, targets)
    torch.manual_seed(1)
    losses = ours.train()(images, targets)
    assert any((losses[name] - expected[name]).abs() > 1e-4 * expected[name] for name in losses)


# Comparing


def _check(theirs, images, targets, our_targets=None):
    found = _compare(from_torchvision(theirs), theirs, images, targets, our_targets)
    assert sum(len(one["boxes"]) for one in found) >= 5  # else there was nothing to compare


def _compare(ours, theirs, images, targets, our_targets=None):
    with torch.no_grad():
        expected = _their_losses(theirs, images, targets)
    losses = _our_losses(ours, images, our_targets or targets)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():  # torchvision's loss_objectness is a float32
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-6, abs=0), name
    found = _detections(ours, ours.box_head.classes, images)
    meant = _detections(theirs, theirs.roi_heads.box_predictor.cls_score, images)
    for one, other in zip(found, meant, strict=True):
        _check_detections(one, other, theirs.roi_heads.detections_per_img)
    return found


def _detections(detector, classifier, images):
    """With rounded logits, by which equal scores are equal in both detectors to the last bit.

    Proposals narrower than a cell read the same features in an image's corner. Of two boxes of one score that overlap,
    the first drops the other: which that is would hang on the last bit.
    """
    with torch.no_grad(), classifier.register_forward_hook(lambda *args: args[-1].round(decimals=9)):
        return detector.eval()(images)


def _check_detections(found, meant, most):
    """The same; where scores are equal, in any order, and any of them may be the last."""
    assert found.keys() == meant.keys()
    torch.testing.assert_close(found["scores"], meant["scores"], rtol=0, atol=1e-6)
    same = ((found["boxes"][:, None] - meant["boxes"]).abs() <= 1e-4).all(2)
    same &= (found["scores"][:, None] - meant["scores"]).abs() <= 1e-6
    same &= found["labels"][:, None] == meant["labels"]
    for scores, known in ((found["scores"], same.any(1)), (meant["scores"], same.any(0))):
        assert known.all() or (len(scores) == most and (scores[~known] - scores[-1] <= 1e-6).all())


def _their_losses(theirs, images, targets):
    theirs.train().backbone.body.eval()  # ours has its batch norm frozen
    torch.manual_seed(0)
    return theirs(images, targets)


def _our_losses(ours, images, targets):
    torch.manual_seed(0)
    for _ in images:  # torchvision draws a size for each
        torch.empty(1).uniform_()
    return ours.train()(images, targets)


def _check_gradients(theirs, images, targets):
    ours = from_torchvision(theirs)
    sum(_their_losses(theirs, images, targets).values()).backward()
    sum(_our_losses(ours, images, targets).values()).backward()
    assert _convolutions(theirs.backbone.body)[0].weight.grad.any()  # it went all the way
    pairs = {
        "backbone": (_convolutions(ours.backbone.body), _convolutions(theirs.backbone.body)),
        "FPN": (_layers(ours.fpn.lateral, ours.fpn.smooth), _layers(theirs.backbone.fpn)),
        "RPN": (_layers(ours.rpn_head), _layers(theirs.rpn.head)),
        "box head": (_layers(ours.box_head), _layers(theirs.roi_heads.box_head, theirs.roi_heads.box_predictor)),
    }
    for name, (mine, meant) in pairs.items():
        for place, (layer, other) in enumerate(zip(mine, meant, strict=True)):
            _check_gradient(f"{name}, layer {place}: weight", layer.weight.grad, other.weight.grad)
            if getattr(layer, "bias", None) is not None:
                _check_gradient(f"{name}, layer {place}: bias", layer.bias.grad, other.bias.grad)


def _check_gradient(name, gradient, meant):
    assert (gradient - meant).norm() <= 1e-6 * meant.norm(), name


def _convolutions(body):
    return [module for module in body.modules() if isinstance(module, nn.Conv2d | ConvNorm)]


def _layers(*modules):
    return [one for module in modules for one in module.modules() if isinstance(one, nn.Conv2d | nn.Linear)]


def _check_photographs(data, places, make, classes):
    """In pairs, so that photographs of different shape share a batch; labels are COCO's ids, or count on."""
    ids = data.category_ids if classes == 90 else range(1, len(data.categories) + 1)
    theirs = _theirs(make, classes, 4, _photographs(data, places[:6], ids)[0], **FEW)
    ours = from_torchvision(theirs)
    found = 0
    for start in range(0, len(places), 2):
        images, targets, reference = _photographs(data, places[start : start + 2], ids)
        found += sum(len(one["boxes"]) for one in _compare(ours, theirs, images, reference, targets))
    assert found >= 5 * len(places)


def _photographs(data, places, ids):
    """Images; targets of ours; and what torchvision's reference script makes of the records: crowds are left out."""
    labels, records = torch.tensor([0, *ids]), data.truth()["annotations"]
    number = dict(zip(data.category_ids, ids, strict=True))
    images, targets, reference = [], [], []
    for place in places:
        image, target = data[place]
        images.append(image.double() / 255)
        targets.append(target | {"boxes": target["boxes"].double(), "labels": labels[target["labels"]]})
        here = [one for one in records if one["image_id"] == target["image_id"] and not one["iscrowd"]]
        boxes = torch.tensor([one["bbox"] for one in here]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        numbers = torch.tensor([number[one["category_id"]] for one in here], dtype=torch.int64)
        reference.append({"boxes": boxes.double(), "labels": numbers})
    return images, targets, reference


def _varied(data):
    """Eight: one with a crowd, one with nothing, that with the most boxes; the rest upright and wide by turns."""
    counts = [len(data.target(n)["boxes"]) for n in range(len(data))]
    crowds = [n for n in range(len(data)) if len(data.target(n)["crowd_boxes"])]
    special = [*crowds[:1], *[n for n, count in enumerate(counts) if not count][:1], counts.index(max(counts))]
    upright = [n for n in range(len(data)) if data.size(n)[1] > data.size(n)[0] and n not in special]
    wide = [n for n in range(len(data)) if data.size(n)[1] < data.size(n)[0] and n not in special]
    return [*special, *[n for both in zip(upright, wide, strict=False) for n in both]][:8]


# Making cases


def _case(n):
    """Each make in each situation twice in sixty."""
    shapes, counts, classes, options = SITUATIONS[n % len(SITUATIONS)]
    return _make(MAKES[n % 3], shapes, counts, classes, n, **FEW | options)


def _make(make, shapes, counts, classes, seed, **options):
    """A detector of torchvision's, images and targets."""
    images, targets = _batch(shapes, counts, classes, seed)
    return _theirs(make, classes, seed, images, **options), images, targets


def _theirs(make, classes, seed, images, canonical_scale=224, hidden=1024, **options):
    torch.manual_seed(seed)
    pool = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2, canonical_scale=canonical_scale)
    options |= {"num_classes": classes + 1, "box_roi_pool": pool}
    model = getattr(detection, make)(weights=None, weights_backbone=None, **options)
    if hidden != 1024:
        model.roi_heads.box_head = TwoMLPHead(256 * 7 * 7, hidden)
        model.roi_heads.box_predictor = FastRCNNPredictor(hidden, classes + 1)
    return _randomise(model, images)


def _randomise(model, images):
    """In float64, with weights such that features, scores and boxes spread for these images, as trained ones do."""
    for module in model.backbone.body.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            _settle_once(module)
    predictor = model.roi_heads.box_predictor
    spreads = [(model.rpn.head.cls_logits, 2), (model.rpn.head.bbox_pred, 0.3)]
    spreads += [(predictor.cls_score, 1), (predictor.bbox_pred, 1)]
    for layer, spread in spreads:
        _spread_once(layer, spread)
    model.double().eval()
    with torch.no_grad():
        model(images)
    return model


def _settle_once(norm):
    """Take about the mean and the variance of what a batch norm is first given for its running ones."""

    def settle(_, inputs):
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean.copy_(mean + 0.1 * variance.sqrt() * torch.randn_like(mean))
        norm.running_var.copy_(variance.clamp(min=0.01) * torch.empty_like(variance).uniform_(0.5, 2))
        handle.remove()

    handle = norm.register_forward_pre_hook(settle)


def _spread_once(layer, spread):
    """Scale each of a layer's outputs at its first call, so that it has a mean of 0 and this standard deviation."""

    def scale(_, inputs, output):
        values = output.transpose(0, 1).flatten(1)
        factor = spread / values.std(1)
        layer.weight *= factor.view(-1, *[1] * (layer.weight.ndim - 1))
        layer.bias -= values.mean(1)
        layer.bias *= factor
        handle.remove()
        return layer.forward(*inputs)

    handle = layer.register_forward_hook(scale)


def _batch(shapes, counts, classes, seed):
    torch.manual_seed(seed + 1000)
    images = [_image(*shape) for shape in shapes]
    targets = [
        {"boxes": _boxes(count, *shape), "labels": torch.randint(1, classes + 1, (count,))}
        for count, shape in zip(counts, shapes, strict=True)
    ]
    return images, targets


def _image(height, width):
    """Patches of colour with some noise, dark or light, with more contrast or less."""
    patches = F.interpolate(torch.rand(1, 3, 7, 7, dtype=torch.float64), (height, width))[0]
    noise = torch.rand(3, height, width, dtype=torch.float64)
    contrast, light = torch.rand(1), 0.2 + 0.6 * torch.rand(3, 1, 1)
    return (contrast * (0.8 * patches + 0.2 * noise - 0.5) + light).clamp(0, 1)


def _boxes(count, height, width):
    """Of any size from two pixels to all of the image; some touch its edges."""
    sides = torch.tensor([width, height], dtype=torch.float64)
    size = 2 + (sides - 2) * torch.rand(count, 2, dtype=torch.float64) ** 2
    corner = (sides - size) * (1.2 * torch.rand(count, 2, dtype=torch.float64) - 0.1).clamp(0, 1)
    return torch.cat([corner, corner + size], 1)
