import math
from functools import partial

import pytest
import torch
from torch import nn

from coursekit.from_scratch import real_step as from_scratch
from coursekit.from_scratch.training import train_step

OFF = torch.amp.GradScaler("cpu", enabled=False)


class Model(nn.Module):
    """A model with two losses, means over the images, that "holds" a limited number of images."""

    def __init__(self, limit=math.inf):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.limit = nn.Linear(3, 2), limit

    def forward(self, images, targets):
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("too many images")
        outputs = self.layer(images)
        return {"one": (outputs[:, 0] - torch.stack(targets)).square().mean(), "other": outputs[:, 1].exp().mean()}


def batch(count):
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, generator=generator), list(torch.randn(count, generator=generator))


def gradients(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def still(model):
    return torch.optim.SGD(model.parameters(), lr=0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_is_close_to_float32(dtype):
    model = Model()
    exact = from_scratch.forward_backward(model, *batch(4), OFF, torch.float32)
    expected = gradients(model)
    model.zero_grad()
    scaler = torch.amp.GradScaler("cpu", 256.0, enabled=dtype == torch.float16)
    assert from_scratch.forward_backward(model, *batch(4), scaler, dtype) == pytest.approx(exact, rel=0.02)
    torch.testing.assert_close(gradients(model) / scaler.get_scale(), expected, rtol=0.05, atol=0.05)
    assert model.layer.weight.dtype == torch.float32


@pytest.mark.parametrize(("count", "micro_batch"), [(1, 1), (6, 2), (7, 3), (5, 8)])
def test_micro_batches_have_the_gradient_of_the_batch(count, micro_batch):
    model = Model()
    losses = from_scratch.forward_backward(model, *batch(count), OFF, torch.float32)
    expected = gradients(model)
    model.zero_grad()

    def backward(images, targets, weight):
        return from_scratch.forward_backward(model, images, targets, OFF, torch.float32, weight)

    assert from_scratch.accumulate(backward, *batch(count), micro_batch) == pytest.approx(losses)
    torch.testing.assert_close(gradients(model), expected)


def test_out_of_memory_halves_until_it_fits():
    sizes, cleared = [], []

    def attempt(size):
        sizes.append(size)
        if size > 2:
            raise torch.OutOfMemoryError
        return {"loss": 1.0}

    assert from_scratch.halve_on_oom(attempt, partial(cleared.append, 1), 7) == ({"loss": 1.0}, 2)
    assert (sizes, len(cleared)) == ([7, 4, 2], 3)


@pytest.mark.parametrize("limit", [math.inf, 4, 1])
@pytest.mark.parametrize("micro_batch", [7, 3, 1])
def test_in_float32_its_gradients_are_those_of_train_step(micro_batch, limit):
    model, limited = Model(), Model(limit)
    losses = train_step(model, *batch(7), still(model), max_norm=0.5)
    real, size = from_scratch.real_step(
        limited, *batch(7), still(limited), OFF, torch.float32, micro_batch, max_norm=0.5
    )
    torch.testing.assert_close(gradients(limited), gradients(model))
    assert real == pytest.approx(losses, rel=1e-5)
    assert size <= min(micro_batch, limit)


def test_an_infinite_gradient_skips_the_step_and_a_nan_loss_stops():
    model = Model()
    before, optimizer = model.layer.weight.clone(), torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", 2.0**40)
    from_scratch.real_step(model, *batch(4), optimizer, scaler, torch.float16, 2)
    assert torch.equal(model.layer.weight, before)
    assert scaler.get_scale() == 2.0**39
    images, targets = batch(4)
    with pytest.raises(FloatingPointError, match="nan"):
        from_scratch.real_step(model, images * math.nan, targets, optimizer, scaler, torch.float16, 2)
    assert torch.equal(model.layer.weight, before)


def test_not_even_one_image_is_an_error():
    model = Model(0)
    with pytest.raises(torch.OutOfMemoryError):
        from_scratch.real_step(model, *batch(3), still(model), OFF, torch.float32, 2)
