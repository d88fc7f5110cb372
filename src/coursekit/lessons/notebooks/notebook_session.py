"""The functions of a notebook: the cell magic `%%exercise`, `check`, hints, the journal, the map."""

import os
from collections.abc import Callable
from functools import cache, partial, wraps
from typing import Any, ParamSpec, TypeVar

from IPython.core.getipython import get_ipython
from IPython.display import display

from coursekit.core.errors import ConfigError, CourseError
from coursekit.lessons.checking import verdict as checking
from coursekit.lessons.checking.catch import Caught, catch
from coursekit.lessons.checking.outcome import error_text
from coursekit.lessons.checking.verdict import Verdict
from coursekit.lessons.course import badge_of
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.notebooks.buttons import below_catch, below_check
from coursekit.lessons.workbook import callers, hints, own_parts
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook.explain import explain
from coursekit.lessons.workbook.missing_names import cures
from coursekit.lessons.workbook.recall import Recalled, recall
from coursekit.lessons.workbook.states import SIGNS
from coursekit.lessons.workbook.status import status
from coursekit.lessons.workbook.stubs import is_empty
from coursekit.lessons.workbook.workbook import Stored, Workbook, workbook_here

Shown = TypeVar("Shown", Verdict, Caught, Recalled)
Given = ParamSpec("Given")
Result = TypeVar("Result")


