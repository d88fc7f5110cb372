"""The shapes of a detector's losses, and how they fall."""

import math

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from coursekit.show.colors import BLUE, ORANGE, SKY, VERMILION
from coursekit.show.figures import figure

WINDOW = 8  # steps of the running mean


def loss_shapes() -> None:
    """Show binary cross-entropy over the logit, and smooth L1 over the error."""
    fig = Figure(figsize=(8.8, 2.9), layout="constrained")
    left, right = fig.subplots(1, 2)
    _cross_entropy(left)
    _smooth_l1(right)
    figure(
        fig,
        "Left, binary cross-entropy over the logit: for an object it falls as the logit grows, for background it "
        "rises, and both are 0.693 at a logit of 0. Right, smooth L1 over the error: a V with a rounded tip if beta is "
        "1/9, a flat bowl if it is 1.",
    )


def _cross_entropy(axes: Axes) -> None:
    logit = torch.linspace(-6, 6, 121)
    for label, name, color, style in ((1.0, "an object", BLUE, "-"), (0.0, "background", VERMILION, "--")):
        loss = F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, label), reduction="none")
        axes.plot(logit, loss, style, color=color, label=f"correct answer: {name}")
    axes.plot([0], [math.log(2)], "ko", markersize=5)
    arrow = {"arrowstyle": "->"}
    axes.annotate(f"undecided: {math.log(2):.3f}", (0, math.log(2)), (-1.7, 2.7), fontsize=8, arrowprops=arrow)
    axes.set(xlabel="logit", ylabel="loss", title="objectness: binary cross-entropy", ylim=(-0.2, 8))
    axes.legend(fontsize=8, loc="upper center")


def _smooth_l1(axes: Axes) -> None:
    error = torch.linspace(-0.5, 0.5, 201)
    for beta, style, color in ((1 / 9, "-", BLUE), (1.0, "--", ORANGE)):
        loss = F.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="none")
        axes.plot(error, loss, style, color=color, label=f"β = {beta:.2g}")
    axes.set(xlabel="error of a delta", ylabel="loss", title="deltas: smooth L1")
    axes.legend(fontsize=8)


def two_losses(history: Tensor) -> None:
    """Show objectness loss and box loss over the steps, (steps, 2), with a running mean; print start, peak and end."""
    fig = Figure(figsize=(8.8, 2.7), layout="constrained")
    window = min(WINDOW, len(history))
    words = []
    for axes, values, name in zip(fig.subplots(1, 2), history.T, ("objectness loss", "box loss"), strict=True):
        smooth = values.unfold(0, window, 1).mean(1)
        steps = torch.arange(len(smooth)) + window  # the last step of each window
        axes.plot(torch.arange(len(values)) + 1, values, color=SKY, linewidth=0.6, label="each step")
        axes.plot(steps, smooth, "-" if len(smooth) > 1 else "o", color=BLUE, label=f"mean of {window} steps")
        axes.set(xlabel="step", ylabel="loss", title=name, ylim=(0, 1.1 * values.max().item()))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        most, last = max(values[0].item(), smooth.max().item()), smooth[-1].item()
        words.append(f"{name}: {values[0]:.3f} at the first step, at most {most:.3f}, {last:.3f} at the end")
        print(words[-1])
    fig.axes[0].legend(fontsize=8, loc="lower left")
    figure(fig, f"Two losses over {len(history)} steps. " + "; ".join(words) + ".")
