"""How long people wait at the start: for a command that answers at once, and for a notebook's first cell.

The cell is compared with importing torch and torchvision alone. Each runs in fresh processes, in turns. Other programs
change the time by the clock more than the processor time, so both are printed: median, least and most.

    python benchmarks/bench_start.py
"""

import os
import statistics
import subprocess
import sys
import tempfile

RUNS = 5  # of each, after one that doesn't count
STARTS = {
    "coursekit --help": ["-m", "coursekit", "--help"],
    "coursekit lessons status": ["-m", "coursekit", "lessons", "status"],
    "coursekit data list": ["-m", "coursekit", "data", "list"],
    "torch and torchvision": ["-c", "import torch, torchvision"],
    "a first cell": ["-c", "from coursekit.lessons import check"],
}


def main() -> None:
    """Measure all starts in turns, and print them."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in STARTS}
    for _ in range(RUNS + 1):
        for name, arguments in STARTS.items():
            seconds[name].append(started(arguments))
    print(f"{'':26} {'processor, s':>20} {'clock, s':>20}")
    for name, runs in seconds.items():
        print(f"{name:26} {spread([run[0] for run in runs[1:]]):>20} {spread([run[1] for run in runs[1:]]):>20}")
    pairs = zip(seconds["a first cell"][1:], seconds["torch and torchvision"][1:], strict=True)
    print(f"A first cell takes {spread([cell[0] - alone[0] for cell, alone in pairs])} s of processor time more.")


def started(arguments: list[str]) -> tuple[float, float]:
    """Run Python and return its seconds: of the processor and by the clock."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.times()
        subprocess.run([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        after = os.times()
    user, system = after.children_user - before.children_user, after.children_system - before.children_system
    return user + system, after.elapsed - before.elapsed


def spread(values: list[float]) -> str:
    """Return the median of some values, and the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


if __name__ == "__main__":
    main()
