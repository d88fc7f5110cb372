import copy
import pickle
from dataclasses import replace
from functools import wraps

import pytest
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.detector import build_detector, resize
from coursekit.detector.choose_parts import PARTS
from coursekit.detector.padded_boxes import pad_targets

LOSSES = {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
halves = pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])


def _target(boxes, labels):
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}


def _images(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, *size, generator=generator) for size in sizes]


def _tiny(backbone="tf_efficientnet_lite0", **options):
    torch.manual_seed(0)
    small = {"num_classes": 2, "size": 64, "channels": 16, "hidden": 16, "pretrained": False}
    return build_detector(backbone, **small | options)


def _sum(outputs):
    """Return the sum of all numbers that the dense part returns."""
    levels, logits, deltas = outputs
    return sum(values.float().sum() for values in [*levels, logits, deltas])


def _finite_gradients(detector):
    return [parameter.grad.isfinite().all() for parameter in detector.parameters() if parameter.requires_grad]


# Losses


def test_losses_are_finite_with_and_without_boxes(tiny_detector):
    images = _images((48, 64), (64, 40))
    losses = tiny_detector.train()(images, [_target([4.0, 5, 24, 15], [2]), _target([], [])])
    assert set(losses) == LOSSES
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses["loss_rpn_box_reg"] > 0


def test_a_batch_without_objects_has_losses_for_background_only(tiny_detector):
    losses = tiny_detector.train()(_images((64, 64), (64, 64)), [_target([], []), _target([], [])])
    assert losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
    assert losses["loss_classifier"] > 0
    assert losses["loss_objectness"] > 0
    sum(losses.values()).backward()
    assert all(_finite_gradients(tiny_detector))


@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_heads_with_large_weights_give_no_nan(tiny_detector, spread):
    with torch.no_grad():
        for head in (tiny_detector.rpn_head, tiny_detector.box_head):
            for parameter in head.parameters():
                parameter.normal_(std=spread)
    images = _images((64, 64), (40, 64))
    losses = tiny_detector.train()(images, [_target([4.0, 5, 24, 15], [2]), _target([], [])])
    assert all(torch.isfinite(loss) for loss in losses.values())
    for detections in tiny_detector.eval()(images):
        assert all(torch.isfinite(value).all() for value in detections.values())


def test_without_proposals_there_are_losses_and_no_detections(tiny_detector):
    images, no_objects = _images((64, 64)), _target([], [])
    tiny_detector.options = replace(tiny_detector.options, rpn_score_thresh=2.0)
    losses = tiny_detector.train()(images, [no_objects])
    assert losses["loss_classifier"] == losses["loss_box_reg"] == 0
    sum(losses.values()).backward()
    assert all(_finite_gradients(tiny_detector))
    detections = tiny_detector.eval()(images)[0]
    assert detections["boxes"].shape == (0, 4)
    assert detections["labels"].shape == detections["scores"].shape == (0,)


def test_gradients_reach_the_trained_parameters_only():
    model = _tiny(frozen_stages=3)
    losses = model(_images((64, 64)), [_target([4.0, 5, 40, 50], [2])])
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_the_sample_of_an_image_depends_on_its_seed_alone():
    samples = []

    @wraps(PARTS["sample_rois"])
    def sample(*args, **kwargs):
        samples.append(PARTS["sample_rois"](*args, **kwargs))
        return samples[-1]

    detector = _tiny(parts={"sample_rois": sample}).train()
    detector.options = replace(detector.options, box_batch_size_per_image=16, rpn_batch_size_per_image=16)
    images = _images((64, 64), (48, 40))
    targets = [_target([4.0, 5, 24, 15], [2]), _target([3.0, 2, 30, 38], [1])]
    together = detector(images, targets, seeds=[5, 6])
    torch.manual_seed(123)
    single = zip(images, targets, [5, 6], strict=True)
    apart = [detector([image], [target], pad_to=(64, 64), seeds=[seed]) for image, target, seed in single]
    for in_batch, alone in zip(samples[:2], samples[2:], strict=True):
        torch.testing.assert_close(in_batch, alone, rtol=1e-4, atol=1e-3)
    for name in LOSSES:  # both images have the same number of samples, so the loss of the batch is the mean
        mean = sum(losses[name] for losses in apart) / 2
        torch.testing.assert_close(together[name], mean, rtol=1e-3, atol=1e-5)
    other = detector(images, targets, seeds=[7, 8])
    assert not torch.equal(samples[4][0], samples[0][0])
    assert other["loss_objectness"] != together["loss_objectness"]


