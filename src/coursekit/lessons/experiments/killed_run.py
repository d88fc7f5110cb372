"""A run that is killed half way and goes on, in a folder that belongs to its settings."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from tqdm.auto import tqdm

import coursekit.show as show
from coursekit.core.errors import CourseError
from coursekit.core.files import make_folder, write_bytes
from coursekit.lessons.checking.verdict import state_of
from coursekit.lessons.experiments.what_fits import duration
from coursekit.lessons.workbook.own_parts import functions, parts_of
from coursekit.lessons.workbook.own_training_step import NAMES, STEP
from coursekit.lessons.workbook.states import RIGHT
from coursekit.lessons.workbook.trusted_workbooks import digests
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.runs.run_config import CONFIG
from coursekit.runs.save_and_load import WEIGHTS
from coursekit.training.checkpoint import LAST
from coursekit.training.hooks import METRICS, read_metrics

LOG = "train.log"
ASKED = "asked.json"  # in a run's folder: what it was asked to do
WHAT_FILES_ARE = {  # in a run's folder
    ASKED: "what this notebook asked for",
    CONFIG: "what the run was started with",
    LAST: "the last checkpoint",
    METRICS: "losses and scores, a line for each step and epoch",
    LOG: "what the run printed",
    "best.pt": "the checkpoint with the best score",
}
LOOKS = 0.2  # seconds between two looks at a run


def folder_for(folder: Path, settings: Mapping[str, Any], recipe: Path, workbook: Workbook) -> Path:
    """Return the folder of the run with these settings: that one, or with a number if it holds a run with others.

    So nothing that has changed goes on with an old run, and the same settings find their run again. What happens is
    printed.

    Args:
        folder: the folder of the first run.
        settings: the options of the run, by name.
        recipe: the file of the data's recipe; a change in it is a change of the run.
        workbook: a change in one of its correct parts is one, too.
    """
    wanted = {name: str(value) for name, value in settings.items()} | {"recipe": recipe.read_text(encoding="utf-8")}
    wanted |= {f"my {name}": digest for name, digest in digests(workbook, _own(workbook)).items()}
    candidate, number = folder, 1
    while (candidate / ASKED).exists() or (candidate / CONFIG).exists():
        before = _asked(candidate)
        if before == wanted:
            state = "has ended" if (candidate / WEIGHTS).exists() else "was begun and can go on"
            print(f"{candidate.as_posix()}: a run with these settings {state}.")
            return candidate
        print(f"{candidate.as_posix()}: a run with other settings ({_differences(before, wanted)}). It stays as it is.")
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    write_bytes(make_folder(candidate) / ASKED, msgspec.json.format(msgspec.json.encode(wanted)))
    print(f"{candidate.as_posix()}: a new run.")
    return candidate


def train_and_kill(command: Sequence[str], folder: Path, at_step: int, guess: Sequence[str] = ()) -> None:
    """Start a training in a process of its own, and kill it once it has taken some steps and left a checkpoint.

    A run that was begun before is left alone. What is left of the run is printed.

    Args:
        command: the arguments of `coursekit`.
        folder: the run's folder.
        at_step: after which step to kill it.
        guess: the names of the files that the reader expects to be left.

    Raises:
        CourseError: the run didn't start; the message is its last line.
    """
    if (folder / CONFIG).exists():
        print(f"{folder.as_posix()} was begun before and has {steps_done(folder)} steps: nothing is killed.")
        return
    _run_elsewhere(command, folder, at_step, until=lambda: steps_done(folder) >= at_step and (folder / LAST).exists())
    print(f"killed after step {steps_done(folder)}; left in {folder.as_posix()}:")
    for name in sorted(path.name for path in folder.iterdir()):
        print(f"  {name:16} {WHAT_FILES_ARE.get(name, '')}")
    if guess:
        print(f"you said: {', '.join(guess)}")


def resume(command: Sequence[str], folder: Path, steps: int) -> None:
    """Let a run go on to its end, in a process of its own. A run that has ended is left alone.

    Args:
        command: the arguments of `coursekit`, without `--resume`.
        folder: the run's folder.
        steps: how many steps the whole run has.

    Raises:
        CourseError: the run failed; the message is its last line.
    """
    if (folder / WEIGHTS).exists():
        print(f"{folder.as_posix()} has ended before.")
        return
    _run_elsewhere([*command, "--resume"], folder, steps, until=lambda: False)
    if not (folder / WEIGHTS).exists():
        raise CourseError(f"the run failed: {_last_line(folder / LOG)}")


def _run_elsewhere(command: Sequence[str], folder: Path, steps: int, until: Callable[[], bool]) -> None:
    """Run a command with a bar of its steps, until it ends or something is true; then kill it."""
    with (make_folder(folder) / LOG).open("a", encoding="utf-8") as file, tqdm(total=steps, unit="step") as bar:
        process = subprocess.Popen([sys.executable, "-m", "coursekit", *command], stdout=file, stderr=file)
        try:
            while process.poll() is None and not until():
                time.sleep(LOOKS)
                bar.update(steps_done(folder) - bar.n)
        finally:  # also if you interrupt the cell
            process.kill()
            process.wait()
    if not (folder / CONFIG).exists():
        raise CourseError(f"the run didn't start: {_last_line(folder / LOG)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {log}"


def steps_done(folder: Path) -> int:
    """Return how many steps a run has written down."""
    with contextlib.suppress(OSError):
        return len({line["step"] for line in _lines(folder) if "losses" in line})
    return 0


def show_run(folder: Path) -> None:
    """Show the losses of a run, and print when it was started, how long it trained, and its scores by epoch."""
    lines = _lines(folder)
    steps = [line for line in lines if "losses" in line]
    starts = [line["step"] for line in lines if "device" in line]
    losses = {name: [step["losses"][name] for step in steps] for name in steps[0]["losses"]}
    fig = show.loss_curves([step["step"] for step in steps], losses, [step["lr"] for step in steps])
    ends = ", ".join(f"{name} {values[-1]:.2f}" for name, values in losses.items())
    show.figure(fig, f"Losses over {len(steps)} steps, at the end {ends}; the learning rate.")
    print(f"started at {', and again after '.join(f'step {step}' for step in starts)}")
    print(f"{len(steps)} steps in {duration(steps[-1]['seconds'])} of training")
    for line in lines:
        if "AP50" in line:
            print(f"epoch {line['epoch'] + 1}: AP {line['AP']:.3f}, AP50 {line['AP50']:.3f}")


def _lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / METRICS
    return read_metrics(path) if path.exists() else []


def _own(workbook: Workbook) -> list[str]:
    """Return the names of what a run would take from the workbook: parts, and what the training step is made of."""
    if not workbook.exists:
        return []
    return sorted(functions(parts_of(workbook))) + list(NAMES if state_of(workbook, STEP) in RIGHT else ())


def _asked(folder: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode((folder / ASKED).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}  # a run of another origin


def _differences(before: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    if not before:
        return "not from this notebook"
    names = [name for name in {**before, **wanted} if before.get(name) != wanted.get(name)]
    return "; ".join(f"{name}: {_short(before.get(name))} there, {_short(wanted.get(name))} now" for name in names)


def _short(value: str | None) -> str:
    text = " ".join((value or "nothing").split())
    return text if len(text) <= 40 else f"{text[:37]}…"
