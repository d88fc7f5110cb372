"""A feature pyramid: objects on its levels, what a change reaches, how designs compare, and each box's level."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from coursekit.data.boxes import Target
from coursekit.detector.boxes import Part
from coursekit.detector.roi import level_for_box
from coursekit.show.boxes import draw_boxes, outline
from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION
from coursekit.show.explore import explore
from coursekit.show.figures import figure

CUT = 96  # pixels: side of the part around a small object
LEVELS = {3: "dotted", 4: "dashed", 5: "solid"}
MARKS = ((ORANGE, "s"), (SKY, "^"), (BLUE, "o"), (VERMILION, "D"), (GREEN, "v"), (PURPLE, "P"))
SIZES = ("small", "medium", "large")


def smallest_object(image: Tensor, target: Target, classes: Sequence[str]) -> None:
    """Show an image, and the part around its smallest object under the cells of levels 3, 4 and 5.

    Args:
        image: (3, H, W) uint8.
        target: its boxes and labels.
        classes: the name of each label, from 1 on.
    """
    boxes = target["boxes"]
    smallest = int((boxes[:, 2:] - boxes[:, :2]).prod(1).argmin())
    name = classes[int(target["labels"][smallest]) - 1]
    x1, y1, x2, y2 = boxes[smallest].tolist()
    left, top = int(x1) // 32 * 32 - 32, int(y1) // 32 * 32 - 32  # where a cell of every level begins
    fig = Figure(figsize=(9.6, 2.6), layout="constrained")
    whole, *close = fig.subplots(1, 4, width_ratios=[1.35, 1, 1, 1])
    draw_boxes(whole, image, boxes[smallest][None], [name], title="the scene")
    words = []
    for axes, stride in zip(close, (8, 16, 32), strict=True):
        _under_cells(axes, image, left, top, stride)
        cells = (x2 - x1) * (y2 - y1) / stride**2
        words.append(f"stride {stride}: {cells:.1f} cells")
        axes.set_title(f"{words[-1]} for the {name}", fontsize=8)
    alt = f"A scene, and three times the part around a small {name}, under the cells of a level. {'; '.join(words)}."
    figure(fig, alt)


def _under_cells(axes: Axes, image: Tensor, left: int, top: int, stride: int) -> None:
    part = image[:, max(0, top) : top + CUT, max(0, left) : left + CUT].permute(1, 2, 0)
    bottom, right = max(0, top) + part.shape[0], max(0, left) + part.shape[1]
    axes.imshow(part, extent=(max(0, left), right, bottom, max(0, top)))
    axes.set_xticks(range(max(0, left), right + 1, stride), labels=[])
    axes.set_yticks(range(max(0, top), bottom + 1, stride), labels=[])
    axes.grid(color="white", linewidth=1)
    axes.tick_params(length=0)


def object_sizes(sizes: Tensor) -> None:
    """Show how many objects there are of each size, and which are smaller than 2 × 2 cells of each level.

    Args:
        sizes: (objects,) √area in pixels.
    """
    fig = Figure(figsize=(7.6, 3.4), layout="constrained")
    axes = fig.subplots()
    edges = torch.logspace(2.5, 8.5, 31, base=2).tolist()
    axes.hist(sizes.tolist(), bins=edges, color=SKY, edgecolor="white")
    words = []
    for level, style in LEVELS.items():
        side = 2 * 2**level
        words.append(f"2 × 2 cells of C{level}, {side} px: {(sizes < side).float().mean():.0%} are smaller")
        axes.axvline(side, color=VERMILION, linestyle=style, linewidth=2, label=words[-1])
        print(words[-1])
    axes.set_xscale("log", base=2)
    axes.set_xticks([8, 16, 32, 64, 128, 256], labels=["8", "16", "32", "64", "128", "256"])
    axes.set(xlabel="size of the object: √area in pixels", ylabel="objects")
    axes.set_ylim(0, 1.45 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize=8, loc="upper left")
    figure(fig, f"A histogram of {len(sizes)} object sizes. {'; '.join(words)}.")


def smoothing(merge_top_down: Part) -> None:
    """Show a slope of 6 × 6 cells, the same upsampled to 12 × 12, and smoothed by a 3 × 3 mean.

    Args:
        merge_top_down: the function that upsamples, such as your own.
    """
    slope = torch.arange(12.0)[None, None] + torch.arange(12.0)[None, :, None]
    coarse = F.avg_pool2d(slope[None], 2)
    blocks = merge_top_down(torch.zeros(1, 1, 12, 12), coarse)
    smooth = F.avg_pool2d(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    panels = {"coarse: 6 × 6": coarse, "upsampled to 12 × 12: blocks": blocks, "after a 3 × 3 mean": smooth}
    fig = Figure(figsize=(8.4, 2.7), layout="constrained")
    for axes, (title, picture) in zip(fig.subplots(1, 3), panels.items(), strict=True):
        axes.pcolormesh(picture[0, 0].flip(0), cmap="cividis", edgecolors="white", linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
        axes.set_aspect("equal")
    figure(fig, "A slope of 6 × 6 cells, the same upsampled with visible blocks, and smoothed by a 3 × 3 mean.")


def changed_cells(before: Sequence[Tensor], after: Sequence[Tensor]) -> None:
    """Show which cells of each level changed: (1, C, H, W) each, of levels 3, 4, 5."""
    fig = Figure(figsize=(8.4, 3.0), layout="constrained")
    words = []
    for axes, level, old, new in zip(fig.subplots(1, len(before)), LEVELS, before, after, strict=True):
        change = (new - old).abs().sum(1)[0]
        rows, columns = ((change > 1e-5).any(axis).sum().item() for axis in (1, 0))
        words.append(f"P{level}: {rows} × {columns} of {change.shape[0]} × {change.shape[1]} cells change")
        axes.imshow(change, cmap="cividis")
        axes.set_title(words[-1], fontsize=9)
        axes.set_axis_off()
        print(words[-1])
    figure(fig, f"Where each level of the pyramid changes: a square around the same place. {'; '.join(words)}.")


def level_shares(sizes: Tensor, level_for_box: Part, canonical_scales: Sequence[float]) -> None:
    """Show which share of the objects reads from levels 3, 4 and 5, for several canonical scales.

    Args:
        sizes: (objects,) √area in pixels.
        level_for_box: the function to use, such as your own.
        canonical_scales: one picture each.
    """
    squares = torch.stack([0 * sizes, 0 * sizes, sizes, sizes], 1)
    fig = Figure(figsize=(3.6 * len(canonical_scales), 2.8), layout="constrained")
    row, words = fig.subplots(1, len(canonical_scales), sharey=True, squeeze=False)[0], []
    for axes, scale in zip(row, canonical_scales, strict=True):
        counts = torch.bincount(level_for_box(squares, 3, 5, scale), minlength=6)[3:]
        shares = (counts / counts.sum()).tolist()
        bars = axes.bar(["level 3", "level 4", "level 5"], shares, color=BLUE)
        axes.bar_label(bars, [f"{share:.0%}" for share in shares])
        axes.set(title=f"canonical scale {scale:g}", ylim=(0, 1.1))
        words.append(f"canonical scale {scale:g}: {', '.join(f'{share:.0%}' for share in shares)}")
        print(words[-1])
    row[0].set_ylabel("share of the objects")
    figure(fig, f"Shares of the objects on levels 3, 4 and 5. {'; '.join(words)}.")


def scores_by_size(measured: Mapping[str, Tensor], guess: float | None = None) -> None:
    """Show recall and AP50 of designs by the size of the objects: a bar for the mean, a mark for each seed.

    Args:
        measured: name → (seeds, 2, 3): recall and AP50, of small, medium and large objects.
        guess: the reader's guess of the last design's AP50 of small objects.
    """
    fig = Figure(figsize=(9.2, 3.6), layout="constrained")
    for measure, (axes, title) in enumerate(zip(fig.subplots(1, 2), ("recall of 100 proposals", "AP50"), strict=True)):
        for number, ((name, runs), mark) in enumerate(zip(measured.items(), MARKS, strict=False)):
            at = torch.arange(3) + 0.8 * ((number + 0.5) / len(measured) - 0.5)
            _bars(axes, at, runs[:, measure], 0.7 / len(measured), mark, name)
        axes.set_xticks(range(3), labels=SIZES)
        axes.set(xlabel="size of the object", ylim=(0, 1.02), title=title)
    if guess is not None:
        axes.plot([-0.42, 0.42], [guess] * 2, color="black", linestyle="dashed", label="your guess")
    axes.legend(fontsize=8, loc="upper left")
    means = "; ".join(
        f"{name}: {[round(value, 2) for value in runs.mean(0)[1].tolist()]}" for name, runs in measured.items()
    )
    figure(
        fig,
        f"Recall and AP50 by size of the object, with a mark for each seed. Mean AP50 of {', '.join(SIZES)}. {means}.",
    )


def _bars(axes: Axes, at: Tensor, runs: Tensor, width: float, mark: tuple[str, str], name: str) -> None:
    """Draw a bar for the mean of some runs, (seeds, 3), and a mark for each run."""
    color, symbol = mark
    axes.bar(at.tolist(), runs.mean(0).tolist(), width, color=color, alpha=0.45)
    for run in runs.tolist():
        axes.plot(at.tolist(), run, symbol, color=color, markeredgecolor="black", markersize=5)
    axes.plot([], [], symbol, color=color, markeredgecolor="black", label=name)


def explore_levels(
    image: Tensor, boxes: Tensor, finest: int = 3, coarsest: int = 5, *, level_for_box: Part = level_for_box
) -> Any:
    """Show boxes and the levels they read from, under a slider for the canonical scale.

    Args:
        image: (3, H, W) uint8.
        boxes: (N, 4) xyxy in pixels.
        finest, coarsest: the levels of the pyramid; level k has a stride of 2^k.
        level_for_box: the function to use, such as your own.
    """

    def draw(canonical_scale: int) -> tuple[Figure, str]:
        return level_picture(image, boxes, canonical_scale, finest, coarsest, level_for_box=level_for_box)

    return explore(draw, canonical_scale=(16, 256, 4, 64))


def level_picture(
    image: Tensor,
    boxes: Tensor,
    canonical_scale: float = 64,
    finest: int = 3,
    coarsest: int = 5,
    *,
    level_for_box: Part = level_for_box,
) -> tuple[Figure, str]:
    """Draw the image once per level, with the cells of the level and the boxes that read from it.

    Arguments as in `explore_levels`.

    Returns:
        The figure and its alt text.
    """
    levels = level_for_box(boxes, finest, coarsest, canonical_scale)
    count = coarsest - finest + 1
    fig = Figure(figsize=(2.9 * count, 3.0), layout="constrained")
    words = []
    for level, axes in zip(range(finest, coarsest + 1), fig.subplots(1, count, squeeze=False)[0], strict=True):
        of_level = boxes[levels == level].tolist()
        counted = f"{len(of_level)} box" if len(of_level) == 1 else f"{len(of_level)} boxes"
        _draw_cells(axes, image, 2**level)
        for box in of_level:
            outline(axes, box, VERMILION, "solid", "", 2.4)
        axes.set_title(f"level {level}: a cell is {2**level} px\n{counted}", fontsize=9)
        words.append(f"level {level}: {counted}")
    return fig, f"With a canonical scale of {canonical_scale:g} pixels at level 4, " + ", ".join(words) + "."


def _draw_cells(axes: Axes, image: Tensor, stride: int) -> None:
    height, width = image.shape[1:]
    axes.imshow(image.permute(1, 2, 0).numpy(), alpha=0.55)
    axes.set_xticks(range(0, width + 1, stride), labels=[])
    axes.set_yticks(range(0, height + 1, stride), labels=[])
    axes.grid(color="white", linewidth=0.5)
    axes.tick_params(length=0)
    axes.set(xlim=(0, width), ylim=(height, 0))
