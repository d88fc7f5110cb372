import itertools
import math
import time
from functools import partial

import pytest
import torch
from torch import nn

from coursekit.from_scratch import training as from_scratch
from tests.forked import run_forked, start_forked


class Model(nn.Module):
    """A model with two losses, means over the images, in float64, so that the order of sums doesn't matter."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2).double()

    def forward(self, images, targets):
        outputs = self.layer(images)
        return {"one": (outputs[:, 0] - torch.stack(targets)).square().mean(), "other": outputs[:, 1].exp().mean()}


def batch(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return images, list(torch.randn(count, generator=generator, dtype=torch.float64))


def model_and_optimizer():
    torch.manual_seed(0)
    model = Model()
    return model, torch.optim.AdamW(model.parameters(), 0.1)


def test_steps_learn():
    model, optimizer = model_and_optimizer()
    losses = [from_scratch.train_step(model, *batch(4), optimizer) for _ in range(20)]
    assert sum(losses[-1].values()) < sum(losses[0].values()) / 2
    assert {type(loss) for loss in losses[0].values()} == {float}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_stops_before_nan_reaches_the_weights(value):
    model, optimizer = model_and_optimizer()
    images, targets = batch(2)
    before = model.layer.weight.clone()
    with pytest.raises(FloatingPointError, match="the sum of the losses is"):
        from_scratch.train_step(model, images * value, targets, optimizer)
    assert torch.equal(before, model.layer.weight)


def test_gradients_are_clipped_to_the_norm():
    model, _ = model_and_optimizer()
    images, targets = batch(2)
    from_scratch.train_step(model, images * 100, targets, torch.optim.SGD(model.parameters(), 0.0), max_norm=3.0)
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm()
    assert norm.item() == pytest.approx(3.0, rel=1e-5)


def test_the_times_of_a_step_add_up_to_the_whole():
    model, optimizer = model_and_optimizer()

    def slow():
        time.sleep(0.02)
        yield batch(2)

    start = time.perf_counter()
    step = partial(from_scratch.train_step, model, optimizer=optimizer)
    seconds = from_scratch.time_step(step, slow(), time.perf_counter)
    whole = time.perf_counter() - start
    assert seconds["data"] >= 0.02
    assert sum(seconds.values()) <= whole
    assert list(seconds) == ["data", "compute"]


def _resume(path, slow, out):
    """Train for 30 steps with `save_and_resume`. Write the first step and the final weights to `out`."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)

    def train_step(step):
        time.sleep(slow)
        optimizer.zero_grad()
        model(torch.randn(3, 4)).square().mean().backward()
        optimizer.step()

    parts = {"model": model, "optimizer": optimizer}
    first = from_scratch.save_and_resume(path, parts, train_step, 30)
    torch.save((first, model.weight.detach()), out)


def test_a_killed_process_resumes_to_the_same_bits(tmp_path):
    log, path, out = tmp_path / "log", tmp_path / "b.pt", tmp_path / "out.pt"
    assert run_forked(log, _resume, tmp_path / "a.pt", 0, out) == 0, log.read_text()
    _, expected = torch.load(out)
    process = start_forked(log, _resume, path, 0.1, tmp_path / "never.pt")
    for _ in itertools.takewhile(lambda _: not path.exists(), range(6000)):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not (tmp_path / "never.pt").exists()
    assert run_forked(log, _resume, path, 0, out) == 0, log.read_text()
    first, weights = torch.load(out)
    assert 0 < first < 30
    assert torch.equal(weights, expected)
