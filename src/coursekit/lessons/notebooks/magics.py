"""The functions of a notebook: the cell magic `%%exercise`, `check`, hints, the journal, the map."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from IPython.core.getipython import get_ipython
from IPython.display import display

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking import catch as catching
from coursekit.lessons.checking import verdict as checking
from coursekit.lessons.checking.catch import Caught
from coursekit.lessons.checking.verdict import SIGNS, Verdict
from coursekit.lessons.course import AI_LADDER
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.workbook import hints, own_parts
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook.missing_names import cures
from coursekit.lessons.workbook.status import status
from coursekit.lessons.workbook.stubs import is_empty
from coursekit.lessons.workbook.workbook import Workbook, workbook_here

Shown = TypeVar("Shown", Verdict, Caught)


class Session:
    """The functions a notebook calls, bound to its workbook. `coursekit.lessons` exports the methods."""

    def __init__(self, workbook: Workbook, *, is_strict: bool = False) -> None:
        self.my_workbook = workbook
        self.is_strict = is_strict

    def check(self, name: str) -> Verdict | None:
        """Check an exercise. From then on, its name is your answer if that is correct, and the reference if not."""
        verdict = checking.check(self.my_workbook, name, is_strict=self.is_strict)
        shell: Any = get_ipython()
        if shell is not None:
            shell.user_ns[name] = own_parts.part(self.my_workbook, name)
            shell.user_ns |= {} if verdict.failing is None else {"failing": verdict.failing}
        result = _shown(verdict)
        if shell is not None and verdict.state in ("not started", "not yet"):
            display(self._buttons(name, verdict))
        return result

    def examine(self, name: str, answer: Any) -> Verdict | None:
        """Check any function without saving it: to try one out, or to look at a mistake."""
        return _shown(checking.examine(checking.find(name), answer))

    def catch(self, name: str, *inputs: tuple[Any, ...]) -> Caught | None:
        """Show which wrong answers these inputs catch. Each input is a tuple of arguments."""
        try:
            return _shown(catching.catch(name, *inputs))
        except ConfigError as error:
            if get_ipython() is None or self.is_strict:
                raise
            print(error)
            return None

    def hint(self, name: str) -> None:
        """Open the next hint."""
        print(hints.open_hint(self.my_workbook, name))

    def mistake(self, name: str) -> None:
        """Say which known mistake the last wrong answer looks like, from the first attempt on."""
        print(hints.likely_mistake(self.my_workbook, name))

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
        alt = f"The detector as boxes with arrows, one for each lesson. Yours: {', '.join(yours) or 'nothing yet'}."
        show.figure(show.course_map(done, here=lesson), alt)
        here = lessons[lesson]
        parts = "   ".join(f"{SIGNS[state]} {name}" for name, state in here.states.items())
        print(
            f"Lesson {lesson:02}, about {here.minutes} minutes; {here.left} of them are exercises you haven't done yet."
        )
        print(f"{parts or 'no exercises'}   (hints opened: {here.hints})")
        print(f"AI assistants here: {AI_LADDER[lesson]}.")

    def exercise(self, line: str, cell: str) -> None:
        """`%%exercise NAME`: store the cell in `my_detector`, run it there, and add its names to the notebook."""
        name, shell = line.strip(), get_ipython()
        assert shell is not None
        notebook: dict[str, Any] = shell.user_ns
        missing = [] if is_empty(name, cell) else cures(cell, notebook, EXERCISES)
        if missing:
            print(f"This cell becomes my_detector/{name}.py, which can't see the notebook's names:")
            print("\n".join(f"  {cure}" for cure in missing))
        stored = self.my_workbook.store(name, cell)
        if stored.older_kept:
            print(f"This cell is still empty, so what you wrote before stays: my_detector/{name}.py. To see it here:")
            print(f"  %load my_detector/{name}.py")
        names = {key: value for key, value in vars(stored.module).items() if not key.startswith("__")}
        notebook.update(names)

    def register(self) -> None:
        """Make the magic and the workbook known, if this is a notebook."""
        shell: Any = get_ipython()
        if shell is not None:
            shell.register_magic_function(self.exercise, "cell", "exercise")
            if not self.my_workbook.exists:
                print(f"Your answers go to a new workbook: {self.my_workbook.folder}. If you have begun one elsewhere,")
                print("open the notebook beside it, or set COURSEKIT_WORKBOOK to it before you start Jupyter.")
            self.my_workbook.begin()

    def _buttons(self, name: str, verdict: Verdict) -> Any:
        from ipywidgets import HBox, Output, VBox

        out = Output()
        buttons = [_button("A hint", "question", lambda: hints.open_hint(self.my_workbook, name), out)]
        if verdict.state == "not yet" and not verdict.likely:
            buttons.append(
                _button(
                    "What does this look like?", "search", lambda: hints.likely_mistake(self.my_workbook, name), out
                )
            )
        return VBox([HBox(buttons), out])


def _button(label: str, icon: str, text: Callable[[], str], out: Any) -> Any:
    """Return a button that adds a text below it."""
    from ipywidgets import Button, Layout

    button = Button(description=label, icon=icon, layout=Layout(width="auto"))
    button.on_click(lambda _: out.append_stdout(f"{text()}\n"))
    return button


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
