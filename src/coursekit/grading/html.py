"""Write the results: grades.csv, class.html, and feedback/NAME.html for each intern."""

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
from coursekit.grading.readable import readable, readable_lines
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.progress import Record
from coursekit.report.html import page
from coursekit.report.sections import counted

LEGEND = "  ".join(f"{sign} {state}" for state, sign in SIGNS.items())


@dataclass(frozen=True)
class Total:
    """The totals of one intern.

    Attributes:
        points: points that the intern earned.
        whole: points that can be earned.
        counts: state → number of exercises.
        hints: number of hints opened.
        seen: exercises whose solution was shown.
    """

    points: float
    whole: float
    counts: Counter[str]
    hints: int
    seen: list[str]

    @property
    def percent(self) -> float:
        """Return the points in percent."""
        return 100 * self.points / self.whole


def write_pages(out: Path, graded: Sequence[Graded], terms: Terms) -> None:
    """Write all results.

    Raises:
        ConfigError: the folder can't be written.
    """
    make_folder(out / "feedback")
    _write_csv(out / "grades.csv", graded, terms)
    write_text(out / "class.html", page("The class", class_page(graded, terms), out))
    wanted = {f"{intern.submission.name}.html" for intern in graded}
    for path in (out / "feedback").glob("*.html"):
        if path.name not in wanted:
            path.unlink()  # the intern has left
    for intern in graded:
        name = intern.submission.name
        write_text(out / "feedback" / f"{name}.html", page(f"Feedback: {name}", feedback_page(intern, terms), out))


def total(intern: Graded, terms: Terms) -> Total:
    """Sum up an intern's points, states and hints."""
    records = [_record(intern, mark) for mark in intern.marks]
    return Total(
        round(sum(_points(intern, mark, terms) for mark in intern.marks), 1),
        sum(EXERCISES[mark.exercise].minutes for mark in intern.marks),
        Counter(mark.state for mark in intern.marks),
        sum(record.hints for record in records),
        [mark.exercise for mark, record in zip(intern.marks, records, strict=True) if record.seen],
    )


def class_page(graded: Sequence[Graded], terms: Terms) -> str:
    """Return the class's page in Markdown: points, where exercises fail and why, and what is worth knowing."""
    lessons = sorted({EXERCISES[mark.exercise].lesson for mark in graded[0].marks})
    rows = [_class_row(intern, lessons, terms) for intern in graded]
    head = ["intern", "points", "%", *(f"{number:02}" for number in lessons)]
    mean = sum(total(intern, terms).percent for intern in graded) / len(graded)
    return "\n\n".join(
        [
            "# The class",
            f"{counted(len(graded), 'submission')}, {counted(len(graded[0].marks), 'exercise')}. The average is "
            f"{mean:.0f} % of {total(graded[0], terms).whole:g} points. {_terms(terms)}",
            "## Interns",
            "For each lesson: how many exercises are right, of how many. Click a name for the intern's feedback.",
            _table(head, rows),
            "## Where it fails",
            "The exercises that most interns have tried without success come first.",
            _table(("exercise", "right", "not yet", "missing", "most frequent mistake"), _failing(graded)),
            "## Worth knowing",
            _worth_knowing(graded, terms),
        ]
    )


def _class_row(intern: Graded, lessons: Sequence[int], terms: Terms) -> list[str]:
    name, sums = intern.submission.name, total(intern, terms)
    by_lesson = []
    for number in lessons:
        states = [mark.state for mark in intern.marks if EXERCISES[mark.exercise].lesson == number]
        right = sum(state in ("correct", "borrowed") for state in states)
        by_lesson.append(f"{right}/{len(states)}")
    link = f"[{text(name)}](<feedback/{quote(name)}.html>)"
    return [link, f"{sums.points:g}", f"{sums.percent:.0f}", *by_lesson]


def _failing(graded: Sequence[Graded]) -> list[list[str]]:
    rows = []
    for marks in zip(*(intern.marks for intern in graded), strict=True):
        counts = Counter(mark.state for mark in marks)
        right, failed = counts["correct"] + counts["borrowed"], counts["not yet"]
        absent = counts["missing"] + counts["not started"]
        cells = [f"`{marks[0].exercise}`", str(right), str(failed), str(absent), _most_frequent(marks)]
        rows.append((failed, cells))
    return [cells for _, cells in sorted(rows, key=lambda row: -row[0])]


def _most_frequent(marks: Sequence[Mark]) -> str:
    """Return the most frequent mistake, or the simplest case that fails if the mistake isn't a known one."""
    failed = [mark for mark in marks if mark.state == "not yet"]
    top = Counter(mark.likely or _failure(mark) for mark in failed).most_common(1)
    return f"{text(top[0][0])} ({top[0][1]})" if top else ""


def _failure(mark: Mark) -> str:
    has_stopped = mark.expected in ("", "an answer")
    return _line(mark.got) if has_stopped else f"wrong on: {_line(mark.tried.split(':')[0])}"


