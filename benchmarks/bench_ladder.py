"""The ladder: what each measure adds to the speed of training, and what it does to memory, on the CPU.

From a plain loop on full-size photographs to the trainer as it is, one rung at a time: images resized beforehand,
channels last, bf16 (left out where the processor only emulates it), frozen stages, torch.compile. Every rung is
measured twice: with all those below it, and alone on top of the lowest, on photographs of one shape (640 × 480). Each
measurement has a process of its own. Images a second come from the trainer's own history, after the first steps; memory
is the peak growth of the process's resident set over what it held before.

The last line is the share of its time that the trainer waits for data on `mini` with two workers.

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
    """Measure every rung, cumulative and alone."""
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
        os.environ["COURSEKIT_CACHE"] = folder  # for our processes, too
        climb(options.coco, options.steps)


def climb(coco: Path, steps: int) -> None:
    """Run all rungs, and print what came out."""
    print(f"{'':16} {'together':>9} {'times':>6} {'peak MB':>8}   {'alone':>7} {'times':>6} {'peak MB':>8}")
    base = apart(coco, [], steps)
    print(f"{'plain, full size':16} {base['rate']:7.2f}/s {1:6.2f} {base['peak']:8.0f}")
    rungs = [rung for rung in RUNGS if rung != "bf16" or helps_bf16(torch.device("cpu"))]
    for count, rung in enumerate(rungs, 1):
        together, alone = apart(coco, rungs[:count], steps), apart(coco, [rung], steps)
        row = [
            f"{one['rate']:7.2f}/s {one['rate'] / base['rate']:6.2f} {one['peak']:8.0f}" for one in (together, alone)
        ]
        print(f"{rung:16} {row[0]}   {row[1]}")
    print(f"waiting for data on mini with two workers: {apart(coco, ['waiting'], steps)['waiting']:.1%} (aim under 2%)")


def apart(coco: Path, rungs: list[str], steps: int) -> dict[str, Any]:
    """What one measurement reports from a process of its own."""
    command = [sys.executable, __file__, "--coco", str(coco), "--steps", str(steps), "--rungs", "+".join(rungs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(coco: Path, rungs: list[str], steps: int) -> dict[str, float]:
    """Images a second and peak memory of a training with these rungs."""
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
    size = 320 if "resized" in rungs else 640  # full size: COCO's long side as it is
    held = memory("VmRSS")
    torch.manual_seed(0)
    model = build_detector(num_classes=80, size=size, frozen_stages=3 if "frozen" in rungs else 0)
    if "channels_last" not in rungs:
        model.to(memory_format=torch.contiguous_format)
    settings = TrainConfig(
        epochs=-(-(steps + WARM_UP) * 8 // len(dataset)),
        precision="bf16" if "bf16" in rungs else "fp32",
        compile="compile" in rungs,
    )
    history = train(model, dataset, settings)
    first, last = history[WARM_UP - 1], history[-1]
    rate = (last.images - first.images) / (last.seconds - first.seconds)
    return {"rate": rate, "peak": memory("VmHWM") - held}


def landscape(dataset: Any) -> Any:
    """The photographs of COCO's commonest shape, 640 × 480: torch.compile compiles once for each shape."""
    rows = [row for row in dataset.rows if 4 * dataset.index.heights[row] == 3 * dataset.index.widths[row]]
    return replace(dataset, rows=np.array(rows[: len(rows) // 8 * 8]))


def waiting() -> dict[str, float]:
    """The share of the time that training on mini waits for two workers."""
    from coursekit.data import load
    from coursekit.detector import build_detector
    from coursekit.training import Hook, TrainConfig, train

    class Shares(Hook):
        """Keeps the shares of the end."""

        def after_run(self, run: Any) -> None:
            """At the end."""
            self.shares = run.clock.shares()

    hook = Shares()
    dataset = load("mini", "train")
    train(build_detector(num_classes=len(dataset.classes)), dataset, TrainConfig(epochs=3, workers=2), hooks=[hook])
    return {"waiting": hook.shares["data"]}


def memory(what: str) -> float:
    """What the process holds (VmRSS) or has held at most (VmHWM), in MB of 10⁶ bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what))


if __name__ == "__main__":
    tqdm.monitor_interval = 0  # no thread of tqdm's beside the measurement
    main()
