"""With the same weights, images and random samples, our detector has torchvision's losses and detections."""

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
    batched_or_per_image,
    decode_boxes,
    encode_boxes,
    from_torchvision,
    level_for_box,
    make_anchors,
    match_anchors,
    roi_align,
)
from coursekit.detector.anchors import BACKGROUND
from coursekit.detector.batch_matching import roi_ids, scramble
from coursekit.detector.choose_parts import choose_parts
from coursekit.detector.fold_batch_norm import ConvNorm
from coursekit.detector.resize import resize_boxes

RESNET50, MOBILENET, MOBILENET_320 = MAKES = (
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
SITUATIONS = [  # (height, width) of the images of a batch, boxes in each, classes, options of torchvision
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
NUMBERS = {  # for small images and short tests
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


@pytest.mark.parametrize("n", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 10))])
def test_losses_and_detections_are_torchvisions(n):
    _check(*_case(n))


@pytest.mark.long
@pytest.mark.parametrize("n", range(60))
def test_losses_and_detections_are_torchvisions_in_sixty_cases(n):
    _check(*_case(n))


@pytest.mark.long
@pytest.mark.parametrize("make", MAKES)
def test_losses_and_detections_are_torchvisions_with_its_default_options(make):
    _check(*_make(make, [(150, 200), (200, 140)], [20, 3], 90, 0, min_size=160, max_size=224))


@pytest.mark.slow
@pytest.mark.parametrize("make", [RESNET50, MOBILENET])
def test_gradients_are_torchvisions(make):
    _check_gradients(*_make(make, [(100, 140)], [6], 5, 1, **FEW))


@pytest.mark.long
@pytest.mark.parametrize("n", range(10))
def test_gradients_are_torchvisions_in_all_situations(n):
    _check_gradients(*_case(n))


@pytest.mark.slow
def test_torchvisions_frozen_batch_norm_is_folded_too():
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5)
    assert any(isinstance(module, FrozenBatchNorm2d) for module in backbone.modules())
    images, targets = _batch([(90, 120)], [4], 3, 0)
    _check(_randomise(detection.FasterRCNN(backbone, 4, **NUMBERS), images), images, targets)


@pytest.mark.slow
def test_two_maps_of_the_same_stride_are_read_as_in_torchvision():
    _check(
        *_make(MOBILENET, [(96, 128)], [4], 3, 0, **FEW | {"canonical_scale": 16})
    )  # relative to it, boxes are large


@pytest.mark.slow
def test_boxes_much_larger_than_their_anchors_are_clamped_as_in_torchvision():
    theirs, images, targets = _make(MOBILENET, [(96, 128)], [4], 3, 0, **FEW | {"box_score_thresh": 0.0})
    with torch.no_grad():
        theirs.rpn.head.bbox_pred.weight *= 10
        theirs.roi_heads.box_predictor.bbox_pred.weight *= 30
    _check(theirs, images, targets)


def test_boxes_in_float32_are_resized_bit_by_bit_as_in_torchvision():
    generator = torch.Generator().manual_seed(0)
    for before, after in torch.randint(20, 2000, (200, 2, 2), generator=generator).tolist():
        boxes = 2000 * torch.rand(9, 4, generator=generator)
        assert torch.equal(resize_boxes(boxes, before, after), transform.resize_boxes(boxes, before, after))


# Crowds


@pytest.mark.slow
def test_crowd_boxes_change_nothing():
    theirs, images, targets = _make(MOBILENET, [(100, 140), (120, 90)], [6, 0], 5, 2, **FEW)
    ours = from_torchvision(theirs)
    with_crowds = [target | {"crowd_boxes": _boxes(3, 90, 90)} for target in targets]
    without, with_ = _our_losses(ours, images, targets), _our_losses(ours, images, with_crowds)
    assert all(torch.equal(without[name], with_[name]) for name in without)
    _check(theirs, images, targets, with_crowds)


@pytest.mark.slow
def test_crowds_in_photographs_are_ignored_by_both(real_coco):
    data = load(real_coco, "val")
    with_crowds = [n for n in range(len(data)) if len(data.target(n)["crowd_boxes"])]
    if not with_crowds:
        pytest.skip("no crowd among these photographs")
    images, targets, reference = _photographs(data, with_crowds[:2], data.category_ids)
    assert all(len(target["crowd_boxes"]) for target in targets)
    _check(_theirs(MOBILENET, 90, 3, images, **FEW), images, reference, targets)


# Photographs


@pytest.mark.slow
@pytest.mark.parametrize(("make", "classes"), [(RESNET50, 90), (MOBILENET_320, 80)])
def test_photographs_have_torchvisions_losses_and_detections(real_coco, make, classes):
    data = load(real_coco, "val")
    half = _varied(data)[:: 2 if classes == 90 else -2]
    _check_photographs(data, half, make, classes)