class CellError(CourseError):
    """What a cell with an answer raised, in two lines: the reader's line, and none of ours."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it
        return [str(self)]


def _in_a_line(method: Callable[Given, Result]) -> Callable[Given, Result | None]:
    """Print an error for people as a line in a notebook, not with a traceback. A strict run and a script raise it."""

    @wraps(method)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Result | None:
        try:
            return method(*args, **kwargs)
        except ConfigError as error:
            session: Any = args[0]
            if get_ipython() is None or session.is_strict:
                raise
            print(error)
            return None

    return run


class Session:
    """The functions a notebook calls, bound to its workbook. `coursekit.lessons` exports the methods."""

    def __init__(self, workbook: Workbook, *, is_strict: bool = False) -> None:
        self.my_workbook = workbook
        self.is_strict = is_strict

    @_in_a_line
    def check(self, name: str) -> Verdict | None:
        """Check an exercise. From then on, its name is your answer if that is correct, and the reference if not.

        That is true in the notebook and in your other answers.
        """
        verdict = checking.check(self.my_workbook, name, is_strict=self.is_strict)
        shell: Any = get_ipython()
        if shell is not None:
            shell.user_ns[name] = own_parts.part(self.my_workbook, name)
            callers.refresh(self.my_workbook, name)
            shell.user_ns |= {} if verdict.failing is None else {"failing": verdict.failing}
        result = _shown(verdict)
        if shell is not None and not self.is_strict and verdict.state != "borrowed":
            display(below_check(self.my_workbook, verdict))
        return result

    @_in_a_line
    def examine(self, name: str, answer: Any) -> Verdict | None:
        """Check any function without saving it: to try one out, or to look at a mistake."""
        return _shown(checking.examine(checking.find(name), answer))

    @_in_a_line
    def catch(self, name: str, *inputs: tuple[Any, ...], show: bool = False) -> Caught | None:
        """Show how many wrong answers these inputs catch. Each input is a tuple of arguments.

        With show=True, give away one that got through. What is given away is also in the variable `missed`.
        """
        caught = catch(self.my_workbook, name, *inputs, show=show)
        result = _shown(caught)
        shell: Any = get_ipython()
        if shell is not None and caught.through and not self.is_strict:
            keep = partial(shell.user_ns.__setitem__, "missed")
            if show:
                keep(caught.case().args)
            else:
                display(below_catch(caught, keep))
        return result

    @_in_a_line
    def recall(self, *names: str) -> Recalled | None:
        """Show how earlier parts are called, what they take and return, and whose they are."""
        return _shown(recall(self.my_workbook, *names))

    @_in_a_line
    def hint(self, name: str) -> None:
        """Open the next hint."""
        print(hints.open_hint(self.my_workbook, name))

    @_in_a_line
    def mistake(self, name: str) -> None:
        """Say which known mistake the last wrong answer looks like, from the first attempt on."""
        print(hints.likely_mistake(self.my_workbook, name))

    @_in_a_line
    def explain(self, name: str) -> None:
        """Print what you may paste into a chat: the badge, the failing case, and your code."""
        print(explain(self.my_workbook, name))

    @_in_a_line
    def reference(self, name: str) -> None:
        """Show the course's own solution, once all hints are open."""
        print(hints.show_reference(self.my_workbook, name))

    def journal(self, lesson: str = "", **texts: str) -> Any:
        """Show the journal's form; with texts (asked=, answered=, kept=, mine=), add an entry without it."""
        return journals.write(self.my_workbook, lesson, **texts) if texts else journals.form(self.my_workbook, lesson)

    def lesson_map(self, lesson: int) -> None:
        """Show the map of the course, which of it is yours, and where you are."""
        import coursekit.show as show

        lessons = status(self.my_workbook)
        done = {each.number: (list(each.states.values()).count("correct"), len(each.states)) for each in lessons}
        yours = [each.title for each in lessons if each.is_passed]
        here = next(each for each in lessons if each.number == lesson)
        place = f"{lesson:02} · {here.title}"
        alt = f"The lessons as boxes with arrows. You are at {place}. Yours: {', '.join(yours) or 'nothing yet'}."
        show.figure(show.course_map(done, here=lesson), alt)
        parts = "   ".join(f"{SIGNS[state]} {name}" for name, state in here.states.items())
        print(
            f"Lesson {lesson:02}, about {here.minutes} minutes; {here.left} of them are exercises you haven't done yet."
        )
        print(f"{parts or 'no exercises'}\nhints opened: {here.hints}")
        for badge in dict.fromkeys(map(badge_of, here.states)):
            print(f"{badge}: {', '.join(name for name in here.states if badge_of(name) == badge)}")

    def exercise(self, line: str, cell: str) -> None:
        """`%%exercise NAME`: store the cell in `my_detector`, run it there, and add its names to the notebook."""
        name, shell = line.strip(), get_ipython()
        assert shell is not None
        notebook: dict[str, Any] = shell.user_ns
        missing = [] if is_empty(name, cell) else cures(cell, notebook, EXERCISES)
        if missing:
            print(f"This cell becomes my_detector/{name}.py, which can't see the notebook's names:")
            print("\n".join(f"  {cure}" for cure in missing))
        stored = self._stored(name, cell)
        if stored.older_kept:
            print(f"This cell is still empty, so what you wrote before stays: my_detector/{name}.py. To see it here:")
            print(f"  %load my_detector/{name}.py")
        elif not is_empty(name, cell) and not self.is_strict:
            print(f"Saved to my_detector/{name}.py. Now run the check.")
        names = {key: value for key, value in vars(stored.module).items() if not key.startswith("__")}
        notebook.update(names)

    def _stored(self, name: str, cell: str) -> Stored:
        """Store a cell. What its code raises becomes a `CellError`, unless the run is strict."""
        try:
            return self.my_workbook.store(name, cell)
        except Exception as error:
            if self.is_strict:
                raise
            raise CellError(str(error) if isinstance(error, CourseError) else error_text(error)) from None

    def register(self) -> None:
        """Make the magic and the workbook known, if this is a notebook."""
        shell: Any = get_ipython()
        if shell is not None:
            shell.register_magic_function(self.exercise, "cell", "exercise")
            if not self.my_workbook.exists:
                print(f"Your answers are stored in {self.my_workbook.folder}.")
                if others := self.my_workbook.others():
                    print(
                        f"There is another workbook, {others[0]}. To go on with that one, open the notebook beside it,"
                    )
                    print("or set COURSEKIT_WORKBOOK to it before you start Jupyter.")
            self.my_workbook.begin()


@cache
def session() -> Session:
    """Return this notebook's session. The first call reads the environment and registers `%%exercise`."""
    started = Session(workbook_here(), is_strict=os.environ.get("COURSEKIT_STRICT") == "1")
    started.register()
    return started


def _shown(result: Shown) -> Shown | None:
    """Display a result at once in a notebook, wherever in its cell the call is; elsewhere return it."""
    if get_ipython() is None:
        return result
    display(result)
    return None
