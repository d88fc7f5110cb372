"""What comes out: grades.csv, class.html, and feedback/NAME.html for each intern."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from coursekit.core.files import make_folder, new_file, write_text
from coursekit.grading.grade import Graded
from coursekit.grading.marks import SIGNS, Mark, Terms, points
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.progress import Record
from coursekit.report.html import page
from coursekit.report.text import counted, table

LEGEND = "  ".join(f"{sign} {state}" for state, sign in SIGNS.items())


@dataclass(frozen=True)
class Total:
    """Points of an intern, of how many, and what is listed beside them."""

    points: float
    whole: float
    counts: Counter[str]
    hints: int
    seen: list[str]

    @property
    def percent(self) -> float:
        """Points in percent."""
        return 100 * self.points / self.whole


def write_pages(out: Path, graded: Sequence[Graded], terms: Terms) -> None:
    """Write all of it.

    Raises:
        ConfigError: the folder can't be written.
    """
    make_folder(out / "feedback")
    _write_csv(out / "grades.csv", graded, terms)
    write_text(out / "class.html", page("The class", class_page(graded, terms), out))
    wanted = {f"{one.submission.name}.html" for one in graded}
    for path in (out / "feedback").glob("*.html"):
        if path.name not in wanted:
            path.unlink()  # of somebody who is no longer there
    for one in graded:
        name = one.submission.name
        write_text(out / "feedback" / f"{name}.html", page(f"Feedback: {name}", feedback_page(one, terms), out))


def total(one: Graded, terms: Terms) -> Total:
    """The sum of an intern's points, and what is listed beside it."""
    records = [_record(one, mark) for mark in one.marks]
    return Total(
        round(sum(_points(one, mark, terms) for mark in one.marks), 1),
        sum(EXERCISES[mark.exercise].minutes for mark in one.marks),
        Counter(mark.state for mark in one.marks),
        sum(record.hints for record in records),
        [mark.exercise for mark, record in zip(one.marks, records, strict=True) if record.seen],
    )


def class_page(graded: Sequence[Graded], terms: Terms) -> str:
    """The class in Markdown: who has what, which exercise fails most and by which mistake, and what is to be known."""
    lessons = sorted({EXERCISES[mark.exercise].lesson for mark in graded[0].marks})
    rows = [_class_row(one, lessons, terms) for one in graded]
    head = ["intern", "points", "%", *(f"{number:02}" for number in lessons)]
    mean = sum(total(one, terms).percent for one in graded) / len(graded)
    return "\n\n".join(
        [
            "# The class",
            f"{counted(len(graded), 'submission')}, {counted(len(graded[0].marks), 'exercise')}. On average "
            f"{mean:.0f} % of {total(graded[0], terms).whole:g} points. {_terms(terms)}",
            "## Who",
            "Of each lesson: exercises that are right, of all. A name leads to the feedback.",
            table(head, rows),
            "## Where it fails",
            "Exercises that most have tried without getting there, first.",
            table(("exercise", "right", "not yet", "not there", "what most often went wrong"), _failing(graded)),
            "## To be known",
            _known(graded, terms),
        ]
    )


def _class_row(one: Graded, lessons: Sequence[int], terms: Terms) -> list[str]:
    name, sums = one.submission.name, total(one, terms)
    by_lesson = []
    for number in lessons:
        states = [mark.state for mark in one.marks if EXERCISES[mark.exercise].lesson == number]
        right = sum(state in ("correct", "borrowed") for state in states)
        by_lesson.append(f"{right}/{len(states)}")
    link = f"[{text(name)}](<feedback/{quote(name)}.html>)"
    return [link, f"{sums.points:g}", f"{sums.percent:.0f}", *by_lesson]


def _failing(graded: Sequence[Graded]) -> list[list[str]]:
    rows = []
    for place, first in enumerate(graded[0].marks):
        marks = [one.marks[place] for one in graded]
        counts = Counter(mark.state for mark in marks)
        right, failed = counts["correct"] + counts["borrowed"], counts["not yet"]
        absent = counts["missing"] + counts["not started"]
        rows.append((failed, place, [f"`{first.exercise}`", str(right), str(failed), str(absent), _commonest(marks)]))
    return [row for _, _, row in sorted(rows, key=lambda row: (-row[0], row[1]))]


def _commonest(marks: Sequence[Mark]) -> str:
    """What most often went wrong: the mistake, where it is a known one; else the simplest case that fails."""
    failed = [mark for mark in marks if mark.state == "not yet"]
    said = Counter(mark.likely or _fault(mark) for mark in failed).most_common(1)
    return f"{text(said[0][0])} ({said[0][1]})" if said else ""


def _fault(mark: Mark) -> str:
    has_stopped = mark.expected in ("", "an answer")
    return _line(mark.came) if has_stopped else f"wrong on: {_line(mark.tried.split(':')[0])}"


