import copy
from dataclasses import replace

import pytest
import torch

from coursekit.core import distributed
from coursekit.core.errors import CourseError
from coursekit.data import load
from coursekit.detector import FasterRCNN, build_detector
from coursekit.detector.resize import to_batch
from coursekit.evaluation import predict
from coursekit.training import TrainConfig
from coursekit.training.micro_batches import (
    accumulate_or_halve,
    local_batch,
    loss_counts,
    optimizer_step,
    padded_size,
)
from coursekit.training.run_state import start_run

SIZES = [[(48, 64)], [(64, 48)], [(48, 64), (33, 64)], [(100, 30), (40, 200)], [(37, 53), (71, 29), (64, 64)]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_detector(num_classes=16, size=64, channels=16, hidden=16).double()


@pytest.fixture
def run(model):
    """A run with four scenes of several sizes per step. In float32, rounding could change what NMS keeps."""
    torch.set_default_dtype(torch.float64)  # of the images, too
    config, dataset = TrainConfig(batch_size=4, precision="fp32"), load("mini", "train").head(40)
    yield start_run(copy.deepcopy(model), dataset, config, torch.device("cpu"), lambda: "Buy a card.")
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def computed():
    return []


@pytest.fixture
def whole(run, computed):
    """Return losses and gradients of the whole batch. They are computed once."""
    if not computed:
        computed.append(_gradients(run, *_batch(run)))
    return computed[0]


def _batch(run):
    """Return the first full batch: some have fewer images, because wide and tall ones don't mix."""
    return next(batch for batch in run.loader.epoch(0) if len(batch[0]) == run.config.batch_size)


def _read(losses):
    losses.send()
    return losses.read()


def _gradients(run, images, targets):
    losses = _read(accumulate_or_halve(run, local_batch(run, images, targets)))
    return losses, {name: p.grad.clone() for name, p in run.model.named_parameters() if p.grad is not None}


def _assert_same(first, second):
    (losses, grads), (other_losses, other_grads) = first, second
    assert losses == pytest.approx(other_losses, rel=1e-9)
    assert grads.keys() == other_grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, other_grads[name], rtol=1e-7, atol=1e-10, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_accumulated_gradients_are_those_of_the_whole_batch(run, whole, micro_batch):
    run.micro_batch = micro_batch
    _assert_same(whole, _gradients(run, *_batch(run)))


@pytest.fixture
def one_stage(run):
    """A run of a detector with one stage, whose losses are divided by a number that depends on the images."""
    torch.manual_seed(0)
    model = build_detector(num_classes=16, size=64, channels=16, kind="fcos").double()
    return start_run(model, run.loader.dataset, run.config, torch.device("cpu"), lambda: "")


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_accumulated_gradients_of_one_stage_are_those_of_the_whole_batch(one_stage, micro_batch):
    images, targets = _batch(one_stage)
    targets[1] = targets[1] | {"boxes": targets[1]["boxes"][:0], "labels": targets[1]["labels"][:0]}
    counts = loss_counts(one_stage.model, images, targets)
    assert counts[1] == 0
    assert len(set(counts)) > 2  # by the number of images, the weights would be wrong
    whole = _gradients(one_stage, images, targets)
    one_stage.micro_batch = micro_batch
    _assert_same(whole, _gradients(one_stage, images, targets))


def test_a_batch_without_objects_has_weights_that_divide_by_one(one_stage):
    images, targets = _batch(one_stage)
    empty = [target | {"boxes": target["boxes"][:0], "labels": target["labels"][:0]} for target in targets]
    batch = local_batch(one_stage, images, empty)
    assert [batch.weight(slice(n, n + 1)) for n in range(4)] == [1, 1, 1, 1]
    assert batch.weight(slice(0, 4)) == 1


def test_other_models_are_weighted_by_images(run):
    images, targets = _batch(run)
    assert loss_counts(torch.nn.Linear(1, 1), images, targets) == [1, 1, 1, 1]
    assert local_batch(run, images, targets).weight(slice(1, 4)) == 0.75


@pytest.mark.slow
def test_without_common_padding_the_gradients_would_differ(run):
    """Shows that the test above can fail: padding to the micro-batch's own size changes features at the edges."""
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in [(64, 64), (32, 64)]]
    target = {"boxes": torch.tensor([[2.0, 2, 30, 30]]), "labels": torch.tensor([1]), "image_id": 5}
    batch = local_batch(run, images, [target, target])
    run.micro_batch = 1
    apart = accumulate_or_halve(run, replace(batch, pad_to=(0, 0)))
    together = accumulate_or_halve(run, batch)
    assert _read(apart)["loss_objectness"] != pytest.approx(_read(together)["loss_objectness"], rel=1e-9)