@pytest.mark.long
@pytest.mark.parametrize("split", ["val", "train"])
@pytest.mark.parametrize(("make", "classes"), [(RESNET50, 80), (MOBILENET, 90)])
def test_all_photographs_have_torchvisions_losses_and_detections(real_coco, split, make, classes):
    data = load(real_coco, split)
    _check_photographs(data, range(len(data)), make, classes)


# Copies and errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2"])
def test_models_of_version_two_are_an_error(name):
    model = getattr(detection, name)(weights=None, weights_backbone=None)
    with pytest.raises(ConfigError, match=r"different heads.*fasterrcnn_resnet50_fpn.*not the v2"):
        from_torchvision(model)


@pytest.mark.slow
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
def trio():
    """Return a detector of torchvision, ours with the same weights, and a batch."""
    theirs, *batch = _make(RESNET50, [(80, 100)], [9], 4, 6, **FEW | {"min_size": 64})
    return theirs, from_torchvision(theirs), batch


def _swap_axes(boxes):
    return boxes[..., [1, 0, 3, 2]]


FAULTS = {
    "decode_boxes": lambda deltas, *others: decode_boxes(_swap_axes(deltas), *others),
    "encode_boxes": lambda boxes, anchors, *weights: _swap_axes(encode_boxes(boxes, anchors, *weights)),
    "make_anchors": lambda *args: make_anchors(*args) + 0.5,
    "match_anchors": lambda *args, **kwargs: match_anchors(*args, **kwargs | {"allow_low_quality_matches": False}),
    "sample_balanced": lambda *args, **kwargs: lowest_keys(args[0], args[1], args[2] / 2, **kwargs),
    "nms": lambda boxes, scores, threshold: nms(boxes, scores, threshold + 0.1),
    "roi_align": lambda features, boxes, scale: roi_align(features, boxes - 0.5 / scale, scale),
    "level_for_box": lambda boxes, finest, coarsest, scale: level_for_box(boxes, finest, coarsest, scale / 2),
}


@pytest.fixture
def replace_parts(trio, monkeypatch):
    """Return a function that replaces parts, so that the detector runs image by image; it samples the same."""
    _, ours, _ = trio
    before = ours.stages

    def replace(parts):
        parts = {"sample_balanced": lambda *args, **kwargs: lowest_keys(*args, **kwargs)} | parts
        ours.parts = choose_parts(parts)
        ours.stages = batched_or_per_image.choose_stages(ours.parts, batched_or_per_image.TWINS)

    monkeypatch.setattr(batched_or_per_image, "_generators", lambda keys, column: list(keys))
    monkeypatch.setattr(ours, "_anchors", {})
    yield replace
    ours.parts, ours.stages = choose_parts(), before


def lowest_keys(matches, count, fraction, generator):
    """Sample what the batched twins sample. `generator` is the random numbers of the only image."""
    order = generator.argsort()
    positives = order[matches[order] >= 0][: int(count * fraction)]
    return positives, order[matches[order] == BACKGROUND][: count - len(positives)]


def test_without_a_fault_the_detectors_agree(trio):
    theirs, ours, (images, targets) = trio
    _compare(ours, theirs, images, targets)


def test_image_by_image_the_detectors_agree(trio, replace_parts):
    theirs, ours, (images, targets) = trio
    replace_parts({})
    _compare(ours, theirs, images, targets)


@pytest.mark.slow
@pytest.mark.parametrize("part", FAULTS)
def test_a_fault_in_a_part_is_noticed(trio, part, replace_parts):
    theirs, ours, (images, targets) = trio
    replace_parts({part: FAULTS[part]})
    with pytest.raises(AssertionError):
        _compare(ours, theirs, images, targets)


@pytest.mark.slow
def test_a_fault_in_a_weight_is_noticed(trio):
    theirs, _, (images, targets) = trio
    ours = from_torchvision(theirs)
    with torch.no_grad():
        ours.fpn.lateral[0].weight[0] *= 1.001
    with pytest.raises(AssertionError):
        _compare(ours, theirs, images, targets)


def test_different_samples_are_noticed(trio):
    theirs, ours, (images, targets) = trio
    losses = ours.train()(images, targets, seeds=[seed(1)])
    expected = _their_losses(theirs, images, targets, _anchor_ids(ours))
    assert any((losses[name] - expected[name]).abs() > 1e-4 * expected[name] for name in losses)


# Comparing


def _check(theirs, images, targets, our_targets=None):
    detections = _compare(from_torchvision(theirs), theirs, images, targets, our_targets)
    assert sum(len(image["boxes"]) for image in detections) >= 5  # else there was nothing to compare


