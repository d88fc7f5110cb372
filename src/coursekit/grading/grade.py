"""`coursekit grade`: grade a class of submissions, each in a sandbox. Unchanged answers are not run again."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic

from tqdm import tqdm

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder
from coursekit.grading import earlier
from coursekit.grading.class_folder import submissions
from coursekit.grading.earlier import Earlier, digest
from coursekit.grading.hidden import Hidden, load_hidden
from coursekit.grading.jobs import default_jobs
from coursekit.grading.marks import Mark, marked, with_hidden
from coursekit.grading.sandbox import Sandbox, StartError, require
from coursekit.grading.submission import Submission, read
from coursekit.lessons.course import exercises_of
from coursekit.lessons.exercises import EXERCISES

SECONDS = 180.0  # for a whole submission, so that one that sleeps in each exercise doesn't delay the others for long
OVERDUE = f"this submission had already used up its {SECONDS:g} s"
NOT_TRIED, GRADING = "not tried", "grading"  # a mark's `tried`, if the answer wasn't run


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


@dataclass
class _Job:
    """What all submissions have in common.

    Attributes:
        out: folder for the results.
        names: names of the exercises to grade.
        hidden: the hidden cases by exercise.
        is_sealed: whether answers run in a sandbox.
        stop: set when the user presses Ctrl-C.
        not_started: why sandboxes did not start.
        idle: sandboxes that nobody uses at the moment. Starting one takes as long as trying 20 answers.
    """

    out: Path
    names: Sequence[str]
    hidden: dict[str, Hidden]
    is_sealed: bool = True
    stop: Event = field(default_factory=Event)
    not_started: list[str] = field(default_factory=list)
    idle: list[Sandbox] = field(default_factory=list)

    @contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """Lend a sandbox to one submission at a time."""
        try:
            sandbox = self.idle.pop()
        except IndexError:
            sandbox = Sandbox(self.is_sealed, self.stop)
        try:
            yield sandbox
        finally:
            self.idle.append(sandbox)


@dataclass
class _Work:
    """A submission while it is graded.

    Attributes:
        graded: what comes out of it.
        before: the marks given before.
        now: the marks given before that still hold, and the new ones.
        tried: names of the exercises whose answers were run.
    """

    graded: Graded
    before: Earlier
    now: Earlier = field(default_factory=Earlier)
    tried: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Trials:
    """What the answers of a submission are tried in, and until when."""

    sandbox: Sandbox
    job: _Job
    until: float


class _StoppedError(Exception):
    """Raised after the user pressed Ctrl-C."""


def grade(
    folder: Path,
    out: Path,
    *,
    jobs: int | None = None,
    hidden: Path | None = None,
    lessons: Sequence[int] = (),
    is_sealed: bool = True,
) -> list[Graded]:
    """Grade the submissions in a folder, or a single one.

    Args:
        folder: folder of zips, folders and notebooks, one for each intern; or one of those.
        out: stores the marks, so that only what has changed is run the next time.
        jobs: submissions at a time; by default what the machine can.
        hidden: folder of cases that no notebook shows.
        lessons: grade only these; by default all that are not optional.
        is_sealed: run answers in a sandbox. Without one they can do whatever you can.

    Returns:
        One for each submission, in the order of names.

    Raises:
        ConfigError: nothing to grade, no sandbox, `out` can't be written, or a hidden case is wrong.
    """
    require(is_sealed)
    places = submissions(folder)
    names = exercises_of(lessons)
    if not names:
        raise ConfigError(f"--lesson {', '.join(map(str, lessons))}: it has no exercises.")
    make_folder(out / earlier.FOLDER)
    job = _Job(out, names, load_hidden(hidden), is_sealed)
    pool = ThreadPoolExecutor(jobs or default_jobs())
    try:
        begun = [partial(_begin, name, path, job) for name, path in places.items()]
        work = _each(pool, begun, "submission")
        tried = [mark.tried for each in work for mark in each.graded.marks if mark.cases]
        if job.not_started and set(tried) == {GRADING}:
            raise ConfigError(job.not_started[0])
        if job.hidden:
            # Only now: what is in the sandboxes that run at the same time is never quoted, so if two interns work
            # together, what one finds out about the hidden cases can't get into the feedback of the other.
            _each(pool, [partial(_add_hidden, each, job) for each in work], "submission with hidden cases")
        return [each.graded for each in work]
    finally:
        job.stop.set()  # ends the trials
        pool.shutdown(cancel_futures=True)
        for sandbox in job.idle:
            sandbox.close()


def _each(pool: ThreadPoolExecutor, calls: Sequence[Callable[[], _Work]], unit: str) -> list[_Work]:
    """Return the results of calls, in their order."""
    futures = [pool.submit(call) for call in calls]
    for _ in tqdm(as_completed(futures), total=len(futures), unit=unit, disable=None):
        pass
    return [future.result() for future in futures]


def _begin(name: str, path: Path, job: _Job) -> _Work:
    """Grade a submission on the course's own cases."""
    work = _Work(Graded(Submission(name), []), earlier.load(job.out, name))
    try:
        work.graded.submission = read(path, name)
    except Exception as error:
        work.graded.submission.problems.append(_bug(error))
    return _mark_all(work, job, _course_mark)


