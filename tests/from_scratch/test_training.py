import itertools
import math
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
from torch import nn

from coursekit.from_scratch import training as by_hand
from coursekit.training import warmup_cosine


class Model(nn.Module):
    """Two losses, means over the images; in float64, so that sums in another order are equal."""

    def __init__(self, limit=math.inf):
        super().__init__()
        self.layer, self.limit = nn.Linear(3, 2).double(), limit

    def forward(self, images, targets):
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("too many images")
        said = self.layer(images)
        return {"one": (said[:, 0] - torch.stack(targets)).square().mean(), "other": said[:, 1].exp().mean()}


def batch(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    return images, list(torch.randn(count, generator=generator, dtype=torch.float64))


def model_and_optimizer(limit=math.inf):
    torch.manual_seed(0)
    model = Model(limit)
    return model, torch.optim.AdamW(model.parameters(), 0.1)


def gradients(model):
    return torch.cat([one.grad.flatten() for one in model.parameters()])


def test_an_epoch_learns_and_follows_the_schedule():
    model, optimizer = model_and_optimizer()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(warmup_cosine, total=20, warmup=3))
    history = by_hand.train_one_epoch(model.eval(), [batch(4)] * 20, optimizer, schedule)
    assert len(history) == 20
    assert history[-1] < history[0] / 2
    assert model.training
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_epoch_stops_before_the_weights_are_lost(value):
    model, optimizer = model_and_optimizer()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1)
    images, targets = batch(2)
    before = model.layer.weight.clone()
    with pytest.raises(FloatingPointError, match="step 0"):
        by_hand.train_one_epoch(model, [(images * value, targets)], optimizer, schedule)
    assert torch.equal(before, model.layer.weight)


def test_the_times_of_a_step_add_up_to_the_whole():
    model, optimizer = model_and_optimizer()

    def slow():
        time.sleep(0.02)
        yield batch(2)

    start = time.perf_counter()
    found = by_hand.time_step(model, slow(), optimizer, time.perf_counter)
    whole = time.perf_counter() - start
    assert found["data"] >= 0.02
    assert sum(found.values()) <= whole
    assert list(found) == ["data", "forward", "backward", "optimizer"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_comes_near_float32(dtype):
    found = []
    for cast in (False, True):
        model, optimizer = model_and_optimizer()
        model.float()
        images, targets = batch(4)
        step = images.float(), [one.float() for one in targets]
        scaler = torch.amp.GradScaler("cpu", 256.0, enabled=dtype == torch.float16)
        if cast:
            loss = by_hand.autocast_step(model, *step, optimizer, scaler, dtype)
            assert model.layer.weight.dtype == torch.float32
        else:
            loss = torch.stack(list(model(*step).values())).sum().item()
        found.append(loss)
    assert found[0] == pytest.approx(found[1], rel=0.02)


@pytest.mark.parametrize(("count", "micro_batch"), [(1, 1), (6, 2), (7, 3), (5, 8)])
def test_parts_have_the_gradient_of_the_whole(count, micro_batch):
    model, _ = model_and_optimizer()
    losses = model(*batch(count))
    torch.stack(list(losses.values())).sum().backward()
    meant = gradients(model)
    model.zero_grad()
    found = by_hand.accumulate(model, *batch(count), micro_batch)
    torch.testing.assert_close(gradients(model), meant)
    assert found == pytest.approx({name: one.item() for name, one in losses.items()})


def test_memory_that_runs_out_changes_nothing_but_the_size_of_the_parts():
    model, _ = model_and_optimizer()
    by_hand.accumulate(model, *batch(7), 7)
    meant = gradients(model)
    model.limit = 2
    _, fits = by_hand.halve_on_oom(model, *batch(7), 7)
    assert fits == 2
    torch.testing.assert_close(gradients(model), meant)
    model.limit = 0
    with pytest.raises(torch.OutOfMemoryError):
        by_hand.halve_on_oom(model, *batch(7), 7)


RUN = """
import sys, time
from pathlib import Path
import torch
from coursekit.from_scratch.training import save_and_resume
path, slow = Path(sys.argv[1]), float(sys.argv[2])
torch.manual_seed(0)
model = torch.nn.Linear(4, 4)
optimizer = torch.optim.AdamW(model.parameters(), 0.1)
def train_step(step):
    time.sleep(slow)
    optimizer.zero_grad()
    model(torch.randn(3, 4)).square().mean().backward()
    optimizer.step()
print(save_and_resume(path, model, optimizer, train_step, 30), *model.weight.flatten().tolist())
"""


def test_a_process_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    whole = subprocess.run([sys.executable, "-c", RUN, tmp_path / "a.pt", "0"], capture_output=True, check=True)
    path = tmp_path / "b.pt"
    process = subprocess.Popen([sys.executable, "-c", RUN, path, "0.1"])
    for _ in itertools.takewhile(lambda _: not path.exists(), range(1200)):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    process.wait()
    rest = subprocess.run([sys.executable, "-c", RUN, path, "0"], capture_output=True, check=True)
    first, *weights = rest.stdout.split()
    assert 0 < int(first) < 30
    assert weights == whole.stdout.split()[1:]
