"""What to do with a finished figure: show it in a notebook, turn it into HTML, save it."""

import base64
import html
import io
from pathlib import Path

from matplotlib.figure import Figure

from coursekit.core.files import new_file


def figure(fig: Figure, alt: str) -> None:
    """Show a figure in the notebook, with a text for people who can't see it. Does nothing outside a notebook."""
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:  # as HTML, because JupyterLab drops the alt text of a plain image
        display({"text/html": as_html(fig, alt), "text/plain": alt}, raw=True)


def as_html(fig: Figure, alt: str) -> str:
    """Return a figure as one self-contained `<img>` with its alt text."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" style="max-width: 100%" src="data:image/png;base64,{data}">'


def save(fig: Figure, path: Path) -> None:
    """Write a figure as PNG. The file is complete or not there."""
    with new_file(path) as partial:
        fig.savefig(partial, dpi=120)
