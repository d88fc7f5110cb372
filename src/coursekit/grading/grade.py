"""`coursekit grade`: grade a class of submissions, each in a sandbox. Unchanged answers are not run again."""

import hashlib
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from time import monotonic

import msgspec
import torch
from tqdm import tqdm

import coursekit
from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, new_file, shipped
from coursekit.grading.hidden import Hidden, load_hidden
from coursekit.grading.marks import Mark, hidden_exercise, marked
from coursekit.grading.sandbox import Sandbox, require
from coursekit.grading.submission import Submission, read
from coursekit.lessons.course import LESSONS
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.workbook import PACKAGE

SECONDS = 180.0  # for a whole submission, so that one that sleeps in each exercise doesn't delay the others for long
MARKS = "marks"  # folder of the marks given before


@dataclass
class Graded:
    """A submission and its marks.

    Attributes:
        submission: what was handed in.
        marks: one for each exercise, in order.
        tried: how many answers were run now; the others had not changed.
    """

    submission: Submission
    marks: list[Mark]
    tried: int = 0


class _Earlier(msgspec.Struct):
    """The marks given before, by a digest of the answer, its cases and the library."""

    marks: dict[str, Mark] = {}


@dataclass
class _Job:
    """What all submissions have in common.

    Attributes:
        out: folder for the results.
        names: names of the exercises to grade.
        hidden: the hidden cases by exercise.
        library: digest of this library, torch and Python.
        slots: the sandboxes that are free.
        stop: set when the user presses Ctrl-C.
    """

    out: Path
    names: Sequence[str]
    hidden: dict[str, Hidden]
    library: str
    slots: SimpleQueue[Sandbox] = field(default_factory=SimpleQueue)
    stop: Event = field(default_factory=Event)


class _StoppedError(Exception):
    """Raised after the user pressed Ctrl-C."""


def grade(
    folder: Path,
    out: Path,
    *,
    jobs: int = 2,
    hidden: Path | None = None,
    lessons: Sequence[int] = (),
    is_sealed: bool = True,
) -> list[Graded]:
    """Grade the submissions in a folder, or a single one.

    Args:
        folder: folder of zips, folders and notebooks, one for each intern; or one of those.
        out: stores the marks, so that only what has changed is run the next time.
        jobs: submissions at a time.
        hidden: folder of cases that no notebook shows.
        lessons: grade only these; by default all.
        is_sealed: run answers in a sandbox. Without one they can do whatever you can.

    Returns:
        One for each submission, in the order of names.

    Raises:
        ConfigError: nothing to grade, no sandbox, `out` can't be written, or a hidden case is wrong.
    """
    require(is_sealed)
    places = submissions(folder)
    names = [name for number in LESSONS if not lessons or number in lessons for name in LESSONS[number].exercises]
    if not names:
        raise ConfigError(f"--lesson {', '.join(map(str, lessons))}: it has no exercises.")
    make_folder(out / MARKS)
    job = _Job(out, names, load_hidden(hidden), _library())
    sandboxes = [Sandbox(slot, is_sealed) for slot in range(max(1, jobs))]
    for sandbox in sandboxes:
        job.slots.put(sandbox)
    pool = ThreadPoolExecutor(len(sandboxes))
    try:
        futures = [pool.submit(_grade_one, path, name, job) for name, path in places.items()]
        for _ in tqdm(as_completed(futures), total=len(futures), unit="submission", disable=None):
            pass
        return [future.result() for future in futures]
    finally:
        job.stop.set()
        for sandbox in sandboxes:
            sandbox.kill()
        pool.shutdown(cancel_futures=True)


def submissions(folder: Path) -> dict[str, Path]:
    """Return each intern's submission by the intern's name. If two have the same name, the second gets a number.

    Raises:
        ConfigError: there is no submission.
    """
    if not folder.exists():
        raise ConfigError(f"{folder}: no such file or folder. Check the path.")
    lessons = {path.name for path in shipped("course").glob("*.ipynb")}
    is_one = not folder.is_dir() or any((folder / name).exists() for name in (PACKAGE, *lessons))
    places = [folder] if is_one else [path for path in sorted(folder.iterdir()) if _is_submission(path)]
    if not places:
        raise ConfigError(f"{folder}: nothing to grade. A submission is a .zip, a folder or an .ipynb.")
    named: dict[str, Path] = {}
    for path in places:
        stem = _printable(path.name if path.is_dir() else path.stem)
        name, number = stem, 2
        while name.casefold() in {other.casefold() for other in named}:  # some systems take Anna and anna for one file
            name, number = f"{stem}-{number}", number + 1
        named[name] = path
    return named


