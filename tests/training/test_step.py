import copy

import pytest
import torch

from coursekit.core.errors import CourseError
from coursekit.data import load
from coursekit.detector import build_detector
from coursekit.training import TrainConfig
from coursekit.training.state import begin
from coursekit.training.step import Share, gradients, is_out_of_memory, share_of_batch


@pytest.fixture
def run():
    """A run in float64 with eight scenes a step, of several sizes: in float32, rounding may change what NMS keeps."""
    torch.set_default_dtype(torch.float64)  # that of the images, too
    torch.manual_seed(0)
    model = build_detector(
        num_classes=16, size=96, channels=16, hidden=16
    ).double()  # rounding may change what NMS keeps
    config = TrainConfig(batch_size=8, precision="fp32")
    yield begin(model, load("mini", "train").head(40), config, torch.device("cpu"), lambda: "Buy a card.")
    torch.set_default_dtype(torch.float32)


def _batch(run):
    """The first full one: some batches have fewer images, because wide and tall ones don't mix."""
    return next(batch for batch in run.loader.epoch(0) if len(batch[0]) == run.config.batch_size)


def _gradients(run, images, targets):
    losses = gradients(run, share_of_batch(run, images, targets))
    return losses, {name: p.grad.clone() for name, p in run.model.named_parameters() if p.grad is not None}


def _assert_same(first, second):
    (losses, grads), (other_losses, other_grads) = first, second
    assert losses == pytest.approx(other_losses, rel=1e-9)
    assert grads.keys() == other_grads.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, other_grads[name], rtol=1e-7, atol=1e-10, msg=name)


@pytest.mark.parametrize("micro_batch", [1, 3, 4])
def test_accumulated_gradients_are_those_of_the_large_batch(run, micro_batch):
    images, targets = _batch(run)
    whole = _gradients(run, images, targets)
    run.micro_batch = micro_batch
    _assert_same(whole, _gradients(run, images, targets))


def test_without_a_common_padding_they_would_differ(run):
    """The test above can fail: images padded to their own part's size give other features at the edges."""
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in [(48, 64), (33, 64)]]
    target = {"boxes": torch.tensor([[2.0, 2, 30, 30]]), "labels": torch.tensor([1]), "image_id": 5}
    share = share_of_batch(run, images, [target, target])
    run.micro_batch = 1
    apart = gradients(run, Share(images, share.targets, 2, (0, 0), share.seeds))
    together = gradients(run, share)
    assert apart["loss_objectness"] != pytest.approx(together["loss_objectness"], rel=1e-9)


def test_out_of_memory_halves_tries_the_same_images_and_keeps_the_gradients(run, monkeypatch):
    images, targets = _batch(run)
    whole = _gradients(run, images, targets)
    forward, sizes = run.model.forward, []

    def limited(inputs, truth, pad_to=(0, 0), seeds=None):
        sizes.append(len(inputs))
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(inputs, truth, pad_to=pad_to, seeds=seeds)

    monkeypatch.setattr(run.model, "forward", limited)
    _assert_same(whole, _gradients(run, images, targets))
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert run.micro_batch == 2
    assert [event.split(". ")[0] for event in run.events] == ["step 1: out of memory"] * 2
    assert "--micro-batch 2" in run.events[-1]
    sizes.clear()
    _gradients(run, images, targets)
    assert sizes == [2, 2, 2, 2]  # what works is kept


def test_memory_that_runs_out_in_the_middle_of_a_step_leaves_no_half_gradient(run, monkeypatch):
    images, targets = _batch(run)
    run.micro_batch = 4
    whole = _gradients(run, images, targets)
    forward, calls = run.model.forward, []

    def second_fails(inputs, truth, pad_to=(0, 0), seeds=None):
        calls.append(len(inputs))
        if len(calls) == 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")
        return forward(inputs, truth, pad_to=pad_to, seeds=seeds)

    monkeypatch.setattr(run.model, "forward", second_fails)
    _assert_same(whole, _gradients(run, images, targets))
    assert calls == [4, 4, 2, 2, 2, 2]


def test_where_one_image_does_not_fit_the_advice_is_given(run, monkeypatch):
    def never(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    never.__signature__ = None
    monkeypatch.setattr(run.model, "forward", lambda images, targets: never())
    with pytest.raises(CourseError, match=r"Not even one image fits .*CUDA out of memory.*Buy a card"):
        gradients(run, share_of_batch(run, *_batch(run)))


def test_other_errors_are_not_taken_for_a_lack_of_memory(run, monkeypatch):
    def broken(images, targets):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(run.model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        gradients(run, share_of_batch(run, *_batch(run)))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_gives_finite_gradients(run, precision):
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
    theirs = begin(model, load("mini", "train").head(40), config, torch.device("cpu"), lambda: "")
    before = copy.deepcopy(model.state_dict())
    from coursekit.training.step import optimizer_step

    losses, count = optimizer_step(theirs, *_batch(theirs))
    assert count == 2
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())
