"""Explorers: a picture under sliders. Without widgets, the picture alone."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from coursekit.show.figures import as_html, figure

Control = tuple[float, float, float, float] | tuple[int, int, int, int]  # lowest, highest, step, start
Draw = Callable[..., tuple[Figure, str]]


def explore(draw: Draw, **controls: Control) -> Any:
    """Show a picture that is redrawn when a slider moves.

    Args:
        draw: takes the values of the sliders by name, and returns a figure and its alt text.
        controls: name → (lowest, highest, step, start); integers make a slider of integers. An underscore in a name is
            shown as a space.

    Returns:
        The widget, a `VBox` of sliders and picture: make it the last line of a cell. The arrow keys move a slider, too.
        Without ipywidgets the picture is shown with the start values, and None is returned.
    """
    try:
        from ipywidgets import HTML, VBox
    except ImportError:
        figure(*draw(**{name: control[3] for name, control in controls.items()}))
        return None
    picture, sliders = HTML(), {name: _slider(name, control) for name, control in controls.items()}

    def redraw(_: Any = None) -> None:
        picture.value = as_html(*draw(**{name: slider.value for name, slider in sliders.items()}))

    for slider in sliders.values():
        slider.observe(redraw, "value")
    redraw()
    return VBox([*sliders.values(), picture])


def _slider(name: str, control: Control) -> Any:
    from ipywidgets import FloatSlider, IntSlider, Layout

    kind = IntSlider if all(isinstance(number, int) for number in control) else FloatSlider
    lowest, highest, step, start = control
    return kind(
        min=lowest,
        max=highest,
        step=step,
        value=start,
        continuous_update=False,
        description=name.replace("_", " "),
        layout=Layout(width="420px"),
        style={"description_width": "140px"},
    )