def _compare(ours, theirs, images, targets, our_targets=None):
    losses = _our_losses(ours, images, our_targets or targets)
    with torch.no_grad():
        expected = _their_losses(theirs, images, targets, _anchor_ids(ours))
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():  # torchvision's loss_objectness is a float32
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-6, abs=0), name
    our_detections = _detections(ours, ours.box_head.classes, images)
    their_detections = _detections(theirs, theirs.roi_heads.box_predictor.cls_score, images)
    for detections, expected in zip(our_detections, their_detections, strict=True):
        _check_detections(detections, expected, theirs.roi_heads.detections_per_img)
    return our_detections


def _detections(detector, classifier, images):
    """Return detections from rounded logits, so that equal scores are exactly equal in both detectors.

    Proposals narrower than a cell read the same features in a corner of the image, so their scores tie. Of two
    overlapping boxes, the one with the higher score drops the other, and the last bit would decide which.
    """
    with torch.no_grad(), classifier.register_forward_hook(lambda *args: args[-1].round(decimals=9)):
        return detector.eval()(images)


def _check_detections(detections, expected, max_count):
    """Check that they are the same. Equal scores may come in any order, and any of them may be cut off at the end."""
    assert detections.keys() == expected.keys()
    torch.testing.assert_close(detections["scores"], expected["scores"], rtol=0, atol=1e-6)
    same = ((detections["boxes"][:, None] - expected["boxes"]).abs() <= 1e-4).all(2)
    same &= (detections["scores"][:, None] - expected["scores"]).abs() <= 1e-6
    same &= detections["labels"][:, None] == expected["labels"]
    for scores, is_paired in ((detections["scores"], same.any(1)), (expected["scores"], same.any(0))):
        assert is_paired.all() or (len(scores) == max_count and (scores[~is_paired] - scores[-1] <= 1e-6).all())


def _their_losses(theirs, images, targets, ids):
    """Return torchvision's losses, of the anchors and RoIs that ours samples."""
    theirs.train().backbone.body.eval()  # our batch norm is frozen
    theirs.rpn.fg_bg_sampler = SameSampler(theirs.rpn.fg_bg_sampler, lambda image, count: ids)
    theirs.roi_heads.fg_bg_sampler = SameSampler(
        theirs.roi_heads.fg_bg_sampler,
        lambda image, count: _roi_ids(count, len(targets[image]["boxes"])),
    )
    return theirs(images, targets)


def _our_losses(ours, images, targets):
    ours._anchors.clear()  # so that those of this batch are the last ones
    return ours.train()(images, targets, seeds=[seed(image) for image in range(len(images))])


def _roi_ids(count, gt):
    return torch.cat(roi_ids(count - gt, gt, torch.device("cpu")))


def _anchor_ids(ours):
    """Return the ids of the anchors of the batch that our detector saw last."""
    return list(ours._anchors.values())[-1].ids


def seed(image):
    return 12345 + 678 * image


class SameSampler:
    """A sampler for torchvision's detector that draws as ours does: those with the lowest keys."""

    def __init__(self, sampler, ids_of):
        self.batch_size_per_image, self.positive_fraction = sampler.batch_size_per_image, sampler.positive_fraction
        self.ids_of = ids_of

    def __call__(self, labels):
        masks = [self._masks(image, of_image) for image, of_image in enumerate(labels)]
        return [mask for mask, _ in masks], [mask for _, mask in masks]

    def _masks(self, image, labels):
        order = scramble(seed(image) ^ self.ids_of(image, len(labels))).argsort()
        positives = order[labels[order] >= 1][: int(self.batch_size_per_image * self.positive_fraction)]
        negatives = order[labels[order] == 0][: self.batch_size_per_image - len(positives)]
        masks = torch.zeros(2, len(labels), dtype=torch.uint8)
        masks[0, positives], masks[1, negatives] = 1, 1
        return masks


def _check_gradients(theirs, images, targets):
    ours = from_torchvision(theirs)
    sum(_our_losses(ours, images, targets).values()).backward()
    sum(_their_losses(theirs, images, targets, _anchor_ids(ours)).values()).backward()
    assert _convolutions(theirs.backbone.body)[0].weight.grad.any()  # gradients reach the first layer
    pairs = {
        "backbone": (_convolutions(ours.backbone.body), _convolutions(theirs.backbone.body)),
        "FPN": (_layers(ours.fpn.lateral, ours.fpn.smooth), _layers(theirs.backbone.fpn)),
        "RPN": (_layers(ours.rpn_head), _layers(theirs.rpn.head)),
        "box head": (_layers(ours.box_head), _layers(theirs.roi_heads.box_head, theirs.roi_heads.box_predictor)),
    }
    for name, (our_layers, their_layers) in pairs.items():
        for index, (layer, expected) in enumerate(zip(our_layers, their_layers, strict=True)):
            _check_gradient(f"{name}, layer {index}: weight", layer.weight.grad, expected.weight.grad)
            if getattr(layer, "bias", None) is not None:
                _check_gradient(f"{name}, layer {index}: bias", layer.bias.grad, expected.bias.grad)


