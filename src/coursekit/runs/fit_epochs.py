"""As many epochs as fit: a hook that measures the first steps, and then sets the length of the training."""

import time

from msgspec import structs

from coursekit.detector.frozen_maps import FrozenMaps
from coursekit.training import Hook, Run

FIRST, LAST = 8, 18  # the steps that are measured: later than the slow first ones, and within the warm-up
LEAST_EPOCHS = 2


class FitEpochs(Hook):
    """Choose the number of epochs once the first steps have shown the speed.

    Until then, the learning rate must not depend on the number of epochs: the warm-up has to be longer. So a run with
    the same number, given beforehand, is the same run.

    Args:
        deadline: the moment, on Python's monotonic clock, when training and evaluation should be done.
        most: the most epochs; the run starts with this number.
        val_images: images to evaluate on afterwards.

    Attributes:
        epochs: the number chosen.
    """

    def __init__(self, deadline: float, most: int, val_images: int) -> None:
        self.deadline, self.epochs, self.val_images = deadline, most, val_images
        self.started = (0, 0.0, 0.0)

    def after_step(self, run: Run) -> None:
        """Measure the first steps, then set the epochs."""
        if run.steps == FIRST:
            self.started = _totals(run)
        if run.steps == LAST:
            self._choose(run)

    def _choose(self, run: Run) -> None:
        images, in_backbone, in_all = (now - then for now, then in zip(_totals(run), self.started, strict=True))
        per_image = in_backbone / max(1, images)
        step = (in_all - in_backbone) / (LAST - FIRST)
        epoch = step * len(run.loader)
        left = self.deadline - time.monotonic() - self._fixed(run, per_image, step) + LAST * step
        fits = int(left / epoch)
        self.epochs = max(LEAST_EPOCHS, min(self.epochs, fits))
        run.config = structs.replace(run.config, epochs=self.epochs)
        fit = "fit" if fits >= LEAST_EPOCHS else "are more than fit, and the least"
        run.events.append(
            f"An epoch takes {epoch:.2g} s here: {self.epochs} {fit}. To repeat this run: --epochs {self.epochs}"
        )

    def _fixed(self, run: Run, per_image: float, step: float) -> float:
        """Return the seconds that any number of epochs takes: maps not yet computed, and the evaluation."""
        versions = 2 if run.config.flip else 1
        new = versions * len(run.loader.dataset) - _totals(run)[0]
        return new * per_image + self.val_images * (per_image + step / run.config.batch_size)


def _totals(run: Run) -> tuple[int, float, float]:
    """Return how many images went through a frozen backbone, the seconds that took, and all seconds of the training."""
    maps = getattr(getattr(run.model, "backbone", None), "body", None)
    computed, seconds = (maps.computed, maps.seconds) if isinstance(maps, FrozenMaps) else (0, 0.0)
    return computed, seconds, run.seconds
