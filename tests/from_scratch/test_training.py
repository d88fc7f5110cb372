import itertools
import math
import time
from functools import partial

import pytest
import torch
from torch import nn

from coursekit.from_scratch import training as from_scratch
from coursekit.training import warmup_cosine
from tests.forked import run_forked, start_forked


class Model(nn.Module):
    """A model with two losses, means over the images, in float64, so that the order of sums doesn't matter."""

    def __init__(self, limit=math.inf):
        super().__init__()
        self.layer, self.limit = nn.Linear(3, 2).double(), limit

    def forward(self, images, targets):
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("too many images")
        outputs = self.layer(images)
        return {"one": (outputs[:, 0] - torch.stack(targets)).square().mean(), "other": outputs[:, 1].exp().mean()}


def batch(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return images, list(torch.randn(count, generator=generator, dtype=torch.float64))


def model_and_optimizer(limit=math.inf):
    torch.manual_seed(0)
    model = Model(limit)
    return model, torch.optim.AdamW(model.parameters(), 0.1)


def gradients(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_an_epoch_learns_and_follows_the_schedule():
    model, optimizer = model_and_optimizer()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warmup_cosine, total=20, warmup=3))
    history = from_scratch.train_one_epoch(model.eval(), [batch(4)] * 20, optimizer, schedule)
    assert len(history) == 20
    assert history[-1] < history[0] / 2
    assert model.training
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_epoch_stops_before_nan_reaches_the_weights(value):
    model, optimizer = model_and_optimizer()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1)
    images, targets = batch(2)
    before = model.layer.weight.clone()
    with pytest.raises(FloatingPointError, match="step 0"):
        from_scratch.train_one_epoch(model, [(images * value, targets)], optimizer, schedule)
    assert torch.equal(before, model.layer.weight)


def test_the_times_of_a_step_add_up_to_the_whole():
    model, optimizer = model_and_optimizer()

    def slow():
        time.sleep(0.02)
        yield batch(2)

    start = time.perf_counter()
    seconds = from_scratch.time_step(model, slow(), optimizer, time.perf_counter)
    whole = time.perf_counter() - start
    assert seconds["data"] >= 0.02
    assert sum(seconds.values()) <= whole
    assert list(seconds) == ["data", "forward", "backward", "optimizer"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_is_close_to_float32(dtype):
    losses = []
    for cast in (False, True):
        model, optimizer = model_and_optimizer()
        model.float()
        images, targets = batch(4)
        step = images.float(), [target.float() for target in targets]
        scaler = torch.amp.GradScaler("cpu", 256.0, enabled=dtype == torch.float16)
        if cast:
            loss = from_scratch.autocast_step(model, *step, optimizer, scaler, dtype)
            assert model.layer.weight.dtype == torch.float32
        else:
            loss = torch.stack(list(model(*step).values())).sum().item()
        losses.append(loss)
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize(("count", "micro_batch"), [(1, 1), (6, 2), (7, 3), (5, 8)])
def test_micro_batches_have_the_gradient_of_the_batch(count, micro_batch):
    model, _ = model_and_optimizer()
    losses = model(*batch(count))
    torch.stack(list(losses.values())).sum().backward()
    expected = gradients(model)
    model.zero_grad()
    accumulated = from_scratch.accumulate(model, *batch(count), micro_batch)
    torch.testing.assert_close(gradients(model), expected)
    assert accumulated == pytest.approx({name: loss.item() for name, loss in losses.items()})


def test_out_of_memory_changes_only_the_size_of_the_micro_batches():
    model, _ = model_and_optimizer()
    from_scratch.accumulate(model, *batch(7), 7)
    expected = gradients(model)
    model.limit = 2
    _, micro_batch = from_scratch.halve_on_oom(model, *batch(7), 7)
    assert micro_batch == 2
    torch.testing.assert_close(gradients(model), expected)
    model.limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        from_scratch.halve_on_oom(model, *batch(7), 7)


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

    first = from_scratch.save_and_resume(path, model, optimizer, train_step, 30)
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
