"""Explorers: a picture under sliders. Without widgets, the picture alone."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from coursekit.show.figures import as_html, figure

# lowest, highest, step, start; or a list of values, which starts at the last; or such a list, and where it starts
Control = tuple[float, float, float, float] | tuple[int, int, int, int] | list[Any] | tuple[list[Any], Any]
Draw = Callable[..., tuple[Figure, str]]


def explore(draw: Draw, **controls: Control) -> Any:
    """Show a picture that is redrawn when a slider moves.

    The picture with the start values is an ordinary output, so pages that are only read have it, too. The first move of
    a slider replaces it.

    Args:
        draw: takes the values of the sliders by name, and returns a figure and its alt text.
        controls: name → (lowest, highest, step, start), or a list of values, which starts at the last, or (list,
            start). Integers make a slider of integers. An underscore in a name is shown as a space. The arrow keys move
            a slider, too.

    Returns:
        None in a notebook, where sliders and picture are displayed at once, and without ipywidgets, where only the
        picture is. Elsewhere the widget: a `VBox` of sliders and picture.
    """
    fig, alt = draw(**{name: control[-1] for name, control in controls.items()})
    try:
        from ipywidgets import HTML, VBox
    except ImportError:
        figure(fig, alt)
        return None
    picture, sliders = HTML(), {name: _slider(name, control) for name, control in controls.items()}
    box = VBox([*sliders.values(), picture])
    still = _display(box, fig, alt)
    picture.value = "" if still else as_html(fig, alt)

    def redraw(_: Any) -> None:
        picture.value = as_html(*draw(**{name: slider.value for name, slider in sliders.items()}))
        if still:
            still.update({"text/html": "", "text/plain": ""}, raw=True)

    for slider in sliders.values():
        slider.observe(redraw, "value")
    return None if still else box


def _display(box: Any, fig: Figure, alt: str) -> Any:
    """Display a widget and below it a picture. Return the picture's handle, or None outside a notebook."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        return None
    display(box)
    return display({"text/html": as_html(fig, alt), "text/plain": alt}, raw=True, display_id=True)


def _slider(name: str, control: Control) -> Any:
    from ipywidgets import FloatSlider, IntSlider, Layout, SelectionSlider

    look: dict[str, Any] = {
        "continuous_update": False,
        "description": name.replace("_", " "),
        "layout": Layout(width="420px"),
        "style": {"description_width": "140px"},
    }
    if isinstance(control, list) or len(control) == 2:
        values, start = (control, control[-1]) if isinstance(control, list) else control
        return SelectionSlider(options=values, value=start, **look)
    kind = IntSlider if all(isinstance(number, int) for number in control) else FloatSlider
    lowest, highest, step, start = control
    return kind(min=lowest, max=highest, step=step, value=start, **look)
