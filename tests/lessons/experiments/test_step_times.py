import re
import time
from itertools import repeat
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from coursekit.from_scratch.training import time_step
from coursekit.lessons.experiments import step_times

CPU = torch.device("cpu")
TARGETS = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}] * 2
BATCH = torch.zeros(2, 3, 4, 4), TARGETS


def clock_by(seconds):
    """A clock that moves by this much at each look."""
    now = iter(range(10**6))
    return lambda: seconds * next(now)


def test_the_fastest_step_counts_but_not_the_first():
    durations = iter([1.0, 8.0, 4.0])
    now = [0.0]

    def step(images, targets):
        now[0] += next(durations)

    assert step_times.images_per_second(step, repeat(BATCH), lambda: now[0], 2) == 2 / 4.0


def test_one_pass_turns_seconds_into_hours(capsys):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, images, targets):
            return {"one": self.weight.sum(), "other": 2 * self.weight.sum()}

    hours = step_times.one_pass(Model(), BATCH, clock_by(1.0))
    assert hours == pytest.approx(118_287 / 2 / 3600)
    assert f"{hours:.1f} hours" in capsys.readouterr().out


def test_waiting_for_a_slow_disk_is_seen(capsys):
    slow = step_times.SlowDisk(TensorDataset(torch.zeros(4, 3)), 0.1)
    assert len(slow) == 4
    batches = [(torch.stack([slow[0][0], slow[1][0]]), TARGETS)]

    class Loader:
        def __iter__(self):
            for _ in batches:
                yield torch.stack([slow[0][0], slow[1][0]]), TARGETS

    loaders = {"memory": batches, "disk": Loader()}
    times = step_times.mean_times(time_step, lambda *_: time.sleep(0.2), loaders, CPU, {"disk": 0.5})
    assert times["disk"]["data"] >= 0.2 > times["memory"]["data"]
    printed = capsys.readouterr().out
    assert "a faster loader gains little. You said 0%" in printed
    assert "use workers. You said 50%" in printed


def test_a_profiled_step_is_divided_into_phases(capsys):
    weight = torch.ones(200, 200, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1)

    def step(images, targets):
        (weight @ weight).sum().backward()
        optimizer.step()

    step_times.profile_step(step, BATCH, "forward", operations=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["forward", "backward", "optimizer"]
    assert re.fullmatch("the longest phase: (forward|backward|optimizer); you said forward", lines[3])
    assert len(lines) == 7


def test_only_events_without_a_parent_count():
    events = [
        SimpleNamespace(name=name, cpu_parent=parent, cpu_time_total=microseconds)
        for name, parent, microseconds in (
            ("aten::conv2d", None, 3e6),
            ("aten::convolution", "aten::conv2d", 3e6),
            ("autograd::engine::evaluate_function: AddBackward0", None, 5e6),
            ("Optimizer.step#AdamW.step", None, 1e6),
            ("Optimizer.zero_grad#AdamW.zero_grad", None, 1e6),
        )
    ]
    assert step_times.phases_of(events, "cpu_time_total") == {"forward": 3.0, "backward": 5.0, "optimizer": 2.0}


def test_launches_and_waits_are_counted(capsys):
    step_times.count_for_gpu("mine", lambda images, targets: images[images > 0].sum().item(), BATCH, ["nms"])
    printed = capsys.readouterr().out
    assert printed.startswith("mine: 4 operations launched; Python waits 2 times\n  waits for: ")
    assert "the course's" not in printed


def test_guesses_are_repeated(capsys):
    def step(images, targets):
        return images.sum().item()

    step_times.count_for_gpu("mine", step, BATCH, ["nms"], 5, 1000)
    assert "  you said 1,000 operations and 5 waits\n" in capsys.readouterr().out
    step_times.count_for_gpu("mine", step, BATCH, ["nms"], 0)
    assert "  you said 0 waits\n" in capsys.readouterr().out


def test_every_kind_of_wait_is_named(capsys):
    def step(images, targets):
        x = images.float()
        (x > 0).nonzero(), x.unique(), x.masked_select(x > 0), torch.equal(x, x), x.sum().item()

    step_times.count_for_gpu("mine", step, BATCH, ["nms"])
    words = capsys.readouterr().out.partition("waits for: ")[2]
    assert "…" not in words
    assert "_local_scalar_dense" in words
    assert len(words.split(",")) == 5


def test_a_count_says_when_all_parts_are_the_courses(capsys):
    step_times.count_for_gpu("your step", lambda images, targets: images.sum().item(), BATCH, {})
    assert "all parts of this detector are the course's" in capsys.readouterr().out