@pytest.mark.slow
def test_out_of_memory_retries_the_batch_in_halved_micro_batches(run, whole, monkeypatch):
    images, targets = _batch(run)
    forward, sizes = run.model.forward, []

    def limited(inputs, targets, pad_to=(0, 0), seeds=None):
        sizes.append(len(inputs))
        if len(inputs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(inputs, targets, pad_to=pad_to, seeds=seeds)

    monkeypatch.setattr(run.model, "forward", limited)
    _assert_same(whole, _gradients(run, images, targets))
    assert sizes == [4, 2, 1, 1, 1, 1]
    assert run.micro_batch == 1
    assert [event.split(". ")[0] for event in run.events] == ["step 1: out of memory"] * 2
    assert "--micro-batch 1" in run.events[-1]
    sizes.clear()
    _gradients(run, images, targets)
    assert sizes == [1, 1, 1, 1]  # the micro-batch that fits is kept


@pytest.mark.slow
def test_out_of_memory_in_the_middle_of_a_step_leaves_no_partial_gradient(run, whole, monkeypatch):
    images, targets = _batch(run)
    run.micro_batch = 2
    forward, calls = run.model.forward, []

    def second_fails(inputs, targets, pad_to=(0, 0), seeds=None):
        calls.append(len(inputs))
        if len(calls) == 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
        return forward(inputs, targets, pad_to=pad_to, seeds=seeds)

    monkeypatch.setattr(run.model, "forward", second_fails)
    _assert_same(whole, _gradients(run, images, targets))
    assert calls == [2, 2, 1, 1, 1, 1]


def test_if_one_image_does_not_fit_the_message_has_advice(run, monkeypatch):
    def never(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    never.__signature__ = None
    monkeypatch.setattr(run.model, "forward", lambda images, targets: never())
    with pytest.raises(CourseError, match=r"Not even one image fits .*CUDA out of memory.*Buy a card"):
        accumulate_or_halve(run, local_batch(run, *_batch(run)))


def test_other_errors_are_not_taken_for_out_of_memory(run, monkeypatch):
    def broken(images, targets):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(run.model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        accumulate_or_halve(run, local_batch(run, *_batch(run)))


@pytest.mark.parametrize("sizes", [*SIZES, [(48, 64), (50, 33), (96, 96), (7, 200)]])
@pytest.mark.parametrize("limits", [(64, 64), (96, 96), (40, 120)])
def test_the_padded_size_is_that_of_the_resized_images(tiny_detector, sizes, limits):
    tiny_detector.options = replace(tiny_detector.options, min_size=limits[0], max_size=limits[1])
    images, backbone = [torch.rand(3, *size) for size in sizes], tiny_detector.backbone
    _, resized = to_batch(images, *limits, backbone.mean, backbone.std)
    assert padded_size(tiny_detector, images) == tuple(max(sides) for sides in zip(*resized, strict=True))


def test_other_models_and_no_images_have_no_padded_size(tiny_detector):
    assert padded_size(torch.nn.Linear(1, 1), [torch.rand(3, 48, 64)]) == padded_size(tiny_detector, []) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_has_finite_gradients(run, precision):
    torch.set_default_dtype(torch.float32)
    run.model.float()
    run.config = TrainConfig(batch_size=4, precision=precision)
    run.scaler = torch.amp.GradScaler("cpu", enabled=precision == "fp16")
    images, targets = _batch(run)
    losses, grads = _gradients(run, images[:2], targets[:2])
    assert all(torch.tensor(value).isfinite() for value in losses.values())
    assert sum(bool(grad.isfinite().all()) for grad in grads.values()) > 0.9 * len(grads)


@pytest.mark.slow
def test_torchvisions_detector_trains_too(run):
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    config = TrainConfig(batch_size=2)
    model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=17, min_size=96)
    run = start_run(model, load("mini", "train").head(40), config, torch.device("cpu"), lambda: "")
    before = copy.deepcopy(model.state_dict())
    losses, count = optimizer_step(run, *_batch(run))
    assert count == 2
    assert set(_read(losses)) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


class TwoEqualProcesses:
    """Two processes with the same images, and a count of the messages that they exchange."""

    def __init__(self, monkeypatch):
        self.messages = []
        monkeypatch.setattr(distributed, "world_size", lambda: 2)
        monkeypatch.setattr(distributed.dist, "all_gather", self.all_gather)
        monkeypatch.setattr(distributed.dist, "all_reduce", self.all_reduce)
        monkeypatch.setattr(distributed.dist, "all_gather_object", self.all_gather_object)

    def all_gather(self, rows, local):
        self.messages.append("numbers")
        assert local.device.type == "cpu"
        for row in rows:
            row.copy_(local)

    def all_reduce(self, flat):
        self.messages.append("gradients and losses")
        flat.mul_(2)

    def all_gather_object(self, values, value):
        self.messages.append("names")
        values[:] = [value, value]


@pytest.mark.slow
def test_processes_exchange_two_messages_per_step(run, monkeypatch):
    batch = _batch(run)
    alone = _read(optimizer_step(run, *batch)[0])
    run = start_run(run.model, run.loader.dataset, run.config, run.device, lambda: "")
    processes = TwoEqualProcesses(monkeypatch)
    losses, count = optimizer_step(run, *batch)
    assert count == 8
    assert _read(losses).keys() == alone.keys()
    optimizer_step(run, *batch)
    assert processes.messages == ["numbers", "names", "gradients and losses", "numbers", "gradients and losses"]


def test_with_few_sizes_all_batches_of_a_data_set_have_one_of_a_few(tiny_detector):
    images = [torch.rand(3, height, 64) for height in range(1, 65)]
    sizes = {padded_size(tiny_detector, [image], few=True) for image in images}
    assert sizes == {(16, 64), (32, 64), (48, 64), (64, 64)}
    assert padded_size(torch.nn.Linear(1, 1), images, few=True) == (0, 0)


class OwnForward(FasterRCNN):
    """A subclass as a reader would write it: it expects what our detector's docstring says."""

    def forward(self, images, targets=None):
        assert all(image.is_floating_point() and image.max() <= 1 for image in images)
        assert targets is None or all(target["boxes"].shape[1] == 4 for target in targets)
        return super().forward(list(images), targets)


def test_a_subclass_with_its_own_forward_gets_lists(run):
    images, targets = _batch(run)
    run.model.__class__ = OwnForward
    losses, _ = optimizer_step(run, images, targets)
    assert len(_read(losses)) == 4
    assert len(predict(run.model, images)) == len(images)
