"""From anchors to proposals: which anchors match, where proposals are, and how many objects they find."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.core.errors import ConfigError
from coursekit.data import CocoDataset
from coursekit.data.boxes import Size
from coursekit.show.boxes import draw_boxes
from coursekit.show.colors import BLUE, GREEN, VERMILION
from coursekit.show.figures import figure

SIZES = ("small: below 32 px", "medium: 32 to 96 px", "large: from 96 px")
STYLES = ((VERMILION, "s--"), (BLUE, "o-"), (GREEN, "^:"))


class Resized(Protocol):
    """A data set whose images were resized.

    Attributes:
        dataset: the data set.
        sizes: (height, width) in pixels of each image after resizing.
    """

    @property
    def dataset(self) -> CocoDataset: ...  # noqa: D102
    @property
    def sizes(self) -> list[Size]: ...  # noqa: D102


def anchors_to_objects(image: Tensor, anchors: Tensor, matches: Tensor, boxes: Tensor) -> None:
    """Show an image three times: with 80 of its anchors, with those that match, and with its objects.

    Args:
        image: (3, H, W) uint8.
        anchors: (N, 4) xyxy in pixels.
        matches: (N,) from `match_anchors`.
        boxes: (G, 4) xyxy, the ground truth.
    """
    some = anchors[torch.randperm(len(anchors), generator=torch.Generator().manual_seed(1))[:80]]
    fit = anchors[matches >= 0]
    panels = {
        f"{len(some)} of {len(anchors):,} anchors": some,
        f"the {len(fit)} that match an object": fit,
        f"the {len(boxes)} objects": boxes,
    }
    fig = Figure(figsize=(9.6, 2.9), layout="constrained")
    for axes, (title, drawn) in zip(fig.subplots(1, 3), panels.items(), strict=True):
        _draw(axes, image, drawn, title)
    figure(fig, f"A scene three times, with boxes: {', '.join(panels)}.")


def best_proposals(
    resized: Resized, picks: Sequence[int], runs: Mapping[str, Sequence[Tensor]], most: int = 10
) -> None:
    """Show some images with their best proposals, a row for each run.

    Args:
        resized: the images; proposals are in pixels of the resized ones.
        picks: positions of the images to show.
        runs: name → proposals of every image, (P, 4) xyxy, best first.
        most: proposals to draw in each image.

    Raises:
        ConfigError: there is no image with one of these numbers.
    """
    _check_picks(picks, len(resized.sizes))
    fig = Figure(figsize=(3.2 * len(picks), 2.6 * len(runs)), layout="constrained")
    for row, (name, proposals) in zip(fig.subplots(len(runs), len(picks), squeeze=False), runs.items(), strict=True):
        for axes, i in zip(row, picks, strict=True):
            image, _ = resized.dataset[i]
            best = proposals[i][:most] * image.shape[2] / resized.sizes[i][1]
            _draw(axes, image, best, f"{name}: the best {len(best)}")
    figure(fig, f"{len(picks)} scenes, each with its {most} best proposals: {', '.join(runs)}, one below the other.")


def _check_picks(picks: Sequence[int], count: int) -> None:
    missing = [str(pick) for pick in picks if not 0 <= pick < count]
    if missing or not picks:
        what = f"there is no scene {' or '.join(missing)}" if missing else "no scene is chosen"
        raise ConfigError(f"{what}: there are {count}. Choose numbers from 0 to {count - 1}.")


def recall_curves(recalls: Mapping[str, Tensor], ks: Sequence[int], guesses: Sequence[float] = ()) -> None:
    """Show recall over the number of proposals, for small, medium and large objects.

    Args:
        recalls: for each run (number of ks, 3).
        ks: how many proposals of each image count.
        guesses: recall of small objects at the first k, as the reader guessed it.
    """
    fig = Figure(figsize=(9.6, 3.0), layout="constrained")
    for size, (axes, title) in enumerate(zip(fig.subplots(1, 3, sharey=True), SIZES, strict=True)):
        for (name, recall), (color, style) in zip(recalls.items(), STYLES, strict=False):
            axes.plot(ks, recall[:, size], style, color=color, label=name)
        axes.set(xscale="log", ylim=(-0.03, 1.03), xlabel="proposals per image", title=title)
        axes.set_xticks(ks, labels=[str(k) for k in ks])
        axes.minorticks_off()
    first = fig.axes[0]
    if guesses:
        first.plot([ks[0]] * len(guesses), guesses, "k_", markersize=16, markeredgewidth=2, label="your guesses")
    first.set_ylabel("recall")
    first.legend(fontsize=7, loc="center right")
    figure(fig, f"Recall over {', '.join(map(str, ks))} proposals, for three sizes of objects: {', '.join(recalls)}.")


def _draw(axes: Axes, image: Tensor, boxes: Tensor, title: str) -> None:
    """Draw boxes on an image, whose edges are those of the picture."""
    draw_boxes(axes, image, boxes, [""] * len(boxes), title=title)
    axes.set(xlim=(0, image.shape[2]), ylim=(image.shape[1], 0))
