"""What a notebook gets from the course: the cell magic `%%exercise`, `check`, hints, the journal, the map."""

import os
from typing import Any, TypeVar

from IPython.core.getipython import get_ipython
from IPython.display import display

from coursekit.core.errors import ConfigError
from coursekit.lessons.checking import catch as catching
from coursekit.lessons.checking import verdict as checks
from coursekit.lessons.checking.catch import Caught
from coursekit.lessons.checking.verdict import SIGNS, Verdict
from coursekit.lessons.exercises import EXERCISES
from coursekit.lessons.notebooks.course import AI_LADDER
from coursekit.lessons.workbook import hints, workbook
from coursekit.lessons.workbook import journal as journals
from coursekit.lessons.workbook import own_parts as downstream
from coursekit.lessons.workbook.missing_names import cures
from coursekit.lessons.workbook.status import status

Shown = TypeVar("Shown", Verdict, Caught)


def check(name: str) -> Verdict | None:
    """Check an exercise. Afterwards its name stands for your answer where that is correct, else for the reference."""
    verdict = checks.check(name)
    shell: Any = get_ipython()
    if shell is not None:
        shell.user_ns[name] = downstream.part(name)
    left = _shown(verdict)
    if shell is not None and verdict.state in ("not started", "not yet"):
        display(_hint_button(name))
    return left


def examine(name: str, answer: Any) -> Verdict | None:
    """What a check would say of any function, without keeping it: to try one out, or to see a mistake."""
    return _shown(checks.examine(checks.find(name), answer))


def catch(name: str, *inputs: tuple[Any, ...]) -> Caught | None:
    """Which wrong answers do these inputs catch? See `coursekit.lessons.checking.catch.catch`; here an error is one line."""
    try:
        return _shown(catching.catch(name, *inputs))
    except ConfigError as error:
        if get_ipython() is None or os.environ.get("COURSEKIT_STRICT") == "1":
            raise
        print(error)
        return None


def _shown(found: Shown) -> Shown | None:
    """Shown at once in a notebook, wherever in its cell the call stands; elsewhere handed back."""
    if get_ipython() is None:
        return found
    display(found)
    return None


def hint(name: str) -> None:
    """Open the next hint."""
    print(hints.open_hint(name))


def reference(name: str) -> None:
    """Show the course's own answer, once all hints were opened."""
    print(hints.show_reference(name))


def journal(lesson: str = "", **texts: str) -> Any:
    """A form for the journal; with texts (asked=, answered=, kept=, mine=), an entry without the form."""
    return journals.write(lesson, **texts) if texts else journals.form(lesson)


def lesson_map(lesson: int) -> None:
    """The map of the course with what is yours in it, and where you are in words."""
    import coursekit.show as show

    lessons = status()
    done = {one.number: (sum(s == "correct" for s in one.states.values()), len(one.states)) for one in lessons}
    yours = [one.title for one in lessons if one.is_passed]
    alt = f"The detector as boxes with arrows, one for each lesson. Yours: {', '.join(yours) or 'nothing yet'}."
    show.figure(show.course_map(done, here=lesson), alt)
    here = lessons[lesson]
    parts = "   ".join(f"{SIGNS[state]} {name}" for name, state in here.states.items())
    print(f"Lesson {lesson:02}, about {here.minutes} minutes; {here.left} of them are exercises still to do.")
    print(f"{parts or 'no exercises'}   (hints opened: {here.hints})")
    print(f"AI assistants here: {AI_LADDER[lesson]}.")


def exercise(line: str, cell: str) -> None:
    """`%%exercise NAME`: keep the cell as a module of `my_detector`, run it there, put its names into the notebook."""
    name, shell = line.strip(), get_ipython()
    assert shell is not None
    notebook: dict[str, Any] = shell.user_ns
    borrowed = [] if workbook.is_empty(name, cell) else cures(cell, notebook, EXERCISES)
    if borrowed:
        print(f"This cell becomes my_detector/{name}.py, which knows nothing of the notebook's names:")
        print("\n".join(f"  {one}" for one in borrowed))
    stored = workbook.store(name, cell)
    if stored.older_kept:
        print(f"This cell is still empty, so what you wrote before stays: my_detector/{name}.py. To see it here:")
        print(f"  %load my_detector/{name}.py")
    notebook.update({one: value for one, value in vars(stored.module).items() if not one.startswith("__")})


def _hint_button(name: str) -> Any:
    from ipywidgets import Button, Output, VBox

    button, out = Button(description="A hint", icon="question", tooltip=f"Opens the next hint for {name}"), Output()

    def opened(_: Any) -> None:
        out.append_stdout(f"{hints.open_hint(name)}\n")

    button.on_click(opened)
    return VBox([button, out])


def register() -> None:
    """Make the magic and the workbook known, where there is a notebook."""
    shell: Any = get_ipython()
    if shell is not None:
        shell.register_magic_function(exercise, "cell", "exercise")
        workbook.begin()