def _printable(name: str) -> str:
    """Return a name that can be a file's: without control characters, and not too long."""
    return "".join(character if character.isprintable() else "_" for character in name)[:100]


def _is_submission(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in (".zip", ".ipynb"))


def _grade_one(path: Path, name: str, job: _Job) -> Graded:
    """Grade one submission, in the next sandbox that is free."""
    graded, sandbox = Graded(read(path, name), []), job.slots.get()
    now = before = _load(job, name)
    try:
        now = _Earlier()
        _grade_into(graded, before, now, sandbox, job)
        return graded
    except _StoppedError:
        now.marks |= before.marks
        raise
    except ConfigError:
        raise
    except Exception as error:  # a bug of ours that this submission triggers: report it, and go on with the others
        problem = f"grading failed because of a bug in coursekit: {type(error).__name__}: {error}"[:300]
        graded.submission.problems.append(problem)
        left = job.names[len(graded.marks) :]
        graded.marks += [Mark(exercise, "not yet", 0, 0, "grading", problem) for exercise in left]
        return graded
    finally:
        sandbox.close()  # each submission has its own
        with new_file(_file(job, name)) as partial:
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(now)))
        job.slots.put(sandbox)


def _grade_into(graded: Graded, before: _Earlier, now: _Earlier, sandbox: Sandbox, job: _Job) -> None:
    """Mark each exercise of a submission, and note the marks in `now`. Those in `before` are used again."""
    until = monotonic() + SECONDS
    for exercise in job.names:
        code = graded.submission.answers.get(exercise)
        if code is None:
            graded.marks.append(Mark(exercise, "not started" if exercise in graded.submission.empty else "missing"))
            continue
        key = _key(exercise, code, job)
        mark = before.marks.get(key)
        if mark is None:
            graded.tried += 1
            mark = _mark(exercise, code, sandbox, job.hidden.get(exercise), until)
        if job.stop.is_set():
            raise _StoppedError
        now.marks[key] = mark
        graded.marks.append(mark)


def _mark(exercise: str, code: str, sandbox: Sandbox, hidden: Hidden | None, until: float) -> Mark:
    if monotonic() > until:
        reason = f"this submission had already used up its {SECONDS:g} s"
        return Mark(exercise, "not yet", 0, len(EXERCISES[exercise].all_cases()), "not tried", reason)
    tried = sandbox.try_answer(exercise, code, [case.args for case in EXERCISES[exercise].all_cases()])
    tried_hidden = None
    if hidden and tried.trial.ended == "well":  # in another process, so that the first trial can't report hidden cases
        cases = hidden_exercise(EXERCISES[exercise], hidden).all_cases()
        tried_hidden = sandbox.try_answer(exercise, code, [case.args for case in cases])
    return marked(exercise, code, tried, tried_hidden, hidden)


def _key(exercise: str, code: str, job: _Job) -> str:
    """Return a digest of everything that a mark depends on."""
    cases = job.hidden[exercise].digest if exercise in job.hidden else ""
    return hashlib.sha256("\0".join((exercise, code, cases, job.library)).encode(errors="surrogatepass")).hexdigest()


@cache
def _library() -> str:
    """Return a digest of this library, torch and Python. If one of them changes, everything is graded again."""
    digest = hashlib.sha256(f"{torch.__version__} {platform.python_version()}".encode())
    for path in _sources():
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    """Yield the files that an answer or its comparison may use; not those that write pages, nor the command line."""
    for room in ("core", "data", "detector", "training", "evaluation", "memory", "from_scratch", "lessons", "grading"):
        files = sorted((Path(coursekit.__file__).parent / room).rglob("*.py"))
        yield from (path for path in files if path.name != "html.py")


def _file(job: _Job, name: str) -> Path:
    return job.out / MARKS / f"{name}.json"


def _load(job: _Job, name: str) -> _Earlier:
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(_file(job, name).read_bytes(), type=_Earlier)
    return _Earlier()