def _known(graded: Sequence[Graded], terms: Terms) -> str:
    """Who opened hints, saw references or borrowed, and what could not be read. None of it costs points unless told."""
    rows, problems = [], []
    for one in graded:
        sums, name = total(one, terms), text(one.submission.name)
        borrowed = [f"{mark.exercise} ({mark.lender})" for mark in one.marks if mark.state == "borrowed"]
        if sums.hints or sums.seen or borrowed:
            rows.append([name, str(sums.hints or ""), text(", ".join(sums.seen)), text(", ".join(borrowed))])
        problems += [f"- **{name}** {text(_line(problem))}" for problem in one.submission.problems]
    head = ("intern", "hints", "references shown", "borrowed from")
    said = f"Hints and references are what an intern's own progress file says.\n\n{table(head, rows)}"
    parts = [said if rows else "Nobody opened a hint or borrowed an answer."]
    parts += ["What could not be read, or is odd:", "\n".join(problems)] if problems else []
    return "\n\n".join(parts)


def feedback_page(one: Graded, terms: Terms) -> str:
    """An intern's page in Markdown, in the words of the checks."""
    sums = total(one, terms)
    states = ", ".join(f"{sums.counts[state]} {state}" for state in SIGNS if sums.counts[state])
    failed = [_failed(mark) for mark in one.marks if mark.state == "not yet"]
    parts = [
        f"# Feedback for {text(one.submission.name)}",
        f"**{sums.points:g} of {sums.whole:g} points.** Of {counted(len(one.marks), 'exercise')}: {states}. "
        f"{_terms(terms)}",
    ]
    if one.submission.problems:
        told = "\n".join(f"- {text(_line(problem))}" for problem in one.submission.problems)
        parts += ["## About what you handed in", told]
    if failed:
        parts += ["## What is not right yet", "The simplest case that fails, as the check says it.", *failed]
    parts += [
        "## All exercises",
        LEGEND,
        table(("exercise", "state", "points", "cases right", "note"), _all(one, terms)),
    ]
    if sums.hints or sums.seen:
        shown = f"; the course's answer was shown for {', '.join(sums.seen)}" if sums.seen else ""
        parts.append(f"You opened {counted(sums.hints, 'hint')}{shown}.")
    return "\n\n".join(parts)


def _failed(mark: Mark) -> str:
    said = [("tried on", mark.tried), ("came", mark.came), ("expected", mark.expected)]
    rows = [(title, _as_code(one)) for title, one in said if one]
    rows += [("looks like", text(mark.likely))] if mark.likely else []
    return f"### ✗ {mark.exercise}\n\n{table(('check', f'{mark.passed} of {mark.cases} cases right'), rows)}"


def _all(one: Graded, terms: Terms) -> list[list[str]]:
    rows = []
    for mark in one.marks:
        exercise = EXERCISES[mark.exercise]
        notes = {
            "borrowed": f"it is {mark.lender}",
            "not started": "the cell is as the course gives it",
            "missing": "no cell of it was found",
        }
        rows.append(
            [
                f"{exercise.lesson:02} `{mark.exercise}`",
                f"{SIGNS[mark.state]}\u00a0{mark.state}",
                f"{_points(one, mark, terms):g} of {exercise.minutes}",
                f"{mark.passed} of {mark.cases}" if mark.cases and mark.state != "not started" else "",
                text(notes.get(mark.state, "")),
            ]
        )
    return rows


def _write_csv(path: Path, graded: Sequence[Graded], terms: Terms) -> None:
    head = ["intern", "points", "of", "percent", *SIGNS, "hints", "references shown"]
    with new_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*head, *(mark.exercise for mark in graded[0].marks)])
        for one in graded:
            sums = total(one, terms)
            figures = [sums.points, sums.whole, round(sums.percent, 1), *(sums.counts[state] for state in SIGNS)]
            listed = [sums.hints, len(sums.seen)]
            rows.writerow(
                [_plain(one.submission.name), *figures, *listed, *(_points(one, mark, terms) for mark in one.marks)]
            )


def _points(one: Graded, mark: Mark, terms: Terms) -> float:
    record = _record(one, mark)
    return points(mark, terms, record.hints, record.seen)


def _record(one: Graded, mark: Mark) -> Record:
    """What the intern's progress file says, within reason."""
    record = one.submission.records.get(mark.exercise) or Record()
    return Record(hints=min(3, max(0, record.hints)), seen=record.seen)


def _terms(terms: Terms) -> str:
    said = [] if terms.borrowed == 1 else [f"a borrowed answer gives {terms.borrowed:.0%} of its points"]
    said += [f"each hint takes {terms.hint_penalty:.0%}"] if terms.hint_penalty else []
    return f"An exercise gives its minutes as points; {', '.join(said)}." if said else (
        "An exercise gives its minutes as points; hints and borrowed answers cost none."
    )  # fmt: skip


def text(written: str) -> str:
    """What somebody wrote, so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!<>&~|:])", r"\\\1", written)


def _as_code(said: str) -> str:
    """The same in a line, as code: between more backticks than any within."""
    line = " · ".join(one.strip() for one in said.splitlines() if one.strip())
    ticks = "`" * (1 + max(map(len, re.findall(r"`+", line)), default=0))
    return f"{ticks} {line} {ticks}" if line else ""


def _line(said: str) -> str:
    return " ".join(said.split())[:160]


def _plain(name: str) -> str:
    """No formula for whoever opens the table in a spreadsheet."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name
