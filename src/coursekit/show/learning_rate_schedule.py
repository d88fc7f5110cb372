"""A learning-rate schedule under sliders."""

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from coursekit.show.colors import BLUE
from coursekit.show.explore import explore

Schedule = Callable[[int, int, int], float]


def explore_schedule(schedule: Schedule, steps: int = 60, warm_up: int = 8) -> Any:
    """Show the factor of the learning rate at each step, under sliders for the steps and for the warm-up.

    Args:
        schedule: (step, total, warm-up) → factor, such as `warmup_cosine`.
        steps, warm_up: where the sliders start.
    """

    def draw(steps: int, warm_up: int) -> tuple[Figure, str]:
        return schedule_picture(schedule, steps, warm_up)

    return explore(draw, steps=(20, 100, 10, steps), warm_up=(0, 20, 1, warm_up))


def schedule_picture(schedule: Schedule, steps: int, warm_up: int) -> tuple[Figure, str]:
    """Draw the factor of the learning rate over the steps. Return the figure and its alt text."""
    fig = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = fig.subplots()
    factors = [schedule(step, steps, warm_up) for step in range(steps + 1)]
    axes.plot(range(steps + 1), factors, color=BLUE, marker=".")
    axes.set(xlabel="optimizer step", ylabel="factor of the learning rate", ylim=(-0.05, 1.05))
    top = factors.index(max(factors))
    return (
        fig,
        f"The factor is {factors[0]:.2f} at step 0, {factors[top]:.2f} at step {top}, {factors[-1]:.2f} at the end.",
    )
