"""How much memory training steps take, and whether they fit: under sliders, by image size, and side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from coursekit.memory.b3_picture import LABEL_BOX, STYLES
from coursekit.memory.budget import Constants, usable, verdict
from coursekit.memory.planner import BATCHES, EFFECTIVE_BATCH, interpolate
from coursekit.memory.step_config import GIB, KINDS, MIB, Peak
from coursekit.show.explore import explore
from coursekit.show.figures import figure, log_ticks, plain_text

LINES = {"weights": (6.0, "o"), "gradients": (2.0, "s"), "optimizer": (2.0, "^"), "activations": (2.0, "D")}
LABEL_WIDTH = 1.4  # GiB, about
Peaks = Mapping[tuple[str, int], Peak]


def memory_by_side(count: Callable[[int], Mapping[str, int]], sides: Sequence[int]) -> None:
    """Show how the parts of a step's memory grow with the side of an image; both axes are logarithmic.

    Args:
        count: side in pixels → bytes by kind, as `count_memory` returns them.
        sides: in pixels.
    """
    figure(*memory_by_side_picture(count, sides))


def memory_by_side_picture(count: Callable[[int], Mapping[str, int]], sides: Sequence[int]) -> tuple[Figure, str]:
    """Draw what `memory_by_side` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = fig.subplots()
    counted = [count(side) for side in sides]
    words = []
    for kind, (width, marker) in LINES.items():
        mib = [memory[kind] / MIB for memory in counted]
        axes.plot(sides, mib, color=STYLES[kind][0], marker=marker, linewidth=width, label=kind)
        words.append(f"{kind} from {mib[0]:.1f} to {mib[-1]:.1f} MiB")
    axes.set(xscale="log", yscale="log", xlabel="side of one image in pixels", ylabel="MiB")
    axes.set_xticks(sides, [str(side) for side in sides])
    log_ticks(axes.yaxis)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return fig, f"Memory by the side of an image, {sides[0]} to {sides[-1]} pixels: {', '.join(words)}."


def memory_ladder(peaks: Mapping[str, Peak], budget: int) -> None:
    """Show the memory of training steps at their peaks, by kind, and whether they fit.

    Args:
        peaks: name → peak.
        budget: bytes that tensors may hold.
    """
    figure(*memory_ladder_picture(peaks, budget))


def memory_ladder_picture(peaks: Mapping[str, Peak], budget: int) -> tuple[Figure, str]:
    """Draw what `memory_ladder` shows. Return the figure and its alt text."""
    fig = Figure(figsize=(9, 0.42 * len(peaks) + 1.3), layout="constrained")
    axes = fig.subplots()
    words = []
    for row, (name, peak) in enumerate(peaks.items()):
        start = 0.0
        for kind in KINDS:
            width, (color, hatch) = getattr(peak, kind) / GIB, STYLES[kind]
            look: Any = {"color": color, "hatch": hatch, "edgecolor": "white", "label": kind if row == 0 else None}
            axes.barh(row, width, left=start, **look)
            start += width
        outcome = f"{start:.2f} GiB, {verdict(peak.total, budget)}"
        crosses = start < budget / GIB < start + LABEL_WIDTH  # then the line would run through the label
        axes.text((budget / GIB if crosses else start) + 0.05, row, outcome, va="center", fontsize=9, bbox=LABEL_BOX)
        words.append(f"{name}: {outcome}")
    axes.axvline(budget / GIB, color="black", linestyle="--", zorder=0, label=f"usable {budget / GIB:.2f}")
    widest = max(peak.total for peak in peaks.values()) / GIB
    axes.set(xlim=(0, max(widest, budget / GIB) + 1.5), xlabel="GiB at the peak of a training step (predicted)")
    axes.set_yticks(range(len(peaks)), [plain_text(name) for name in peaks])
    axes.invert_yaxis()
    axes.legend(ncols=6, loc="lower center", bbox_to_anchor=(0.4, 1.0), frameon=False, fontsize=8)
    return fig, f"Memory of training steps, {budget / GIB:.2f} GiB usable. {'; '.join(words)}."


def explore_memory(peaks: Peaks, title: str = "", card: int = 4) -> Any:
    """Show the memory of a step by part, and the memory of a GPU, under three sliders.

    Args:
        peaks: by size and batch, as from `coursekit.memory.peaks_of`.
        title: what is trained.
        card: memory of the GPU in GB at the start, 2 to 24.
    """

    def draw(card_GB: int, long_side: int, images: int) -> tuple[Figure, str]:  # noqa: N803 - a slider's title
        return memory_picture(peaks, card_GB, long_side, images, title)

    return explore(
        draw,
        card_GB=(2, 24, 1, min(24, max(2, card))),
        long_side=(320, 800, 160, 640),
        images=(1, EFFECTIVE_BATCH, 1, EFFECTIVE_BATCH),
    )


def memory_picture(peaks: Peaks, card: float, long_side: int, images: int, title: str = "") -> tuple[Figure, str]:
    """Draw the memory of a step at its peak as a bar, and the usable memory of the GPU as a line.

    Args:
        peaks: as in `explore_memory`.
        card: memory of the GPU in GB.
        long_side: long side of the images, in pixels: 320, 480, 640 or 800.
        images: images at a time, 1 to 16.
        title: what is trained.

    Returns:
        The figure and its alt text.
    """
    peak, budget = _peak(peaks, str(long_side), images), usable(card, Constants())
    fig = Figure(figsize=(8, 2.1), layout="constrained")
    axes = fig.subplots()
    start = 0.0
    for kind in KINDS:
        width = getattr(peak, kind) / GIB
        color, hatch = STYLES[kind]
        axes.barh(0, width, 0.6, start, color=color, hatch=hatch, edgecolor="white", label=f"{kind} {width:.2f}")
        start += width
    axes.axvline(budget / GIB, color="black", linestyle="dashed", label=f"usable {budget / GIB:.1f}")
    axes.set(yticks=[], xlim=(0, 1.1 * max(start, budget / GIB)), xlabel="GiB at the peak of a step (predicted)")
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8)
    times = -(-EFFECTIVE_BATCH // images)
    held = f"{images} of {long_side} px at a time hold {start:.2f} of {budget / GIB:.1f} GiB"
    often = "one pass per step" if times == 1 else f"{times} passes per step"
    words = f"{held}: {verdict(peak.total, budget)}. For a batch of {EFFECTIVE_BATCH}: {often}"
    fig.suptitle(plain_text(f"{title}: {words}" if title else words), fontsize=9)
    return fig, words


def _peak(peaks: Peaks, size: str, images: int) -> Peak:
    """Interpolate between one image and many: memory grows linearly with the batch."""
    share = (images - BATCHES[0]) / (BATCHES[-1] - BATCHES[0])
    return interpolate(peaks[size, BATCHES[0]], peaks[size, BATCHES[-1]], share)
