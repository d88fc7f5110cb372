"""The step that the trainer, the memory planner and the cached features share."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from coursekit.training.forward_backward import forward_backward, update

CPU = torch.device("cpu")


def _losses(weight):
    return {"loss_a": weight.square().sum(), "loss_b": 2 * weight.sum()}


def test_the_gradient_is_that_of_the_weighted_sum_and_is_added():
    weight = nn.Parameter(torch.tensor([1.0, -3.0]))
    weight.grad = torch.tensor([10.0, 10.0])
    losses = forward_backward(lambda: _losses(weight), CPU, "fp32", weight=0.5)
    assert {name: loss.item() for name, loss in losses.items()} == {"loss_a": 10.0, "loss_b": -4.0}
    assert weight.grad.tolist() == [12.0, 8.0]  # 10 + (2 · weight + 2) / 2


def test_phases_enclose_forward_and_backward():
    weight, phases = nn.Parameter(torch.ones(1)), []

    @contextmanager
    def phase(name):
        phases.append((name, weight.grad is not None))
        yield
        phases.append((name, weight.grad is not None))

    forward_backward(lambda: _losses(weight), CPU, "fp32", phase=phase)
    assert phases == [("forward", False), ("forward", False), ("backward", False), ("backward", True)]


def test_the_losses_are_computed_under_autocast():
    weight = nn.Parameter(torch.ones(2, 2))
    losses = forward_backward(lambda: {"loss": (weight @ weight).sum()}, CPU, "bf16")
    assert losses["loss"].dtype == torch.bfloat16
    assert weight.grad.dtype == torch.float32


@pytest.mark.parametrize(("clip_norm", "expected"), [(10.0, [-3.0, -4.0]), (1.0, [-0.6, -0.8])])
def test_the_update_clips_the_gradient(clip_norm, expected):
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    update(torch.optim.SGD([weight], lr=1.0), [weight], clip_norm)
    assert weight.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_scaler_scales_the_loss_and_unscales_before_clipping():
    weight = nn.Parameter(torch.ones(1))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    forward_backward(lambda: {"loss": weight.sum()}, CPU, "fp32", scaler=scaler)
    assert weight.grad.item() == 8.0
    update(torch.optim.SGD([weight], lr=1.0), [weight], 0.5, scaler)
    assert weight.item() == pytest.approx(0.5, rel=1e-5)


def test_an_infinite_gradient_leaves_the_weights_and_lowers_the_scale():
    weight = nn.Parameter(torch.ones(1))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    forward_backward(lambda: {"loss": weight.sum() * torch.inf}, CPU, "fp32", scaler=scaler)
    update(torch.optim.SGD([weight], lr=1.0), [weight], 1.0, scaler)
    assert weight.item() == 1.0
    assert scaler.get_scale() < 8.0