def _add_hidden(work: _Work, job: _Job) -> _Work:
    """Grade a submission on the hidden cases."""
    return _mark_all(work, job, _hidden_mark)


def _mark_all(work: _Work, job: _Job, mark_one: Callable[[str, _Work, _Trials], Mark]) -> _Work:
    """Mark each exercise of a submission in the same way, and store the marks."""
    try:
        with job.sandbox() as sandbox:
            trials = _Trials(sandbox, job, monotonic() + SECONDS)
            work.graded.marks = [_contained(exercise, work, trials, mark_one) for exercise in job.names]
        work.graded.tried = len(work.tried)
        return work
    except _StoppedError:
        work.now.marks |= work.before.marks
        raise
    finally:
        problem = earlier.store(work.now, job.out, work.graded.submission.name)
        work.graded.submission.problems += [problem] if problem else []


def _contained(exercise: str, work: _Work, trials: _Trials, mark_one: Callable[[str, _Work, _Trials], Mark]) -> Mark:
    """Mark an exercise. If that fails, the mark says so, and everything else is graded all the same."""
    try:
        return mark_one(exercise, work, trials)
    except _StoppedError:
        raise
    except Exception as error:
        if trials.job.stop.is_set():
            raise _StoppedError from None
        problem = str(error) if isinstance(error, StartError) else _bug(error)
        trials.job.not_started += [problem] if isinstance(error, StartError) else []
        if problem not in work.graded.submission.problems:
            work.graded.submission.problems.append(problem)
        return Mark(exercise, "not yet", 0, len(EXERCISES[exercise].all_cases()), GRADING, problem)


def _bug(error: Exception) -> str:
    return f"grading failed because of a bug in coursekit: {type(error).__name__}: {error}"[:300]


def _course_mark(exercise: str, work: _Work, trials: _Trials) -> Mark:
    submission = work.graded.submission
    code = submission.answers.get(exercise)
    if code is None:
        return Mark(exercise, "not started" if exercise in submission.empty else "missing")
    return _remembered(exercise, digest(exercise, code, ""), work, trials, partial(_mark, exercise, code, trials))


def _hidden_mark(exercise: str, work: _Work, trials: _Trials) -> Mark:
    mark = next(mark for mark in work.graded.marks if mark.exercise == exercise)
    hidden = trials.job.hidden.get(exercise)
    if hidden is None or mark.state in ("missing", "not started") or mark.tried in (NOT_TRIED, GRADING):
        return mark
    code = work.graded.submission.answers[exercise]
    key = digest(exercise, code, hidden.digest)
    return _remembered(exercise, key, work, trials, partial(_mark_with_hidden, mark, code, hidden, trials))


def _remembered(exercise: str, key: str, work: _Work, trials: _Trials, make: Callable[[], Mark]) -> Mark:
    """Return the mark given before, or make it."""
    mark = work.before.marks.get(key)
    if mark is None:
        work.tried.add(exercise)
        mark = make()
    if trials.job.stop.is_set():
        raise _StoppedError
    work.now.marks[key] = mark
    return mark


def _mark(exercise: str, code: str, trials: _Trials) -> Mark:
    cases = EXERCISES[exercise].all_cases()
    if monotonic() > trials.until:
        return Mark(exercise, "not yet", 0, len(cases), NOT_TRIED, OVERDUE)
    return marked(exercise, code, trials.sandbox.try_answer(exercise, code, [case.args for case in cases]))


def _mark_with_hidden(mark: Mark, code: str, hidden: Hidden, trials: _Trials) -> Mark:
    if not mark.passed:
        return with_hidden(mark, None, hidden)
    if monotonic() > trials.until:
        return Mark(mark.exercise, "not yet", 0, mark.cases, NOT_TRIED, OVERDUE)
    tried = trials.sandbox.try_answer(mark.exercise, code, [case.args for case in hidden.cases])
    return with_hidden(mark, tried, hidden)
