import copy

import pytest
import torch

from coursekit.core.errors import CourseError
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.detector.resize import to_batch
from coursekit.training import TrainConfig
from coursekit.training.state import start_run
from coursekit.training.step import LocalBatch, accumulate_or_halve, local_batch, optimizer_step, padded_size


@pytest.fixture
def run():
    """A run with eight scenes of several sizes per step. In float32, rounding could change what NMS keeps."""
    torch.set_default_dtype(torch.float64)  # of the images, too
    torch.manual_seed(0)
    model = build_detector(num_classes=16, size=96, channels=16, hidden=16).double()
    config = TrainConfig(batch_size=8, precision="fp32")
    yield start_run(model, load("mini", "train").head(40), config, torch.device("cpu"), lambda: "Buy a card.")
    torch.set_default_dtype(torch.float32)


def _batch(run):
    """Return the first full batch: some have fewer images, because wide and tall ones don't mix."""
    return next(batch for batch in run.loader.epoch(0) if len(batch[0]) == run.config.batch_size)


def _gradients(run, images, targets):
    losses = accumulate_or_halve(run, local_batch(run, images, targets))
    return losses, {name: p.grad.clone() for name, p in run.model.named_parameters() if p.grad is not None}


def _assert_same(first, second):
    (losses, grads), (other_losses, other_grads) = first, second
    assert losses == pytest.approx(other_losses, rel=1e-9)
    assert grads.keys() == other_grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, other_grads[name], rtol=1e-7, atol=1e-10, msg=name)


@pytest.mark.parametrize("micro_batch", [1, 3, 4])
def test_accumulated_gradients_are_those_of_the_whole_batch(run, micro_batch):
    images, targets = _batch(run)
    whole = _gradients(run, images, targets)
    run.micro_batch = micro_batch
    _assert_same(whole, _gradients(run, images, targets))


def test_without_common_padding_the_gradients_would_differ(run):
    """Shows that the test above can fail: padding to the micro-batch's own size changes features at the edges."""
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in [(48, 64), (33, 64)]]
    target = {"boxes": torch.tensor([[2.0, 2, 30, 30]]), "labels": torch.tensor([1]), "image_id": 5}
    batch = local_batch(run, images, [target, target])
    run.micro_batch = 1
    apart = accumulate_or_halve(run, LocalBatch(images, batch.targets, 2, (0, 0), batch.seeds))
    together = accumulate_or_halve(run, batch)
    assert apart["loss_objectness"] != pytest.approx(together["loss_objectness"], rel=1e-9)


def test_out_of_memory_retries_the_batch_in_halved_micro_batches(run, monkeypatch):
    images, targets = _batch(run)
    whole = _gradients(run, images, targets)
    forward, sizes = run.model.forward, []

    def limited(inputs, targets, pad_to=(0, 0), seeds=None):
        sizes.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(inputs, targets, pad_to=pad_to, seeds=seeds)

    monkeypatch.setattr(run.model, "forward", limited)
    _assert_same(whole, _gradients(run, images, targets))
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert run.micro_batch == 2
    assert [event.split(". ")[0] for event in run.events] == ["step 1: out of memory"] * 2
    assert "--micro-batch 2" in run.events[-1]
    sizes.clear()
    _gradients(run, images, targets)
    assert sizes == [2, 2, 2, 2]  # the micro-batch that fits is kept


def test_out_of_memory_in_the_middle_of_a_step_leaves_no_partial_gradient(run, monkeypatch):
    images, targets = _batch(run)
    run.micro_batch = 4
    whole = _gradients(run, images, targets)
    forward, calls = run.model.forward, []

    def second_fails(inputs, targets, pad_to=(0, 0), seeds=None):
        calls.append(len(inputs))
        if len(calls) == 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
        return forward(inputs, targets, pad_to=pad_to, seeds=seeds)

    monkeypatch.setattr(run.model, "forward", second_fails)
    _assert_same(whole, _gradients(run, images, targets))
    assert calls == [4, 4, 2, 2, 2, 2]


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


def test_the_padded_size_is_that_of_the_resized_images(run):
    images = [torch.rand(3, *size) for size in [(48, 64), (50, 33), (96, 96), (7, 200)]]
    options, backbone = run.model.options, run.model.backbone
    _, sizes = to_batch(images, options.min_size, options.max_size, backbone.mean, backbone.std)
    heights, widths = zip(*sizes, strict=True)
    assert padded_size(run.model, images) == (max(heights), max(widths))
    assert padded_size(torch.nn.Linear(1, 1), images) == padded_size(run.model, []) == (0, 0)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_has_finite_gradients(run, precision):
    torch.set_default_dtype(torch.float32)
    run.model.float()
    run.config = TrainConfig(batch_size=8, precision=precision)
    run.scaler = torch.amp.GradScaler("cpu", enabled=precision == "fp16")
    losses, grads = _gradients(run, *_batch(run))
    assert all(torch.tensor(value).isfinite() for value in losses.values())
    assert sum(bool(grad.isfinite().all()) for grad in grads.values()) > 0.9 * len(grads)


def test_torchvisions_detector_trains_too(run):
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    config = TrainConfig(batch_size=2)
    model = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=17, min_size=96)
    run = start_run(model, load("mini", "train").head(40), config, torch.device("cpu"), lambda: "")
    before = copy.deepcopy(model.state_dict())
    losses, count = optimizer_step(run, *_batch(run))
    assert count == 2
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())
