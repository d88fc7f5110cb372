"""Measure the time from an installed package to a first detector: `coursekit demo` against an ordinary training run.

The demo freezes the whole backbone, computes its maps once for each image, and takes as many epochs as fit. The other
side is `coursekit train` with its usual detector (three frozen stages, 96 channels) for 11 epochs, as the demo did
before. Each runs as a command with an empty cache, so the time has the imports, drawing `mini`, training, scoring, and
the pictures.

    python benchmarks/bench_first_detector.py [--rounds 5]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EPOCHS, AIM_SECONDS, AIM_AP50 = 11, 90, 0.70
COMMANDS = {
    "demo": ["demo"],
    "train": ["train", "--data", "mini", "--epochs", str(EPOCHS), "--evaluate-every", str(EPOCHS)],
}


def main() -> None:
    """Run both commands in turn, and compare them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {side: [] for side in COMMANDS}
    scores: dict[str, list[float]] = {side: [] for side in COMMANDS}
    for number in range(options.rounds):
        for side in COMMANDS:
            took, ap50 = run(side)
            seconds[side].append(took)
            scores[side].append(ap50)
            print(f"round {number + 1}, {side}: {took:.0f} s, AP50 {ap50:.3f}", flush=True)
    ratios = [theirs / ours for ours, theirs in zip(seconds["demo"], seconds["train"], strict=True)]
    median, worst = statistics.median(seconds["demo"]), min(scores["demo"])
    print(f"demo: median {median:.0f} s (aim {AIM_SECONDS}), AP50 {worst:.3f} or more (aim {AIM_AP50:.2f})")
    print(f"{statistics.median(ratios):.1f} times as fast, from {min(ratios):.1f} to {max(ratios):.1f}")


def run(side: str) -> tuple[float, float]:
    """Run a command with an empty cache; return its seconds and AP50."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "coursekit", *COMMANDS[side], "--out", str(out)]
        start = time.perf_counter()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, env=os.environ | {"COURSEKIT_CACHE": folder}, **quiet)
        return time.perf_counter() - start, ap50_of(out)


def ap50_of(out: Path) -> float:
    """Return the AP50 that a command has written to its run's folder."""
    if (out / "metrics.json").exists():
        return float(json.loads((out / "metrics.json").read_text())["AP50"])
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return next(float(line["AP50"]) for line in lines if "AP50" in line)


if __name__ == "__main__":
    main()