def test_the_options_reach_the_parts():
    seen = {}

    def record(name):
        @wraps(PARTS[name])
        def recorder(*args, **kwargs):
            seen[name] = args
            return PARTS[name](*args, **kwargs)

        return recorder

    names = ("rpn_losses", "propose", "sample_rois", "pool_levels", "postprocess", "make_anchors")
    detector, images = _tiny(parts={name: record(name) for name in names}), _images((64, 20))
    detector.options = replace(
        detector.options,
        ratios=(0.3, 1.0, 4.0),
        rpn_batch_size_per_image=11,
        rpn_pre_nms_top_n=(12, 13),
        rpn_post_nms_top_n=(14, 15),
        rpn_nms_thresh=0.16,
        rpn_score_thresh=0.17,
        box_batch_size_per_image=18,
        canonical_scale=19.0,
        box_score_thresh=0.2,
        box_nms_thresh=0.21,
        box_detections_per_img=22,
    )
    detector.train()(images, [_target([4.0, 5, 14, 35], [2])])
    assert seen["propose"][-4:] == (12, 14, 0.16, 0.17)
    assert seen["rpn_losses"][-1] == 11
    assert seen["sample_rois"][-1] == 18
    detector.eval()(images)
    assert seen["propose"][-4:] == (13, 15, 0.16, 0.17)
    assert seen["pool_levels"][-1] == 19
    assert seen["postprocess"][-3:] == (0.2, 0.21, 22)
    assert seen["make_anchors"] == ((2, 1), (32, 32), detector.options.anchor_sizes[2], (0.3, 1.0, 4.0))


# The first stage


def test_training_and_inference_share_the_first_stage(tiny_detector):
    batch, sizes = torch.stack(_images((64, 64), (64, 64))), torch.tensor([[64.0, 64], [50, 60]])
    target = _target([4.0, 5, 24, 15], [2])
    calls = []
    first_stage = tiny_detector.first_stage
    tiny_detector.first_stage = lambda *args: (calls.append(args), first_stage(*args))[1]
    tiny_detector.train().losses(batch, sizes, pad_targets([target, target]))
    tiny_detector.eval().predict(batch, sizes)
    assert calls == [(batch, sizes)] * 2


def test_the_first_stage_returns_levels_predictions_anchors_and_proposals(tiny_detector):
    batch, sizes = torch.stack(_images((64, 96), (64, 96))), torch.tensor([[64.0, 96], [50, 60]])
    with torch.no_grad():
        levels, logits, deltas, anchors, proposals = tiny_detector.eval().first_stage(batch, sizes)
    assert [tuple(level.shape) for level in levels] == [(2, 16, 8, 12), (2, 16, 4, 6), (2, 16, 2, 3)]
    assert anchors.level_sizes == [9 * 8 * 12, 9 * 4 * 6, 9 * 2 * 3]
    assert logits.shape == (2, len(anchors.boxes))
    assert deltas.shape == (*logits.shape, 4)
    for boxes, (height, width) in zip(proposals.by_image(), sizes.tolist(), strict=True):
        assert 0 < len(boxes) <= tiny_detector.options.rpn_post_nms_top_n[1]
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height, width, height])).all()


# Detections


def test_detections_are_in_pixels_of_the_original_image(tiny_detector):
    tiny_detector.options = replace(tiny_detector.options, box_score_thresh=0.0)
    detections = tiny_detector.eval()([torch.rand(3, 480, 640)])[0]
    assert len(detections["boxes"])
    assert 64 < detections["boxes"][:, 2].max() <= 640  # it was resized to 64 pixels
    assert set(detections["labels"].tolist()) <= {1, 2}


def test_detections_are_inside_their_images_best_first_and_limited_in_number(tiny_detector):
    tiny_detector.options = replace(tiny_detector.options, box_score_thresh=0.0, box_detections_per_img=7)
    images = _images((50, 90), (120, 30))
    for image, detections in zip(images, tiny_detector.eval()(images), strict=True):
        height, width = image.shape[1:]
        boxes, scores = detections["boxes"], detections["scores"]
        assert len(boxes) == 7
        assert (boxes >= 0).all()
        assert (boxes[:, [0, 2]] <= width + 1e-3).all()
        assert (boxes[:, [1, 3]] <= height + 1e-3).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_an_image_has_the_same_detections_alone_and_in_a_batch_of_the_same_padding(tiny_detector):
    tiny_detector.eval().double()
    images = [image.double() for image in _images((64, 64), (40, 60), (64, 30))]
    with torch.no_grad():
        for image, detections in zip(images, tiny_detector(images), strict=True):
            torch.testing.assert_close(tiny_detector([image], pad_to=(64, 64))[0], detections)


