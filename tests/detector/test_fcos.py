"""The whole one-stage detector: with the same weights, torchvision's FCOS has the same losses and detections."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.padded_images import pad_images
from coursekit.detector import FCOS, build_detector, from_torchvision
from coursekit.detector.base import takes_padded_images
from coursekit.detector.packed_targets import pack_targets

LOSSES = {"classification", "bbox_regression", "bbox_ctrness"}
SITUATIONS = [  # (height, width) of the images of a batch, boxes in each, classes, options of torchvision
    ([(96, 130)], [0], 4, {}),
    ([(140, 100)], [1], 1, {"score_thresh": 0.3}),
    ([(110, 110), (90, 150)], [3, 0], 7, {"topk_candidates": 20}),
    ([(120, 150)], [40], 20, {"nms_thresh": 0.3}),
    ([(97, 131)], [5], 3, {"min_size": 85, "max_size": 119}),
    ([(201, 117), (83, 149)], [4, 9], 80, {"score_thresh": 0.05}),
    ([(64, 200), (128, 128), (190, 77), (33, 40)], [2, 1, 7, 2], 2, {"detections_per_img": 10}),
    ([(150, 260)], [12], 5, {"min_size": 200, "max_size": 300}),
]


# The oracle


@pytest.mark.parametrize("n", [2, 6, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 3, 4, 5, 7))])
def test_losses_and_detections_are_torchvisions(n):
    _check(*_case(n))


@pytest.mark.long
@pytest.mark.parametrize("n", range(40))
def test_losses_and_detections_are_torchvisions_in_forty_cases(n):
    _check(*_case(n))


@pytest.mark.slow
def test_losses_and_detections_are_torchvisions_with_a_resnet50_and_its_default_options():
    images, targets = _batch([(150, 200), (200, 140)], [20, 3], 90, 0)
    model = detection.fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    model.transform.min_size, model.transform.max_size = (160,), 224
    _check(_randomise(model, images), images, targets)


@pytest.mark.slow
def test_gradients_are_torchvisions():
    theirs, images, targets = _case(2)
    ours = from_torchvision(theirs)
    sum(_our_losses(ours, images, targets).values()).backward()
    sum(_their_losses(theirs, images, targets).values()).backward()
    head = theirs.head
    pairs = [
        (ours.head.class_tower, head.classification_head.conv), (ours.head.box_tower, head.regression_head.conv),
        (ours.head.distances, head.regression_head.bbox_reg), (ours.fpn.fpn.lateral, theirs.backbone.fpn.inner_blocks),
    ]  # fmt: skip
    for layers, expected in pairs:
        for gradient, other in zip(_gradients(layers), _gradients(expected), strict=True):
            assert (gradient - other).norm() <= 1e-9 * other.norm()


def test_a_fault_in_a_weight_is_noticed():
    theirs, images, targets = _case(2)
    ours = from_torchvision(theirs)
    with torch.no_grad():
        ours.head.box_tower[0].weight[0] *= 1.001
    with pytest.raises(AssertionError):
        _compare(ours, theirs, images, targets)


def test_another_radius_of_center_sampling_is_refused():
    theirs = _theirs(2, center_sampling_radius=2.5)
    with pytest.raises(ConfigError, match=r"center_sampling_radius of 1\.5"):
        from_torchvision(theirs)


def _check(theirs, images, targets):
    assert _compare(from_torchvision(theirs), theirs, images, targets) >= 5  # else there was nothing to compare


def _compare(ours, theirs, images, targets):
    """Compare losses and detections, and return how many detections there were."""
    losses = _our_losses(ours, images, targets)
    with torch.no_grad():
        expected = _their_losses(theirs, images, targets)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-9, abs=1e-12), name
    with torch.no_grad():
        pairs = list(zip(ours.eval()(images), theirs.eval()(images), strict=True))
    for found, expected in pairs:
        torch.testing.assert_close(found["scores"], expected["scores"], rtol=0, atol=1e-9)
        torch.testing.assert_close(found["boxes"], expected["boxes"], rtol=0, atol=1e-6)
        assert torch.equal(found["labels"], expected["labels"])
    return sum(len(found["boxes"]) for found, _ in pairs)


def _our_losses(ours, images, targets):
    return ours.train()(images, targets)


def _their_losses(theirs, images, targets):
    theirs.train().backbone.body.eval()  # our batch norm is frozen
    return theirs(images, targets)


def _gradients(layers):
    return [parameter.grad for parameter in layers.parameters()]


def _case(n):
    """Return a detector of torchvision, images and targets. Every other detector has four levels, the others five."""
    shapes, counts, classes, options = SITUATIONS[n % len(SITUATIONS)]
    images, targets = _batch(shapes, counts, classes, n)
    sizes = {"min_size": 80, "max_size": 112}
    return _randomise(_theirs(classes, n, levels=5 if n % 2 else 4, **sizes | options), images), images, targets


def _theirs(classes, seed=0, levels=4, **options):
    torch.manual_seed(seed)
    extra = LastLevelP6P7(256, 256) if levels == 5 else None  # None: every second row and column of P5
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, trainable_layers=5, returned_layers=[2, 3, 4], extra_blocks=extra
    )
    sizes = tuple((8 * 2**level,) for level in range(levels))
    anchors = AnchorGenerator(sizes, ((1.0,),) * levels)
    return detection.FCOS(backbone, classes + 1, anchor_generator=anchors, **options)


def _randomise(model, images):
    """Make it float64, with weights for which scores and boxes vary, as trained ones do."""
    head = model.head
    outputs = (head.classification_head.cls_logits, -1.5), (head.regression_head.bbox_reg, 2.0)
    with torch.no_grad():
        for module in head.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=(1 / module.weight[0].numel()) ** 0.5)
        for layer, bias in outputs:
            nn.init.normal_(layer.bias, bias, 0.5)
        head.classification_head.cls_logits.weight[0] = 0  # the background, which ours leaves out: it is never found
        head.classification_head.cls_logits.bias[0] = -100
    return model.double().eval()


def _batch(shapes, counts, classes, seed):
    generator = torch.Generator().manual_seed(seed + 1000)
    images = [torch.rand(3, *shape, generator=generator, dtype=torch.float64) for shape in shapes]
    targets = [
        {
            "boxes": _boxes(count, *shape, generator),
            "labels": torch.randint(1, classes + 1, (count,), generator=generator),
        }
        for count, shape in zip(counts, shapes, strict=True)
    ]
    return images, targets


def _boxes(count, height, width, generator):
    sides = torch.tensor([width, height], dtype=torch.float64)
    size = 2 + (sides - 2) * torch.rand(count, 2, dtype=torch.float64, generator=generator) ** 2
    corner = (sides - size) * torch.rand(count, 2, dtype=torch.float64, generator=generator)
    return torch.cat([corner, corner + size], 1)


# How it is called


@pytest.fixture(scope="module")
def built():
    torch.manual_seed(0)
    return build_detector(num_classes=2, size=64, channels=16, pretrained=False, kind="fcos")


@pytest.fixture
def tiny(built):
    return copy.deepcopy(built)


def _target(boxes, labels):
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}


IMAGES = [torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(n)) for n in range(2)]
TARGETS = [_target([4.0, 5, 24, 15, 3.0, 2, 60, 40], [2, 1]), _target([], [])]


def test_losses_are_finite_with_and_without_boxes(tiny):
    assert isinstance(tiny, FCOS)
    losses = tiny.train()(IMAGES, TARGETS)
    assert set(losses) == LOSSES
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    losses = tiny(IMAGES, [TARGETS[1]] * 2)
    assert losses["bbox_regression"] == losses["bbox_ctrness"] == 0
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in tiny.parameters() if p.requires_grad and p.grad is not None)


def test_every_trained_weight_gets_a_gradient(tiny):
    with torch.no_grad():
        tiny.head.distances.bias.fill_(1.0)
    sum(tiny.train()(IMAGES, TARGETS).values()).backward()
    missing = [name for name, p in tiny.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert missing == []


@torch.no_grad()
def test_detections_are_in_pixels_of_each_image(tiny):
    tiny.options = type(tiny.options)(**vars(tiny.options) | {"score_thresh": 0.0})
    images = [torch.rand(3, 30, 100), torch.rand(3, 128, 96)]
    for image, found in zip(images, tiny.eval()(images), strict=True):
        assert found.keys() == {"boxes", "labels", "scores"}
        assert len(found["boxes"]) == 100
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"][:, 2:] <= torch.tensor([image.shape[2], image.shape[1]]) + 1e-3).all()
        assert set(found["labels"].tolist()) <= {1, 2}
        assert (found["scores"].diff() <= 0).all()


def test_packed_targets_and_padded_images_give_the_same_losses(tiny):
    assert takes_padded_images(tiny)
    images = [(255 * image).to(torch.uint8) for image in IMAGES]
    expected = tiny.train()([image / 255 for image in images], TARGETS)
    packed = pack_targets(TARGETS, [(48, 64)] * 2, [3, 4], 64, 64)
    torch.testing.assert_close(tiny(pad_images(images), packed), expected)


@pytest.mark.parametrize("size", [(48, 64), (100, 30), (320, 200)])
def test_counts_are_the_cells_that_the_losses_are_divided_by(tiny, size):
    sides = torch.tensor([size[1], size[0]] * 2)
    target = {
        "boxes": torch.tensor([[0.1, 0.1, 0.7, 0.8], [0.0, 0.2, 0.9, 0.6]]) * sides,
        "labels": torch.tensor([2, 1]),
    }
    rows = []

    def assign(*args):
        rows.append(matches := tiny.parts.assign_cells(*args))
        return matches

    tiny.head.assign_cells = assign
    tiny.train()([torch.rand(3, *size)], [target])
    assert tiny.loss_counts([target, TARGETS[1]], [size, size]) == [int((rows[0] >= 0).sum()), 0]
    assert (rows[0] >= 0).any()


def test_it_trains_on_shapes_that_it_has_first_seen_in_inference(tiny):
    expected = copy.deepcopy(tiny).train()(IMAGES, TARGETS)
    with torch.inference_mode():
        tiny.eval()(IMAGES)
    losses = tiny.train()(IMAGES, TARGETS)
    sum(losses.values()).backward()
    torch.testing.assert_close(losses, expected)


def test_bad_inputs_are_named(tiny):
    with pytest.raises(DataError, match=r"targets\[0\]: boxes\[0\]"):
        tiny.train()(IMAGES, [_target([9.0, 9, 3, 3], [1]), TARGETS[1]])
    with pytest.raises(DataError, match="label from 1 to 2"):
        tiny(IMAGES, [_target([1.0, 1, 3, 3], [3]), TARGETS[1]])
    with pytest.raises(DataError, match=r"images\[0\]"):
        tiny([torch.zeros(4, 9, 9)], [TARGETS[1]])


def test_the_dense_part_may_be_replaced(tiny):
    calls = []
    dense = tiny.dense
    tiny.dense = lambda batch: calls.append(batch) or dense(batch)
    tiny.train()(IMAGES, TARGETS)
    tiny.eval()(IMAGES)
    assert len(calls) == 2


def test_it_can_be_copied_and_pickled(tiny):
    loaded = pickle.loads(pickle.dumps(tiny))
    torch.testing.assert_close(loaded.train()(IMAGES, TARGETS), tiny.train()(IMAGES, TARGETS))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_mixed_precision(tiny, precision):
    with torch.autocast("cpu", precision):
        losses = tiny.train()(IMAGES, TARGETS)
        found = tiny.eval()(IMAGES)
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())
    assert all(detections["boxes"].dtype == torch.float32 for detections in found)
