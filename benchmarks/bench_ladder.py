"""Climb the ladder: measure how each optimization changes the speed and memory of training, on the CPU.

The ladder goes from a plain loop on full-size photographs to our trainer, one rung at a time: images resized
beforehand, channels last, bf16 (skipped if the processor only emulates it), frozen stages, torch.compile. Each rung is
measured twice: together with all rungs below it, and alone on top of the lowest one. All photographs have the same
shape, 640 × 480, and each measurement runs in its own process. Images per second come from the trainer's own history,
without the first steps. Memory is the peak growth of the process's resident set.

The last line is the share of the time that the trainer waits for data, on `mini` with two workers.

    python benchmarks/bench_ladder.py [--coco DIR] [--steps 10]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from coursekit.core.device import helps_bf16

RUNGS = ("resized", "channels_last", "bf16", "frozen", "compile")
WARM_UP = 3


def main() -> None:
    """Measure each rung, cumulative and alone."""
    parser = argparse.ArgumentParser()
    shared = Path(__file__).resolve().parents[2] / "shared" / "coco"
    parser.add_argument("--coco", type=Path, default=shared)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rungs", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rungs is not None:
        rungs = options.rungs.split("+") if options.rungs else []
        print(json.dumps(waiting() if rungs == ["waiting"] else measure(options.coco, rungs, options.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COURSEKIT_CACHE"] = folder  # for the child processes, too
        climb(options.coco, options.steps)


def climb(coco: Path, steps: int) -> None:
    """Measure all rungs and print the table."""
    print(f"{'':16} {'together':>9} {'times':>6} {'peak MB':>8}   {'alone':>7} {'times':>6} {'peak MB':>8}")
    base = in_own_process(coco, [], steps)
    print(f"{'plain, full size':16} {base['rate']:7.2f}/s {1:6.2f} {base['peak']:8.0f}")
    rungs = [rung for rung in RUNGS if rung != "bf16" or helps_bf16(torch.device("cpu"))]
    for count, rung in enumerate(rungs, 1):
        together, alone = in_own_process(coco, rungs[:count], steps), in_own_process(coco, [rung], steps)
        row = [
            f"{run['rate']:7.2f}/s {run['rate'] / base['rate']:6.2f} {run['peak']:8.0f}" for run in (together, alone)
        ]
        print(f"{rung:16} {row[0]}   {row[1]}")
    share = in_own_process(coco, ["waiting"], steps)["waiting"]
    print(f"waiting for data on mini with two workers: {share:.1%} (target: under 2%)")


def in_own_process(coco: Path, rungs: list[str], steps: int) -> dict[str, Any]:
    """Run a measurement in its own process and return what it reports."""
    command = [sys.executable, __file__, "--coco", str(coco), "--steps", str(steps), "--rungs", "+".join(rungs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(coco: Path, rungs: list[str], steps: int) -> dict[str, float]:
    """Measure images per second and peak memory of training with these rungs."""
    from coursekit.data import load
    from coursekit.data.subsets.build import build_subset
    from coursekit.data.subsets.recipe import Recipe
    from coursekit.detector import build_detector
    from coursekit.training import TrainConfig, train

    folder = coco
    if "resized" in rungs:
        recipe = Recipe("ladder", "coco", seed=0, images={"val": 0}, long_side=320)
        folder = build_subset(recipe, annotations=str(coco / "annotations"), images=str(coco))[0]
    dataset = landscape(load(folder, "val"))
    size = 320 if "resized" in rungs else 640  # full size: COCO's own long side
    before = memory("VmRSS")
    torch.manual_seed(0)
    model = build_detector(num_classes=80, size=size, frozen_stages=3 if "frozen" in rungs else 0)
    if "channels_last" not in rungs:
        model.to(memory_format=torch.contiguous_format)
    config = TrainConfig(
        epochs=-(-(steps + WARM_UP) * 8 // len(dataset)),
        precision="bf16" if "bf16" in rungs else "fp32",
        compile="compile" in rungs,
    )
    history = train(model, dataset, config)
    first, last = history[WARM_UP - 1], history[-1]
    rate = (last.images - first.images) / (last.seconds - first.seconds)
    return {"rate": rate, "peak": memory("VmHWM") - before}


def landscape(dataset: Any) -> Any:
    """Return the photographs of COCO's most common shape, 640 × 480: torch.compile compiles each shape separately."""
    rows = [row for row in dataset.rows if 4 * dataset.index.heights[row] == 3 * dataset.index.widths[row]]
    return replace(dataset, rows=np.array(rows[: len(rows) // 8 * 8]))


def waiting() -> dict[str, float]:
    """Return the share of the time that training on mini waits for data from two workers."""
    from coursekit.data import load
    from coursekit.detector import build_detector
    from coursekit.training import Hook, TrainConfig, train

    class Shares(Hook):
        """Store the shares of the whole run."""

        def after_run(self, run: Any) -> None:
            """Store the shares."""
            self.shares = run.clock.shares()

    hook = Shares()
    dataset = load("mini", "train")
    train(build_detector(num_classes=len(dataset.classes)), dataset, TrainConfig(epochs=3, workers=2), hooks=[hook])
    return {"waiting": hook.shares["data"]}


def memory(what: str) -> float:
    """Return the process's resident set now (VmRSS) or at its peak (VmHWM), in MB of 10⁶ bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what))


if __name__ == "__main__":
    tqdm.monitor_interval = 0  # no tqdm thread during the measurement
    main()
