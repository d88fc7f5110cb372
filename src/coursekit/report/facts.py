"""What happened, gathered from a run's folder, from the data, and from the workbook."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from coursekit.core.errors import DataError
from coursekit.core.files import check_inside, new_file
from coursekit.data import CocoDataset, load
from coursekit.evaluation import Result, Scores, evaluate
from coursekit.evaluation.error_analysis import ErrorReport, best_images, split_errors, worst_images
from coursekit.evaluation.intervals import Interval, intervals
from coursekit.evaluation.results import check_results
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook import own_parts
from coursekit.lessons.workbook.own_parts import results_of_run
from coursekit.lessons.workbook.status import LessonStatus, status
from coursekit.lessons.workbook.workbook import Workbook
from coursekit.memory.predict_peak import predict
from coursekit.memory.step_config import GIB
from coursekit.report.metrics_lines import check_lines
from coursekit.report.project import Project, read_project
from coursekit.runs.run_config import RunConfig, load_config
from coursekit.runs.save_and_load import WEIGHTS
from coursekit.runs.train_or_resume import step_config_of
from coursekit.training.clock import ALL_PHASES, PHASES, STEP
from coursekit.training.hooks import METRICS, read_metrics

DETECTIONS = "detections.json"
NOTES = "notes.md"  # in a run's folder: what its owner wants to say about it
DRAWS, SHOWN = 200, 3


class Detections(msgspec.Struct):
    """What the run detected in which data, with which weights. It is stored, so that the next report takes seconds."""

    data: str
    split: str
    weights: float
    results: list[Result]


@dataclass(frozen=True)
class Training:
    """What a run's metrics.jsonl says.

    Attributes:
        steps: its lines about steps.
        epochs: its lines about scores.
        devices: what it ran on, one entry per device.
        events: in words, such as an out-of-memory error and its cure, or that the run resumed.
        left_out: images and boxes that were left out, in words; empty if none were.
        memory: peak GPU memory in bytes; None without a GPU.
    """

    steps: list[dict[str, Any]]
    epochs: list[dict[str, Any]]
    devices: list[str]
    events: list[str]
    left_out: str
    memory: int | None

    @property
    def phases(self) -> dict[str, float]:
        """Return the seconds of each phase, summed over all steps. With a step of one's own, only of those it has."""
        measured = [step["phases"] for step in self.steps if "phases" in step]
        seconds = {name: sum(phases.get(name, 0.0) for phases in measured) for name in ALL_PHASES}
        always = ("data",) if seconds[STEP] else PHASES
        return {name: value for name, value in seconds.items() if value or name in always}


@dataclass(frozen=True)
class Score:
    """How good the run is on a data set. `worst` holds (image id, reason) pairs."""

    dataset: CocoDataset
    split: str
    results: list[Result]
    scores: Scores
    intervals: dict[str, Interval]
    errors: ErrorReport | None
    worst: list[tuple[int, str]]
    best: list[int]


@dataclass(frozen=True)
class Course:
    """What the workbook says: the status of each lesson, who wrote each part of the detector, and the journal."""

    lessons: list[LessonStatus] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    journal: Sequence[journals.Entry] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that the report fills in by itself.

    Attributes:
        predicted: peak memory of a step in GiB, at the batch size that the run began with.
        notes: the run's notes.md.
        project: what the run was for, from lesson 10.
    """

    folder: Path
    config: RunConfig
    training: Training
    score: Score
    course: Course
    predicted: float
    notes: str = ""
    project: Project = field(default_factory=Project)


def gather(workbook: Workbook, folder: Path, data: str | None, split: str, out: Path) -> Facts:
    """Gather all facts about a run.

    Args:
        workbook: tells how far the course is done.
        folder: folder of the run.
        data, split: what to score it on; by default what it was trained on.
        out: where detections are stored.

    Raises:
        DataError: the run, its notes or the data is damaged, or they don't belong together.
        ConfigError: parts of the workbook that the run was trained with no longer pass their checks.
    """
    config = load_config(folder)
    training = read_training(folder)
    dataset, results = _detections(workbook, folder, data or config.data, split, out)
    device = torch.device("cpu" if training.memory is None else "cuda")
    predicted = predict(step_config_of(config, device)).total / GIB
    score = score_of(results, dataset, split)
    course, notes, project = read_course(workbook, config), read_notes(folder), read_project(folder)
    return Facts(folder, config, training, score, course, predicted, notes, project)


def _events(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Return the events in order. Each start except the first is one."""
    first = next((line for line in lines if "device" in line), None)
    events = []
    for line in lines:
        if "event" in line:
            events.append(line["event"])
        elif "device" in line and line is not first:
            events.append(f"step {line['step']}: resumed from here after a stop")
    return events