@pytest.mark.slow
def test_it_learns_where_a_box_is():
    torch.manual_seed(2)
    detector = build_detector(num_classes=2, size=96, channels=24, hidden=32)
    image, target = torch.full((3, 60, 120), 0.2), _target([70.0, 10, 110, 34], [2])  # wide, and not in the center
    image[:, 10:34, 70:110] = torch.tensor([0.9, 0.3, 0.1])[:, None, None]
    optimizer = torch.optim.AdamW(filter(lambda parameter: parameter.requires_grad, detector.parameters()), 1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, 60)  # settles, whatever the rounding
    for _ in range(60):
        optimizer.zero_grad()
        sum(detector.train()([image], [target]).values()).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        detections = detector.eval()([image])[0]
    assert detections["labels"][0] == 2
    torch.testing.assert_close(detections["boxes"][0], target["boxes"][0], rtol=0, atol=6)


# Inputs


def test_the_long_side_becomes_size(tiny_detector):
    limits, backbone = (tiny_detector.options.min_size, tiny_detector.options.max_size), tiny_detector.backbone
    _, sizes = resize.to_batch(_images((480, 640), (300, 100)), *limits, backbone.mean, backbone.std)
    assert [max(size) for size in sizes] == [64, 64]


def test_a_batch_can_be_padded_to_a_larger_size(tiny_detector):
    batches = []
    dense = tiny_detector.dense
    tiny_detector.dense = lambda batch: (batches.append(batch), dense(batch))[1]
    tiny_detector.eval()(_images((64, 40)), pad_to=(64, 90))
    assert batches[0].shape == (1, 3, 64, 96)


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(3, 64, 64, dtype=torch.uint8),
        torch.zeros(1, 64, 64),
        torch.zeros(64, 64),
        torch.zeros(64, 64, 3),
        torch.zeros(1, 3, 64, 64),
        torch.zeros(3, 0, 64),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_an_image_of_another_shape_or_dtype_is_named(tiny_detector, image, training):
    shape = str(tuple(image.shape)).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(DataError, match=rf"images\[1\] is {shape}.*{image.dtype}.*uint8 by 255"):
        tiny_detector.train(training)([torch.zeros(3, 64, 64), image], [_target([], [])] * 2)


@pytest.mark.parametrize(
    ("box", "label"),
    [
        ([4.0, 5, 4, 15], 1),
        ([4.0, 5, 24, 5], 1),
        ([24.0, 5, 4, 15], 1),
        ([4.0, 15, 24, 5], 1),
        ([float("nan"), 5, 24, 15], 1),
        ([4.0, 5, float("inf"), 15], 1),
        ([4.0, -float("inf"), 24, 15], 1),
        ([4.0, 5, 24, 15], 0),
        ([4.0, 5, 24, 15], -1),
        ([4.0, 5, 24, 15], 3),
    ],
)
def test_an_invalid_box_is_named_with_its_image(tiny_detector, box, label):
    good = [1.0, 2, 30, 40]
    targets = [_target([good, good], [1, 2]), _target([], []), _target([good, box], [1, label])]
    with pytest.raises(DataError, match=r"targets\[2\]: boxes\[1\] is .* with label.*from 1 to 2"):
        tiny_detector.train()(_images((64, 64), (64, 64), (64, 64)), targets)
    targets[2]["image_id"] = torch.tensor(1234)
    with pytest.raises(DataError, match=r"targets\[2\] \(image 1234\): boxes\[1\]"):
        tiny_detector.train()(_images((64, 64), (64, 64), (64, 64)), targets)


@pytest.mark.parametrize(
    ("boxes", "labels"), [(torch.zeros(0), []), (torch.ones(3), [1]), (torch.ones(1, 5), [1]), (torch.ones(2, 4), [1])]
)
def test_targets_of_another_shape_are_named(tiny_detector, boxes, labels):
    target = {"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)}
    with pytest.raises(DataError, match=r"targets\[1\]: boxes .*expected \(N, 4\) and \(N,\)"):
        tiny_detector.train()(_images((64, 64), (64, 64)), [_target([], []), target])


@pytest.mark.parametrize(("targets", "words"), [(None, "none"), ([], "0"), ([_target([], [])] * 3, "3")])
def test_a_wrong_number_of_targets_is_named(tiny_detector, targets, words):
    with pytest.raises(DataError, match=f"2 images and {words} targets"):
        tiny_detector.train()(_images((64, 64), (64, 64)), targets)


def test_boxes_of_integers_are_used_or_an_error(tiny_detector):
    images = _images((128, 128))
    integers = {"boxes": torch.tensor([[10, 20, 90, 110]]), "labels": torch.tensor([1])}
    losses = []
    for boxes in (integers["boxes"].float(), integers["boxes"]):
        torch.manual_seed(0)
        try:
            losses.append(tiny_detector.train()(images, [integers | {"boxes": boxes}]))
        except DataError:
            return
    torch.testing.assert_close(losses[1], losses[0])


def test_the_labels_of_no_boxes_may_have_any_dtype(tiny_detector):
    no_objects = {"boxes": torch.zeros(0, 4), "labels": torch.tensor([])}
    tiny_detector.train()(_images((64, 64), (64, 64)), [_target([4.0, 5, 24, 15], [2]), no_objects])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"num_classes": 0}, "list of classes is empty"), ({"num_classes": 2, "size": 10}, "size 10")],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        build_detector(**options, pretrained=False)


