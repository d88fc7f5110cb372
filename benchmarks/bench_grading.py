"""Grade a class: how long `coursekit grade` takes, and where its processor time goes.

Two thirds of the class hand in the course's own answers to all exercises, the others wrong ones, and there is one
hidden case. Three parts are told apart: sandboxes until they are ready; answers in them, and the known mistakes, which
the grader runs once for each exercise that somebody got wrong; and the grader itself, which compares. There is no peer.

    python benchmarks/bench_grading.py [--submissions 30] [--jobs 2]
"""

import argparse
import os
import sys
import tempfile
import time
from functools import wraps
from pathlib import Path
from typing import Any

from coursekit.grading import grade as grading
from coursekit.grading.jobs import default_jobs
from coursekit.grading.processes import cpu_seconds, descendants
from coursekit.grading.sandbox import Sandbox

ROOT = Path(__file__).parents[1]
PARTS = ("starting sandboxes", "answers and mistakes", "comparing")


def main() -> None:
    """Build a class, grade it, and print the seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--submissions", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=default_jobs())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        build_class(top, options.submissions)
        starts = measure_starts()
        begun, before = time.monotonic(), os.times()
        graded = grading.grade(top / "class", top / "grades", jobs=options.jobs, hidden=top / "hidden")
        seconds, after = time.monotonic() - begun, os.times()
    states = [mark.state for submission in graded for mark in submission.marks]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    print(f"{len(graded)} submissions, {len(states)} answers ({counts}): {seconds:.0f} s with {options.jobs} jobs")
    own = after.user + after.system - before.user - before.system
    others = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"Processor seconds for each submission, {len(starts)} sandboxes in all:")
    for name, amount in zip(PARTS, (sum(starts), others - sum(starts), own), strict=True):
        print(f"  {name:24} {amount / len(graded):5.1f}")


def build_class(top: Path, count: int) -> None:
    """Write a class and its hidden cases: of every three submissions, two are right and one is wrong."""
    sys.path.insert(0, str(ROOT))
    from tests.grading.classroom import HIDDEN, from_exercises, solutions, workbook

    for number in range(count):
        codes = from_exercises("wrong", number) if number % 3 == 2 else solutions()
        workbook(top / "class" / f"intern_{number:02}", codes)
    (top / "hidden").mkdir()
    (top / "hidden" / "box_iou.py").write_text(HIDDEN, encoding="utf-8")


def measure_starts() -> list[float]:
    """Return a list that gets the processor seconds of each sandbox until it is ready."""
    seconds: list[float] = []
    start = Sandbox._start

    @wraps(start)
    def run(self: Sandbox) -> Any:
        process = start(self)
        seconds.append(cpu_seconds([process.pid, *descendants(process.pid)]))
        return process

    Sandbox._start = run  # type: ignore[method-assign]
    return seconds


if __name__ == "__main__":
    main()
