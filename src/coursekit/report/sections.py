"""The report's sections in Markdown, with links to the pictures in `pictures/`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from coursekit.core.config import KIND_NAMES
from coursekit.core.errors import plain
from coursekit.evaluation import METRICS
from coursekit.evaluation.error_analysis import KINDS
from coursekit.lessons.workbook.journal import QUESTIONS
from coursekit.lessons.workbook.own_parts import COURSE
from coursekit.lessons.workbook.states import SIGNS
from coursekit.lessons.workbook.status import LessonStatus
from coursekit.memory.step_config import GIB
from coursekit.report.facts import Course, Facts, Score
from coursekit.report.meanings import METRIC_MEANS, SETTING_MEANS
from coursekit.report.project import IN_SHORT, LABELS, texts
from coursekit.runs.run_config import RunConfig
from coursekit.training.clock import STEP

Alts = Mapping[str, str]  # name of a picture → its alt text
ABOUT_INTERVALS = (
    "`from` and `to` are a 95 % bootstrap interval: images were drawn from these with replacement, as many as there "
    "are, again and again, and 95 % of the draws scored between the two. It says how much the number depends on which "
    "images happen to be in the set. Other training seeds are not in it."
)

ONE_PHASE = (
    " The training step is one phase here, because my own doesn't say when forward, backward and the update end."
)


def sections(facts: Facts, alts: Alts) -> list[str]:
    """Return all sections of the report up to its questions."""
    return [
        _in_short(facts), *_project(facts), _training(facts, alts), _score(facts, alts), _errors(facts.score, alts),
        _parts(facts.course, facts.config), _settings(facts), _exercises(facts.course), _journal(facts.course),
    ]  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table in Markdown. Bars in a cell are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 hint" or "3 hints"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _cell(value: Any) -> str:
    return _shown(value).replace("|", "\\|")


def _shown(value: Any) -> str:
    """Return a value as one line in which Markdown sees no HTML, link or picture: a run may be somebody else's."""
    return re.sub(r"([\\<\[\]`])", r"\\\1", plain(" ".join(str(value).split("\n"))))


def _picture(name: str, alts: Alts) -> str:
    return f"![{_shown(alts[name].replace('[', '(').replace(']', ')'))}](pictures/{name}.png)" if name in alts else ""


def _number(value: float) -> str:
    return "no ground truth" if value == -1 else f"{value:.3f}"


def _in_short(facts: Facts) -> str:
    config, steps, score = facts.config, facts.training.steps, facts.score
    detector = config.detector
    seconds, images = steps[-1]["seconds"], steps[-1]["images"]
    low, high = score.intervals["AP"]
    ap, classes = score.scores.metrics["AP"], len(config.categories)
    rows = [(LABELS[name].lower(), text) for name in IN_SHORT if (text := getattr(facts.project, name))]
    rows += [
        ("data", f"{config.data}, {classes} classes; scored on {len(score.dataset):,} images of {score.split}"),
        ("detector", f"{detector.backbone}, FPN, {KIND_NAMES[detector.kind]} at {detector.size} px"),
        ("written by me", _written(facts.course, config)),
        ("machine", "; then ".join(facts.training.devices) or "not recorded"),
        ("training", f"{len(steps):,} steps, {images:,} images in {_duration(seconds)}"),
        ("speed", f"{images / max(seconds, 1e-9):.1f} images/s"),
        ("AP", f"{_number(ap)} (95 % bootstrap interval over the images: {low:.3f} to {high:.3f})"),
        ("AP50", _number(score.scores.metrics["AP50"])),
    ]
    return "## In short\n\n" + table(("item", "value"), rows)


def _written(course: Course, config: RunConfig) -> str:
    if not course.lessons:
        return "no workbook"
    states = [state for lesson in course.lessons if not lesson.optional for state in lesson.states.values()]
    more = [state for lesson in course.lessons if lesson.optional for state in lesson.states.values()].count("correct")
    optional = f" and {more} optional one{'s' if more > 1 else ''}" if more else ""
    mine = sum(owner == "mine" for owner in course.parts.values())
    parts = f"{mine} of the {len(course.parts)} parts of the detector"
    step = " and the training step" if _step(course, config) == "mine" else ""
    return f"{states.count('correct')} of {len(states)} exercises{optional}; in this run {parts}{step}"


def _project(facts: Facts) -> list[str]:
    told = [f"**{label}:** {_shown(text)}" for label, text in texts(facts.project).items()]
    notes = "\n".join(_no_heading(line) for line in facts.notes.splitlines())
    paragraphs = [*told, notes] if notes else told
    return ["\n\n".join(["## The project", *paragraphs])] if paragraphs else []


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _settings(facts: Facts) -> str:
    chosen = msgspec.to_builtins(facts.config.detector) | msgspec.to_builtins(facts.config.training)
    rows = [(name, value, SETTING_MEANS.get(name, "")) for name, value in chosen.items()]
    return "## Settings\n\n" + table(("setting", "value", "what it is"), rows)