# Precision


@pytest.mark.slow
@halves
@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "resnet18"])
def test_a_training_step_and_an_inference_work_under_autocast(half, backbone):
    detector, images = _tiny(backbone, pretrained=backbone != "resnet18"), _images((64, 64), (48, 64))
    targets = [_target([4.0, 5, 40, 50], [2]), _target([], [])]
    expected = detector.train()(images, targets, seeds=[1, 2])
    with torch.autocast("cpu", half):
        losses = detector(images, targets, seeds=[1, 2])
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected[name], rtol=0.2, atol=0.05)
    sum(losses.values()).backward()
    assert all(_finite_gradients(detector))
    assert sum(parameter.grad.abs().sum() for parameter in detector.parameters() if parameter.requires_grad) > 0
    with torch.no_grad(), torch.autocast("cpu", half):
        for detections in detector.eval()(images):
            assert len(detections["boxes"])
            assert detections["boxes"].dtype == detections["scores"].dtype == torch.float32
            assert all(torch.isfinite(value).all() for value in detections.values())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_detector_of_another_dtype_trains_and_predicts(dtype):
    detector = _tiny().to(dtype)
    images = [image.to(dtype) for image in _images((64, 64), (48, 64))]
    losses = detector.train()(images, [_target([4.0, 5, 40, 50], [2]), _target([], [])])
    assert all(torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert all(_finite_gradients(detector))
    with torch.no_grad():
        detections = detector.eval()(images)[0]
    assert len(detections["boxes"])
    assert all(torch.isfinite(value).all() for value in detections.values())


def test_a_detector_of_bfloat16_predicts_on_larger_images_too():
    detector = _tiny(size=320).bfloat16().eval()
    with torch.no_grad():
        detector([torch.zeros(3, 320, 320, dtype=torch.bfloat16)])


# Compiling


@pytest.mark.slow
@pytest.mark.parametrize(("training", "autocast"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "resnet18"])
def test_the_dense_part_compiles_as_one_graph(backbone, training, autocast):
    torch._dynamo.reset()
    detector, batch = _tiny(backbone).train(training), torch.stack(_images((64, 64), (64, 64)))
    compiled = torch.compile(detector._dense, fullgraph=True, backend="eager")
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours, expected = compiled(batch), detector._dense(batch)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    assert ours[1].dtype == (torch.bfloat16 if autocast else torch.float32)
    if training:
        weights = list(detector.fpn.parameters())
        gradients = [torch.autograd.grad(_sum(outputs), weights) for outputs in (ours, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_compiled_dense_part_gives_the_same_losses_and_detections(tiny_detector):
    images, targets = _images((64, 64)), [_target([4.0, 5, 40, 50], [2])]
    plain = tiny_detector.train()(images, targets, seeds=[1]), tiny_detector.eval()(images)
    torch._dynamo.reset()
    tiny_detector.dense = torch.compile(tiny_detector.dense, fullgraph=True, backend="eager")
    compiled = tiny_detector.train()(images, targets, seeds=[1]), tiny_detector.eval()(images)
    torch.testing.assert_close(compiled, plain)
    torch._dynamo.reset()


# Copies


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda detector: pickle.loads(pickle.dumps(detector))])
def test_a_copy_is_independent(tiny_detector, duplicate):
    tiny_detector.eval()
    images = _images((64, 64))
    expected = tiny_detector(images)[0]
    twin = duplicate(tiny_detector)
    torch.testing.assert_close(twin(images)[0], expected)
    with torch.no_grad():
        for parameter in tiny_detector.parameters():
            parameter.zero_()
    torch.testing.assert_close(twin(images)[0], expected)


def test_weights_of_one_detector_fit_another(tiny_detector):
    other = _tiny(pretrained=True).eval()
    other.load_state_dict(tiny_detector.state_dict())
    images = _images((64, 64))
    torch.testing.assert_close(other(images), tiny_detector.eval()(images))