def _worth_knowing(graded: Sequence[Graded], terms: Terms) -> str:
    """Return who opened hints, saw solutions or borrowed, and what could not be read."""
    rows, problems = [], []
    for intern in graded:
        sums, name = total(intern, terms), text(intern.submission.name)
        borrowed = [f"{mark.exercise} ({mark.source})" for mark in intern.marks if mark.state == "borrowed"]
        if sums.hints or sums.seen or borrowed:
            rows.append([name, str(sums.hints or ""), text(", ".join(sums.seen)), text(", ".join(borrowed))])
        problems += [f"- **{name}** {text(problem)}" for problem in intern.submission.problems]
    head = ("intern", "hints", "solutions shown", "borrowed from")
    source = f"Hints and solutions shown are taken from each intern's own progress file.\n\n{_table(head, rows)}"
    parts = [source if rows else "No one opened a hint or borrowed an answer."]
    parts += ["What could not be read, or is unusual:", "\n".join(problems)] if problems else []
    return "\n\n".join(parts)


def feedback_page(intern: Graded, terms: Terms) -> str:
    """Return an intern's page in Markdown, in the words of the checks."""
    sums = total(intern, terms)
    states = ", ".join(f"{sums.counts[state]} {state}" for state in SIGNS if sums.counts[state])
    failed = [_failed(mark) for mark in intern.marks if mark.state == "not yet"]
    parts = [
        f"# Feedback for {text(intern.submission.name)}",
        f"**{sums.points:g} of {sums.whole:g} points.** {counted(len(intern.marks), 'exercise')}: {states}. "
        f"{_terms(terms)}",
    ]
    if intern.submission.problems:
        problems = "\n".join(f"- {text(problem)}" for problem in intern.submission.problems)
        parts += ["## Problems with your submission", problems]
    if failed:
        parts += ["## Not right yet", "For each exercise, the simplest case that fails.", *failed]
    parts += [
        "## All exercises",
        LEGEND,
        _table(("exercise", "state", "points", "cases right", "note"), _all(intern, terms)),
    ]
    if sums.hints or sums.seen:
        shown = f"; the course's solution was shown for {', '.join(sums.seen)}" if sums.seen else ""
        parts.append(f"You opened {counted(sums.hints, 'hint')}{shown}.")
    return "\n\n".join(parts)


def _failed(mark: Mark) -> str:
    details = [("tried on", mark.tried), ("got", mark.got), ("expected", mark.expected)]
    rows = [(title, _as_code(detail)) for title, detail in details if detail]
    rows += [("looks like", text(mark.likely))] if mark.likely else []
    return f"### ✗ {mark.exercise}\n\n{_table(('check', f'{mark.passed} of {mark.cases} cases right'), rows)}"


def _all(intern: Graded, terms: Terms) -> list[list[str]]:
    rows = []
    for mark in intern.marks:
        exercise = EXERCISES[mark.exercise]
        notes = {
            "borrowed": f"from {mark.source}",
            "not started": "the cell is as the course gives it",
            "missing": "no cell for it was found",
        }
        rows.append(
            [
                f"{exercise.lesson:02} `{mark.exercise}`",
                f"{SIGNS[mark.state]}\u00a0{mark.state}",
                f"{_points(intern, mark, terms):g} of {exercise.minutes}",
                f"{mark.passed} of {mark.cases}" if mark.cases and mark.state != "not started" else "",
                text(notes.get(mark.state, "")),
            ]
        )
    return rows


def _write_csv(path: Path, graded: Sequence[Graded], terms: Terms) -> None:
    head = ["intern", "points", "of", "percent", *SIGNS, "hints", "solutions shown"]
    with new_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*head, *(mark.exercise for mark in graded[0].marks)])
        for intern in graded:
            sums = total(intern, terms)
            figures = [sums.points, sums.whole, round(sums.percent, 1), *(sums.counts[state] for state in SIGNS)]
            listed = [sums.hints, len(sums.seen)]
            rows.writerow(
                [
                    _plain(intern.submission.name),
                    *figures,
                    *listed,
                    *(_points(intern, mark, terms) for mark in intern.marks),
                ]
            )


def _points(intern: Graded, mark: Mark, terms: Terms) -> float:
    record = _record(intern, mark)
    return points(mark, terms, record.hints, record.seen)


def _record(intern: Graded, mark: Mark) -> Record:
    """Return what the intern's progress file says, within sensible limits."""
    record = intern.submission.records.get(mark.exercise) or Record()
    return Record(hints=min(3, max(0, record.hints)), seen=record.seen)


def _terms(terms: Terms) -> str:
    costs = [] if terms.borrowed == 1 else [f"a borrowed answer gets {terms.borrowed:.0%} of them"]
    costs += [f"each hint costs {terms.hint_penalty:.0%}"] if terms.hint_penalty else []
    rule = "An exercise is worth as many points as it takes minutes"
    return f"{rule}; {', '.join(costs) or 'hints and borrowed answers cost nothing'}."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def text(written: str) -> str:
    """Return what a person wrote, in one line, and escaped so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!<>&~|:])", r"\\\1", _line(written))


def _as_code(written: str) -> str:
    """Return it in one line, as code: between more backticks than there are in it."""
    line = " · ".join(part.strip() for part in readable_lines(written).split("\n") if part.strip())
    ticks = "`" * (1 + max(map(len, re.findall(r"`+", line)), default=0))
    return f"{ticks} {line} {ticks}".replace("|", "\\|") if line else ""


def _line(written: str) -> str:
    return readable(written, 400)


def _plain(name: str) -> str:
    """Return a name that a spreadsheet doesn't take for a formula.

    Where a comma separates decimals, a semicolon separates cells, so a formula may begin after one, too.
    """
    return re.sub(r"(^|[,;|])(?=[\s'\"]*[=+\-@%＝＋－＠−])", r"\1'", readable(name, 200))