def _training(facts: Facts, alts: Alts) -> str:
    training, phases = facts.training, facts.training.phases
    total = sum(phases.values()) or 1.0
    waiting = phases["data"] / total
    measured = f"the run used {training.memory / GIB:.2f} GiB" if training.memory else "it is measured on a GPU only"
    first, last = training.steps[0].get("micro_batch"), training.steps[-1].get("micro_batch")
    lines = [
        f"Waiting for data took {waiting:.0%} of the time, computing the rest." + ONE_PHASE * (STEP in phases),
        f"Predicted peak memory of a step: {facts.predicted:.2f} GiB; {measured}.",
        f"Micro-batch size: {first}" + (f" at first, {last} in the end." if first != last else " throughout."),
    ]
    events = "\n".join(f"- {_shown(event)}" for event in training.events) or "None: the run never ran out of memory."
    left_out = _shown(training.left_out) or "No image or box was left out."
    pictures = [_picture(name, alts) for name in ("losses", "score-by-epoch", "time")]
    return "\n\n".join(
        [
            "## Training",
            *lines,
            *(picture for picture in pictures if picture),
            "### Events",
            events,
            "### Left out",
            left_out,
        ]
    )


def _score(facts: Facts, alts: Alts) -> str:
    score = facts.score
    metrics, ranges = score.scores.metrics, score.intervals
    numbers = [(name, *map(_number, (metrics[name], *ranges[name])), METRIC_MEANS[name]) for name in METRICS]
    classes = [(row.name, row.boxes, _number(row.AP), _number(row.AP50)) for row in score.scores.per_class]
    about = f"COCO's twelve numbers on {len(score.dataset):,} images of {score.split}. {ABOUT_INTERVALS}"
    parts = ["## Score", about, table(("number", "value", "from", "to", "what it is"), numbers)]
    parts += ["### By class", _picture("classes", alts), table(("class", "boxes", "AP", "AP50"), classes)]
    return "\n\n".join([*parts, _picture("precision-recall", alts)])


def _errors(score: Score, alts: Alts) -> str:
    if score.errors is None:
        return "## Errors\n\nThe detector found nothing at all, so there are no errors to sort by kind."
    kinds = sorted(score.errors.kinds.items(), key=lambda item: -item[1].cost)
    rows = [(name, kind.count, f"{kind.cost:.3f}", KINDS[name]) for name, kind in kinds]
    worst = "\n".join(f"- image {image_id}: {_shown(reason)}" for image_id, reason in score.worst)
    parts = ["## Errors", _picture("errors", alts), table(("kind", "count", "costs in AP50", "what it is"), rows)]
    parts += ["### Best images", _picture("best", alts)] if score.best else []
    parts += ["### Worst images", _picture("worst", alts), worst] if score.worst else []
    return "\n\n".join(parts)


def _parts(course: Course, config: RunConfig) -> str:
    if not course.parts:
        return "## Whose detector it is\n\nThere is no workbook, so all parts count as the course's."
    by_lesson = [
        (lesson.name, *_owners(list(lesson.states.values()))) for lesson in course.lessons if _is_shown(lesson)
    ]
    return "\n\n".join(
        [
            "## Whose detector it is",
            "By lesson. The loader, training and evaluation count, too, though they are no parts of the detector:",
            table(("lesson", "mine", "right, but untested by me", "borrowed", "open"), by_lesson),
            "The training step of this run, and the parts of its detector:",
            table(("part", "in this run"), [("real_step", _step(course, config)), *course.parts.items()]),
        ]
    )


def _is_shown(lesson: LessonStatus) -> bool:
    """Return whether a lesson is in the tables: an optional one is, once it is begun."""
    return not lesson.optional or any(state != "not started" for state in lesson.states.values())


def _step(course: Course, config: RunConfig) -> str:
    """Return who wrote the training step of a run."""
    states = {name: state for lesson in course.lessons for name, state in lesson.states.items()}
    if not config.own_step:
        return COURSE
    return "borrowed" if states.get("real_step") == "borrowed" else "mine"


def _owners(states: Sequence[str]) -> tuple[int, int, int, int]:
    """Return how many exercises are mine, right but untested, borrowed, and none of these yet."""
    counts = states.count("correct"), states.count("untested"), states.count("borrowed")
    return *counts, len(states) - sum(counts)


def _exercises(course: Course) -> str:
    if not course.lessons:
        return "## The course so far\n\nThere is no workbook."
    rows = [
        (
            lesson.name,
            ", ".join(f"{SIGNS[state]}\u00a0{name}" for name, state in lesson.states.items()) or "no exercises",
            lesson.hints,
            ", ".join(lesson.seen) or "–",
            ", ".join(f"{name}:\u00a0{origin}" for name, origin in lesson.origins.items()) or "–",
        )
        for lesson in course.lessons
        if _is_shown(lesson)
    ]
    signs = ", ".join(f"{sign} {state}" for state, sign in SIGNS.items())
    head = "lesson", "exercises", "hints", "solutions seen", "how it came about"
    return f"## The course so far\n\n{table(head, rows)}\n\n{signs}"


def _journal(course: Course) -> str:
    if not course.journal:
        return "## Journal\n\nNo entries."
    entries = []
    for entry in course.journal:
        texts = [(question, getattr(entry, name)) for name, question in QUESTIONS.items()]
        quoted = [f"**{question}**\n\n{_quoted(text)}" for question, text in texts if text]
        entries.append(
            "\n\n".join([f"### {entry.when[:10]}{f' · lesson {entry.lesson}' if entry.lesson else ''}", *quoted])
        )
    return "\n\n".join(["## Journal", *entries])


def _quoted(text: str) -> str:
    return "\n".join(f"> {_no_heading(line)}" for line in text.splitlines())


def _no_heading(line: str) -> str:
    return "\\" + line if line.startswith("#") else line
