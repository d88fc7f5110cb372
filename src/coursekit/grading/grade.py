"""`coursekit grade`: a class of submissions, each in a sandbox; what has not changed since is not run again."""

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
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook.workbook import PACKAGE

SECONDS = 180.0  # for all of a submission: one that sleeps in every exercise holds nobody up for long
KEPT = "kept"  # folder of what was found before


@dataclass
class Graded:
    """A submission and its marks, in the order of the exercises.

    Attributes:
        submission: what was handed in.
        marks: one for each exercise.
        tried: how many answers were run now; the others had not changed.
    """

    submission: Submission
    marks: list[Mark]
    tried: int = 0


class _Kept(msgspec.Struct):
    """Mark of an answer's code, cases and engine → what came of it."""

    marks: dict[str, Mark] = {}


@dataclass
class _Job:
    """What all submissions have in common."""

    out: Path
    names: Sequence[str]
    hidden: dict[str, Hidden]
    engine: str
    slots: SimpleQueue[Sandbox] = field(default_factory=SimpleQueue)
    stop: Event = field(default_factory=Event)


class _StoppedError(Exception):
    """Somebody pressed Ctrl-C."""


def grade(
    folder: Path,
    out: Path,
    *,
    jobs: int = 2,
    hidden: Path | None = None,
    lessons: Sequence[int] = (),
    is_sealed: bool = True,
) -> list[Graded]:
    """Grade all that lies in a folder, or one file.

    Args:
        folder: of zips, folders and notebooks, one for each intern; or one of those.
        out: keeps what was found, so that only what changed is run the next time.
        jobs: submissions at a time.
        hidden: folder of cases that no notebook shows.
        lessons: only these; by default all.
        is_sealed: run in a sandbox. Without one answers can do what you can.

    Returns:
        One for each submission, in the order of names.

    Raises:
        ConfigError: nothing to grade, no sandbox, `out` can't be written, or a hidden case is wrong.
    """
    require(is_sealed)
    places = submissions(folder)
    names = [name for name, one in EXERCISES.items() if not lessons or one.lesson in lessons]
    if not names:
        raise ConfigError(f"--lesson {', '.join(map(str, lessons))}: there is no exercise in it.")
    make_folder(out / KEPT)
    job = _Job(out, names, load_hidden(hidden), _engine())
    sandboxes = [Sandbox(slot, is_sealed) for slot in range(max(1, jobs))]
    for sandbox in sandboxes:
        job.slots.put(sandbox)
    pool = ThreadPoolExecutor(len(sandboxes))
    try:
        futures = [pool.submit(_grade_one, path, name, job) for name, path in places.items()]
        for _ in tqdm(as_completed(futures), total=len(futures), unit="submission", disable=None):
            pass
        return [one.result() for one in futures]
    finally:
        job.stop.set()
        for sandbox in sandboxes:
            sandbox.kill()
        pool.shutdown(cancel_futures=True)


def submissions(folder: Path) -> dict[str, Path]:
    """Name of an intern → what they handed in. Of two with one name the second gets a number.

    Raises:
        ConfigError: there is nothing.
    """
    if not folder.exists():
        raise ConfigError(f"{folder}: no such file or folder.")
    lessons = {path.name for path in shipped("course").glob("*.ipynb")}
    is_one = not folder.is_dir() or any((folder / name).exists() for name in (PACKAGE, *lessons))
    places = [folder] if is_one else [path for path in sorted(folder.iterdir()) if _is_submission(path)]
    if not places:
        raise ConfigError(f"{folder}: nothing to grade. A submission is a .zip, a folder or an .ipynb.")
    named: dict[str, Path] = {}
    for path in places:
        stem = _printable(path.name if path.is_dir() else path.stem)
        name, number = stem, 2
        while name.casefold() in {one.casefold() for one in named}:  # some systems take Anna and anna for one file
            name, number = f"{stem}-{number}", number + 1
        named[name] = path
    return named


def _printable(name: str) -> str:
    """Fit for the name of a page: neither control characters nor endless."""
    return "".join(one if one.isprintable() else "_" for one in name)[:100]


def _is_submission(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in (".zip", ".ipynb"))


def _grade_one(path: Path, name: str, job: _Job) -> Graded:
    """One submission, in the next sandbox that is free."""
    graded, sandbox = Graded(read(path, name), []), job.slots.get()
    kept = before = _load(job, name)
    try:
        kept = _Kept()
        _grade_into(graded, before, kept, sandbox, job)
        return graded
    except _StoppedError:
        kept.marks |= before.marks
        raise
    except ConfigError:
        raise
    except Exception as error:  # a fault of ours that this submission has found: it is told, and the others go on
        said = f"grading went wrong here: {type(error).__name__}: {error}"[:300]
        graded.submission.problems.append(said)
        left = job.names[len(graded.marks) :]
        graded.marks += [Mark(name, "not yet", 0, 0, "grading", said) for name in left]
        return graded
    finally:
        sandbox.close()  # each submission has its own
        with new_file(_file(job, name)) as partial:
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
        job.slots.put(sandbox)


def _grade_into(graded: Graded, before: _Kept, kept: _Kept, sandbox: Sandbox, job: _Job) -> None:
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
        kept.marks[key] = mark
        graded.marks.append(mark)


def _mark(exercise: str, code: str, sandbox: Sandbox, hidden: Hidden | None, until: float) -> Mark:
    if monotonic() > until:
        said = f"this submission had used up its {SECONDS:g} s before"
        return Mark(exercise, "not yet", 0, len(EXERCISES[exercise].all_cases()), "not tried", said)
    tried = sandbox.try_answer(exercise, code, [one.args for one in EXERCISES[exercise].all_cases()])
    secret = None
    if hidden and tried.trial.ended == "well":  # in a process of its own: nothing of it can be told by the first
        cases = hidden_exercise(EXERCISES[exercise], hidden).all_cases()
        secret = sandbox.try_answer(exercise, code, [one.args for one in cases])
    return marked(exercise, code, tried, secret, hidden)


def _key(exercise: str, code: str, job: _Job) -> str:
    """Of all that a mark depends on."""
    secret = job.hidden[exercise].mark if exercise in job.hidden else ""
    return hashlib.sha256("\0".join((exercise, code, secret, job.engine)).encode(errors="surrogatepass")).hexdigest()


@cache
def _engine() -> str:
    """Mark of this library, torch and Python: with another one all is graded anew."""
    mark = hashlib.sha256(f"{torch.__version__} {platform.python_version()}".encode())
    for path in _sources():
        mark.update(path.read_bytes())
    return mark.hexdigest()


def _sources() -> Iterator[Path]:
    """What an answer or its comparison may touch; not the pages, nor the command line."""
    for part in ("data", "detector", "evaluation", "grading", "lessons", "memory", "training"):
        files = sorted((Path(coursekit.__file__).parent / part).rglob("*.py"))
        yield from (path for path in files if path.name != "pages.py")


def _file(job: _Job, name: str) -> Path:
    return job.out / KEPT / f"{name}.json"


def _load(job: _Job, name: str) -> _Kept:
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(_file(job, name).read_bytes(), type=_Kept)
    return _Kept()
