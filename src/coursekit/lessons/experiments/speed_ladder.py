"""The ladder of lesson 08: one change after the other, each on top of those that made the step faster."""

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tqdm.auto import tqdm

from coursekit.lessons.experiments.step_times import Batch, Clock, Step, images_per_second
from coursekit.lessons.notebooks.short_form import short_form
from coursekit.memory import StepConfig, predict
from coursekit.memory.step_config import MIB

PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
Setting = Mapping[str, Any]  # side, dtype, frozen, workers


@dataclass(frozen=True)
class Rung:
    """A rung of the ladder.

    Attributes:
        name: what changes.
        speed: images a second, the wait for data included.
        memory: MiB at the peak of a step.
        kept: whether it is faster than the rungs before it.
    """

    name: str
    speed: float
    memory: float
    kept: bool


def climb(
    ladder: Mapping[str, Setting],
    prepare: Callable[..., tuple[Step, Iterator[Batch]]],
    clock: Clock,
    guesses: Mapping[str, float],
    memory_of: Callable[..., float],
    steps: int = 3,
) -> list[Rung]:
    """Measure each rung on top of those before it that were faster, and print a table.

    Args:
        ladder: what each rung changes, by name; the first is a whole setting.
        prepare: setting as keywords → a training step and endless batches for it.
        clock: see `clock_of`.
        guesses: how many times as fast the reader expects each rung to be, and the whole as "in all".
        memory_of: setting as keywords → MiB at the peak of a step, called once the steps were taken.
        steps: how many to time; the fastest counts.
    """
    best, setting, rungs = 0.0, dict[str, Any](), list[Rung]()
    print(_row("rung", "images/s", "your guess", "measured", "MiB", ""))
    for name, change in tqdm(ladder.items(), "rungs", leave=False):
        tried = setting | dict(change)
        speed = images_per_second(*prepare(**tried), clock, steps)
        rung = Rung(name, speed, memory_of(**tried), speed > best)
        gain = f"{speed / best:.2f} ×" if best else ""
        print(_row(name, f"{speed:.2f}", _guess(guesses, name), gain, f"{rung.memory:,.0f}", _outcome(rung)))
        rungs.append(rung)
        if rung.kept:
            best, setting = speed, tried
    print(_row("in all", "", _guess(guesses, "in all"), f"{best / rungs[0].speed:.2f} ×", "", ""))
    print(short_form(), end="")
    return rungs


def _row(name: str, speed: str, guess: str, gain: str, memory: str, outcome: str) -> str:
    return f"{name:14} {speed:>8} {guess:>11} {gain:>9} {memory:>7}   {outcome}"


def _guess(guesses: Mapping[str, float], name: str) -> str:
    return f"{guesses[name]:.2f} ×" if name in guesses else ""


def _outcome(rung: Rung) -> str:
    return "kept" if rung.kept else "left out"


def peak_memory(num_classes: int, images: int, device: torch.device) -> Callable[..., float]:
    """Return a function from a setting to the MiB at the peak of a step: measured on a GPU, else predicted for one.

    Args:
        num_classes: number of classes, without the background.
        images: images at a time.
        device: where the steps are taken.
    """

    def predicted(side: int, dtype: torch.dtype, frozen: int, **_: Any) -> float:
        step = StepConfig(
            size=(side, side), batch=images, precision=PRECISIONS[dtype], frozen_stages=frozen, num_classes=num_classes
        )
        return predict(step).total / MIB

    if device.type != "cuda":
        return predicted
    held = _start_counting(device)

    def measured(**_: Any) -> float:
        nonlocal held
        peak = torch.cuda.max_memory_allocated(device) - held
        held = _start_counting(device)
        return peak / MIB

    return measured


def _start_counting(device: torch.device) -> int:
    """Start a new peak, and return the bytes that tensors hold already."""
    gc.collect()  # a detector refers to itself, so only this frees the last rung's
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)
