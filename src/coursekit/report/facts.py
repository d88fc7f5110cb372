"""What happened, gathered from a run's folder, from the data, and from the workbook."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from coursekit.core.errors import DataError
from coursekit.core.files import new_file
from coursekit.data import CocoDataset, load
from coursekit.evaluation import Result, Scores, evaluate
from coursekit.evaluation.errors import ErrorReport, best_images, split_errors, worst_images
from coursekit.evaluation.intervals import Interval, intervals
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook import own_parts as downstream
from coursekit.lessons.workbook.own_parts import results_of_run
from coursekit.lessons.workbook.status import LessonStatus, status
from coursekit.memory.predict import predict
from coursekit.memory.step_config import GIB
from coursekit.runs.config import RunConfig, load_config
from coursekit.runs.load import WEIGHTS
from coursekit.runs.train import setting_of
from coursekit.training.clock import PHASES
from coursekit.training.hooks import METRICS, read_metrics

DETECTIONS = "detections.json"
NOTES = "notes.md"  # in a run's folder: what somebody wants said about it
DRAWS, SHOWN = 200, 4


class Detections(msgspec.Struct):
    """What the run found, kept so that making the report again takes seconds: of which data, by which weights."""

    data: str
    split: str
    weights: float
    results: list[Result]


@dataclass(frozen=True)
class Training:
    """What metrics.jsonl tells.

    Attributes:
        steps: its lines about steps; epochs: those about scores.
        devices: what it ran on, a line for each start.
        events: in words, such as an out-of-memory and what was done, or that it went on after a stop.
        left_out: images and boxes, in words; empty where none were.
        memory: the most bytes that a card held; None without a card.
    """

    steps: list[dict[str, Any]]
    epochs: list[dict[str, Any]]
    devices: list[str]
    events: list[str]
    left_out: str
    memory: int | None

    @property
    def phases(self) -> dict[str, float]:
        """Seconds of each phase, over all steps."""
        return {name: sum(one["phases"][name] for one in self.steps if "phases" in one) for name in PHASES}


@dataclass(frozen=True)
class Score:
    """What the run is worth on a data set; worst are (image id, reason)."""

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
    """What the workbook tells: lessons, whose each part of the detector is, the journal."""

    lessons: list[LessonStatus] = field(default_factory=list)
    parts: dict[str, str] = field(default_factory=dict)
    journal: Sequence[journals.Entry] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that the report fills in by itself.

    Attributes:
        predicted: GiB, at as many images as the run began with.
        notes: what stands in the run's notes.md, such as the experiment of lesson 10.
    """

    folder: Path
    config: RunConfig
    training: Training
    score: Score
    course: Course
    predicted: float
    notes: str = ""


def gather(folder: Path, data: str | None, split: str, out: Path) -> Facts:
    """All facts about a run.

    Args:
        folder: of the run.
        data, split: what to score it on; by default what it was trained on.
        out: where detections are kept.

    Raises:
        DataError: the run, its notes or the data is not sound, or they don't belong together.
        ConfigError: parts of the workbook that the run was trained with no longer pass.
    """
    config = load_config(folder)
    training = read_training(folder)
    dataset, results = _found(folder, data or config.data, split, out)
    device = torch.device("cpu" if training.memory is None else "cuda")
    predicted = predict(setting_of(config, device)).total / GIB
    score = score_of(results, dataset, split)
    return Facts(folder, config, training, score, read_course(config), predicted, read_notes(folder))


def _events(lines: Sequence[dict[str, Any]]) -> list[str]:
    """In their order; each start but the first is one."""
    first = next((line for line in lines if "device" in line), None)
    events = []
    for line in lines:
        if "event" in line:
            events.append(line["event"])
        elif "device" in line and line is not first:
            events.append(f"step {line['step']}: gone on from here after a stop")
    return events


def read_notes(folder: Path) -> str:
    """What stands in a run's notes.md; nothing where there is none.

    Raises:
        DataError: it can't be read.
    """
    path = folder / NOTES
    try:
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{path}: can't be read ({reason}).") from None


def read_training(folder: Path) -> Training:
    """What a run's metrics.jsonl tells.

    Raises:
        DataError: there is nothing in it.
    """
    lines = read_metrics(folder / METRICS)
    steps = [line for line in lines if "losses" in line]
    if not steps:
        raise DataError(f"{folder / METRICS}: no step in it. A report is about a run that has trained.")
    memory = [line["memory"] for line in lines if line.get("memory")]
    left_out = [line["left_out"] for line in lines if line.get("left_out")]
    return Training(
        steps,
        [line for line in lines if "AP" in line],
        list(dict.fromkeys(line["device"] for line in lines if "device" in line)),
        _events(lines),
        left_out[-1] if left_out else "",
        max(memory, default=None),
    )


def score_of(results: list[Result], dataset: CocoDataset, split: str) -> Score:
    """Scores, intervals and errors; a run that found nothing has no errors to split, and nothing best."""
    scores, some = evaluate(results, dataset), bool(results)
    return Score(
        dataset,
        split,
        results,
        scores,
        intervals(results, dataset, draws=DRAWS),
        split_errors(results, dataset) if some else None,
        [(one.image_id, one.reason) for one in worst_images(results, dataset, SHOWN)] if some else [],
        best_images(results, dataset, SHOWN) if some else [],
    )


def read_course(config: RunConfig) -> Course:
    """Lessons, parts and journal of the workbook; nothing where there is none."""
    from coursekit.lessons.workbook import workbook

    if not (workbook.folder() / "__init__.py").is_file():
        return Course()
    parts = {one.name: _whose(one, config.parts) for one in downstream.parts_of(workbook.folder())}
    return Course(status(), parts, journals.entries())


def _whose(part: downstream.Part, trained: Sequence[str]) -> str:
    """Of a part in this run: what passes now, but was not trained with, is the course's there."""
    if part.name not in trained:
        return "the course's"
    return "borrowed" if part.whose == "borrowed" else "mine"


def _found(folder: Path, data: str, split: str, out: Path) -> tuple[CocoDataset, list[Result]]:
    """What the run finds; read from the last report where nothing has changed since."""
    path, weights = out / DETECTIONS, folder / WEIGHTS
    if path.exists() and weights.exists():
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Detections)
        except (msgspec.DecodeError, UnicodeDecodeError):
            kept = None
        if kept and (kept.data, kept.split, kept.weights) == (data, split, weights.stat().st_mtime):
            return load(data, split), kept.results
    results, dataset = results_of_run(folder, data, split)
    with new_file(path) as partial:
        partial.write_bytes(msgspec.json.encode(Detections(data, split, weights.stat().st_mtime, results)))
    return dataset, results
