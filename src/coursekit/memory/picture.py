"""The question that this package answers, in one picture: EfficientNet-B3 at COCO's full size on a card of 4 GB."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.memory.budget import Constants, usable, verdict
from coursekit.memory.planner import SIZES
from coursekit.memory.predict import predict
from coursekit.memory.step_config import GIB, KINDS, Peak, StepConfig

VRAM = 4.0
NAMES = {
    DEFAULT_BACKBONE: "EfficientNet-Lite0",
    "efficientnet_b0": "EfficientNet-B0",
    "efficientnet_b3": "EfficientNet-B3",
}
# Colours of Okabe and Ito, safe for the colour-blind, and hatches besides.
STYLES = {
    "weights": ("#0072B2", ""),
    "gradients": ("#E69F00", "xx"),
    "optimizer": ("#CC79A7", ".."),
    "activations": ("#56B4E9", "//"),
    "rest": ("#F0E442", "\\\\"),
}
PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
GROUPS = {
    "B3 at 800 × 1333, as one builds it from timm and torchvision": [
        StepConfig(
            "efficientnet_b3", SIZES["800 × 1333"], batch, precision, 0, channels=256, hidden=1024, folds_norm=False
        )
        for precision in ("fp32", "bf16")
        for batch in (1, 2)
    ],
    "the same as the course builds it: batch norm folded, 96 channels": [
        StepConfig("efficientnet_b3", SIZES["800 × 1333"], batch, precision, 0)
        for precision in ("fp32", "bf16")
        for batch in (1, 2)
    ],
    "what to do: mixed precision, smaller images, the first 3 stages frozen": [
        StepConfig("efficientnet_b3", SIZES["640"], 8),
        StepConfig("efficientnet_b0", SIZES["640"], 8),
        StepConfig(DEFAULT_BACKBONE, SIZES["640"], 8),
    ],
}


def b3_picture(vram: float = VRAM, constants: Constants | None = None) -> Figure:
    """A bar for each way to train, of what it holds at its peak; lines at what the card has. Takes some seconds."""
    budget = usable(vram, constants or Constants())
    fig = Figure(figsize=(10.5, 5.6), layout="constrained")
    axes = fig.subplots()
    place, names = 0.0, []
    for title, configs in GROUPS.items():
        axes.text(0.06, place, title, fontsize=9, weight="bold", va="center", bbox=PAPER)
        for config in configs:
            place += 1
            names.append((place, _name(config)))
            _bar(axes, place, predict(config), budget)
        place += 1.6
    axes.set_yticks(*zip(*names, strict=True), fontsize=9)
    _lines(axes, vram, budget)
    axes.set(
        ylim=(place - 0.9, -0.6), xlim=(0, 9), xlabel="GiB held by tensors at the peak of a training step (predicted)"
    )
    handles, labels = axes.get_legend_handles_labels()
    first = dict(zip(labels, handles, strict=True))
    axes.legend(first.values(), first.keys(), loc="lower right", fontsize=9)
    return fig


def _bar(axes: Axes, place: float, peak: Peak, budget: int) -> None:
    start = 0.0
    for kind in KINDS:
        width = getattr(peak, kind) / GIB
        colour, hatch = STYLES[kind]
        axes.barh(place, width, 0.8, start, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5, label=kind)
        start += width
    axes.text(start + 0.06, place, f"{start:.1f}  {verdict(peak.total, budget)}", va="center", fontsize=9, bbox=PAPER)


def _lines(axes: Axes, vram: float, budget: int) -> None:
    for x, name, style, side in ((budget / GIB, "usable", "--", "right"), (vram, f"{vram:g} GB card", "-", "left")):
        axes.axvline(x, color="black", linestyle=style, linewidth=1.2, zorder=0.5)
        text = f" {name}" if side == "left" else f"{name} "
        axes.text(x, 1.005, text, transform=axes.get_xaxis_transform(), ha=side, va="bottom", fontsize=9)


def _name(config: StepConfig) -> str:
    precision = "fp32" if config.precision == "fp32" else "AMP"
    images = f"{config.batch} image" + ("s" if config.batch > 1 else "")
    if max(config.size) > 1000:
        return f"{precision}, {images}"
    return f"{NAMES[config.backbone]}, {max(config.size)} px, {images}"
