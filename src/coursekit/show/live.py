"""The losses of a run in a notebook, in one picture that is drawn anew in its place."""

import time
from typing import Any

from coursekit.show.pictures import as_html, loss_curves
from coursekit.training.hooks import Hook
from coursekit.training.state import Run

SECONDS = 2.0  # from picture to picture: drawing one takes a tenth of that


class LivePlot(Hook):
    """A hook for `train` in a notebook; outside one it does nothing. `train(..., hooks=[show.LivePlot()])`."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds, self.drawn, self.handle = seconds, 0.0, None

    def before_run(self, run: Run) -> None:
        """Make the place for the picture."""
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            place: Any = display({"text/plain": "The losses appear here."}, raw=True, display_id=True)
            self.handle = place

    def after_step(self, run: Run) -> None:
        """Draw, if the last time is long enough ago."""
        if self.handle is not None and time.monotonic() - self.drawn >= self.seconds:
            self._draw(run)
            self.drawn = time.monotonic()

    def after_run(self, run: Run) -> None:
        """The last state stays."""
        if self.handle is not None and run.history:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        history: Any = run.history
        losses = {name: [step.losses[name] for step in history] for name in history[0].losses}
        figure = loss_curves([step.step for step in history], losses, [step.lr for step in history])
        total = sum(losses[name][-1] for name in losses)
        alt = f"Curves of {len(losses)} losses over {len(history)} steps; together they are {total:.2f} at the end."
        handle: Any = self.handle
        handle.update({"text/html": as_html(figure, alt), "text/plain": alt}, raw=True)
