"""What to do with a finished figure: show it in a notebook, turn it into HTML, save it."""

import base64
import html
import io
from pathlib import Path

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from coursekit.core.errors import plain
from coursekit.core.files import write_bytes
from coursekit.show.labels import spread


def figure(fig: Figure, alt: str) -> None:
    """Show a figure in the notebook, with a text for people who can't see it. Does nothing outside a notebook."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:  # as HTML, because JupyterLab drops the alt text of a plain image
        display({"text/html": as_html(fig, alt), "text/plain": alt}, raw=True)


def as_html(fig: Figure, alt: str) -> str:
    """Return a figure as one self-contained `<img>` with its alt text."""
    spread(fig)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" style="max-width: 100%" src="data:image/png;base64,{data}">'


def save(fig: Figure, path: Path) -> None:
    """Write a figure; the file's suffix decides the format. The file is complete or not there."""
    spread(fig)
    buffer = io.BytesIO()
    fig.savefig(buffer, format=path.suffix[1:] or "png", dpi=120)
    write_bytes(path, buffer.getvalue())


def log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers at 1, 2 and 5 times each power of ten."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def plain_text(text: str) -> str:
    """Return a text with a name from data as matplotlib draws it: `$` is a sign, not the start of a formula.

    A label that starts with `_` would be missing in the legend, so it gets a space.
    """
    return (" " if text.startswith("_") else "") + plain(text).replace("$", r"\$")
