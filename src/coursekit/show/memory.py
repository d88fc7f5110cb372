"""How much memory does a training step take, and does it fit? Under sliders for GPU, image size and batch size."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from coursekit.memory.b3_picture import STYLES
from coursekit.memory.budget import Constants, usable, verdict
from coursekit.memory.planner import BATCHES, EFFECTIVE_BATCH, interpolate
from coursekit.memory.step_config import GIB, KINDS, Peak
from coursekit.show.explore import explore
from coursekit.show.figures import plain_text

Peaks = Mapping[tuple[str, int], Peak]


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
