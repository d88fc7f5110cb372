"""The buttons below a check and below `catch`."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

from coursekit.lessons.checking.catch import Caught
from coursekit.lessons.checking.verdict import Verdict
from coursekit.lessons.workbook import hints, progress
from coursekit.lessons.workbook.explain import explain
from coursekit.lessons.workbook.origin import ORIGINS, note_origin
from coursekit.lessons.workbook.workbook import Workbook


def below_check(workbook: Workbook, verdict: Verdict) -> Any:
    """Return the buttons below a check: help with a wrong answer, or the question how a right one came about."""
    name = verdict.exercise
    if verdict.state in ("untested", "correct"):
        return _origins(workbook, name)
    texts = {("A hint", "question"): partial(hints.open_hint, workbook, name)}
    if verdict.state == "not yet":
        if not verdict.likely:
            texts["Show what this looks like", "search"] = partial(hints.likely_mistake, workbook, name)
        texts["Text for a chat", "comment"] = partial(explain, workbook, name)
    return _row(texts)


def below_catch(caught: Caught, keep: Callable[[tuple[Any, ...]], None] | None = None) -> Any:
    """Return the button below `catch` that gives away a wrong answer that got through, and the next at each click.

    Args:
        caught: has at least one that got through.
        keep: takes the arguments that would catch the one that is shown.
    """
    numbers = count()

    def give_away() -> str:
        number = next(numbers)
        if keep is not None:
            keep(caught.case(number).args)
        return caught.give_away(number) + ("\nThe input is in the variable missed." if keep else "")

    return _row({("Show one that got through", "search"): give_away})


def _row(texts: Mapping[tuple[str, str], Callable[[], str]]) -> Any:
    """Return buttons, by label and icon; each adds its text below them."""
    from ipywidgets import Button, HBox, Layout, Output, VBox

    out = Output()
    buttons = []
    for (label, icon), text in texts.items():
        button = Button(description=label, icon=icon, layout=Layout(width="auto"))
        button.on_click(lambda _, text=text: out.append_stdout(f"{text()}\n"))
        buttons.append(button)
    return VBox([HBox(buttons), out])


def _origins(workbook: Workbook, name: str) -> Any:
    """Return three buttons that say how a right answer came about, of which one can be pressed."""
    from ipywidgets import ToggleButtons

    said = progress.record(workbook, name).origin
    buttons = ToggleButtons(options=ORIGINS, value=said if said in ORIGINS else None, description="for your report:")
    buttons.style.description_width = buttons.style.button_width = "auto"
    buttons.observe(lambda change: note_origin(workbook, name, change["new"]), names="value")
    return buttons