def _check_gradient(name, gradient, expected):
    assert (gradient - expected).norm() <= 1e-6 * expected.norm(), name


def _convolutions(body):
    return [module for module in body.modules() if isinstance(module, nn.Conv2d | ConvNorm)]


def _layers(*modules):
    return [layer for module in modules for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _check_photographs(data, indices, make, classes):
    """Check photographs in pairs, so that different shapes share a batch. Labels are COCO's ids, or 1, 2, 3, …"""
    ids = data.category_ids if classes == 90 else range(1, len(data.categories) + 1)
    theirs = _theirs(make, classes, 4, _photographs(data, indices[:6], ids)[0], **FEW)
    ours = from_torchvision(theirs)
    count = 0
    for start in range(0, len(indices), 2):
        images, targets, reference = _photographs(data, indices[start : start + 2], ids)
        count += sum(len(detections["boxes"]) for detections in _compare(ours, theirs, images, reference, targets))
    assert count >= 5 * len(indices)


def _photographs(data, indices, ids):
    """Return images, our targets, and the targets of torchvision's reference script, which leaves out crowds."""
    labels, records = torch.tensor([0, *ids]), data.ground_truth()["annotations"]
    number = dict(zip(data.category_ids, ids, strict=True))
    images, targets, reference = [], [], []
    for index in indices:
        image, target = data[index]
        images.append(image.double() / 255)
        targets.append(target | {"boxes": target["boxes"].double(), "labels": labels[target["labels"]]})
        of_image = [record for record in records if record["image_id"] == target["image_id"]]
        of_image = [record for record in of_image if not record["iscrowd"]]
        boxes = torch.tensor([record["bbox"] for record in of_image]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        label_ids = torch.tensor([number[record["category_id"]] for record in of_image], dtype=torch.int64)
        reference.append({"boxes": boxes.double(), "labels": label_ids})
    return images, targets, reference


def _varied(data):
    """Return eight images: one with a crowd, one without boxes, the one with most boxes, then tall and wide in turn."""
    counts = [len(data.target(n)["boxes"]) for n in range(len(data))]
    crowds = [n for n in range(len(data)) if len(data.target(n)["crowd_boxes"])]
    special = [*crowds[:1], *[n for n, count in enumerate(counts) if not count][:1], counts.index(max(counts))]
    others = [n for n in range(len(data)) if n not in special]
    tall = [n for n in others if data.size(n)[0] > data.size(n)[1]]
    wide = [n for n in others if data.size(n)[0] < data.size(n)[1]]
    return [*special, *[n for pair in zip(tall, wide, strict=False) for n in pair]][:8]


# Cases


def _case(n):
    """Return case n. In sixty cases, each make has each situation twice."""
    shapes, counts, classes, options = SITUATIONS[n % len(SITUATIONS)]
    return _make(MAKES[n % 3], shapes, counts, classes, n, **FEW | options)


def _make(make, shapes, counts, classes, seed, **options):
    """Return a detector of torchvision, images and targets."""
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
    """Make it float64, with weights for which features, scores and boxes vary on these images, as trained ones do."""
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
    """Set the running statistics of a batch norm to about those of its first input."""

    def settle(_, inputs):
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
        norm.running_mean.copy_(mean + 0.1 * variance.sqrt() * torch.randn_like(mean))
        norm.running_var.copy_(variance.clamp(min=0.01) * torch.empty_like(variance).uniform_(0.5, 2))
        handle.remove()

    handle = norm.register_forward_pre_hook(settle)


def _spread_once(layer, spread):
    """At a layer's first call, scale its output channels to a mean of 0 and this standard deviation."""

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
    """Return patches of color with some noise, of random brightness and contrast."""
    patches = F.interpolate(torch.rand(1, 3, 7, 7, dtype=torch.float64), (height, width))[0]
    noise = torch.rand(3, height, width, dtype=torch.float64)
    contrast, light = torch.rand(1), 0.2 + 0.6 * torch.rand(3, 1, 1)
    return (contrast * (0.8 * patches + 0.2 * noise - 0.5) + light).clamp(0, 1)


def _boxes(count, height, width):
    """Return boxes of any size, from two pixels to the whole image; some touch its edges."""
    sides = torch.tensor([width, height], dtype=torch.float64)
    size = 2 + (sides - 2) * torch.rand(count, 2, dtype=torch.float64) ** 2
    corner = (sides - size) * (1.2 * torch.rand(count, 2, dtype=torch.float64) - 0.1).clamp(0, 1)
    return torch.cat([corner, corner + size], 1)