def read_notes(folder: Path) -> str:
    """Return a run's notes.md; an empty string if there is none.

    Raises:
        DataError: it can't be read.
    """
    path = folder / NOTES
    try:
        return check_inside(path, folder).read_text(encoding="utf-8").strip() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: can't be read ({reason}). Check its permissions, and save it as UTF-8.") from None


def read_training(folder: Path) -> Training:
    """Read a run's metrics.jsonl.

    Raises:
        DataError: it has no step, or its lines are not those of a run.
    """
    path = folder / METRICS
    lines = read_metrics(check_inside(path, folder))
    steps = [line for line in lines if "losses" in line]
    if not steps:
        raise DataError(f"{path}: there is no step in it. Train first: a report needs a run that has trained.")
    epochs = [line for line in lines if "AP" in line]
    check_lines(path, lines, steps, epochs)
    memory = [line["memory"] for line in lines if line.get("memory")]
    left_out = [line["left_out"] for line in lines if line.get("left_out")]
    return Training(
        steps,
        epochs,
        list(dict.fromkeys(line["device"] for line in lines if "device" in line)),
        _events(lines),
        left_out[-1] if left_out else "",
        max(memory, default=None),
    )


def score_of(results: list[Result], dataset: CocoDataset, split: str) -> Score:
    """Return scores, intervals and errors. A run without detections has no errors to split, and no best images."""
    scores, has_results = evaluate(results, dataset), bool(results)
    return Score(
        dataset,
        split,
        results,
        scores,
        intervals(results, dataset, draws=DRAWS),
        split_errors(results, dataset) if has_results else None,
        [(image.image_id, image.reason) for image in worst_images(results, dataset, SHOWN)] if has_results else [],
        best_images(results, dataset, SHOWN) if has_results else [],
    )


def read_course(workbook: Workbook, config: RunConfig) -> Course:
    """Return lessons, parts and journal of the workbook; nothing if it doesn't exist. No answer of it is imported."""
    if not workbook.exists:
        return Course()
    states = own_parts.states_of(workbook, config.detector.kind)
    parts = {name: _owner(state) if name in config.parts else own_parts.COURSE for name, state in states.items()}
    return Course(status(workbook), parts, journals.entries(workbook))


def _owner(state: str) -> str:
    return "borrowed" if state == "borrowed" else "mine"


def _detections(workbook: Workbook, folder: Path, data: str, split: str, out: Path) -> tuple[CocoDataset, list[Result]]:
    """Return what the run detects; read from the last report if nothing has changed since."""
    path, weights = out / DETECTIONS, folder / WEIGHTS
    stored = _stored(path)
    if stored and weights.exists() and (stored.data, stored.split, stored.weights) == _key(data, split, weights):
        dataset = load(data, split)
        with suppress(DataError):  # then they are made again
            check_results(stored.results, dataset, str(path))
            return dataset, stored.results
    results, dataset = results_of_run(folder, data, split, workbook)
    with new_file(path) as partial:
        partial.write_bytes(msgspec.json.encode(Detections(*_key(data, split, weights), results)))
    return dataset, results


def _stored(path: Path) -> Detections | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Detections)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _key(data: str, split: str, weights: Path) -> tuple[str, str, float]:
    return data, split, weights.stat().st_mtime
