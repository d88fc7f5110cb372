"""Draw whether EfficientNet-B3 at COCO's full size trains on 4 GB."""

from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coursekit.core.config import DEFAULT_BACKBONE
from coursekit.core.files import make_folder, write_bytes
from coursekit.memory.budget import Constants, usable, verdict
from coursekit.memory.planner import FULL_COCO, SIZES
from coursekit.memory.predict_peak import predict
from coursekit.memory.step_config import GIB, KINDS, Peak, StepConfig

VRAM = 4.0
NAMES = {
    DEFAULT_BACKBONE: "EfficientNet-Lite0",
    "efficientnet_b0": "EfficientNet-B0",
    "efficientnet_b3": "EfficientNet-B3",
}
# The colors of Okabe and Ito are safe for color-blind readers; hatches tell the kinds apart without color.
STYLES = {
    "weights": ("#0072B2", ""),
    "gradients": ("#E69F00", "xx"),
    "optimizer": ("#CC79A7", ".."),
    "activations": ("#56B4E9", "//"),
    "rest": ("#F0E442", "\\\\"),
}
LABEL_BOX: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
GROUPS = {
    "B3 at 800 × 1333, built from timm and torchvision in the usual way": [
        StepConfig(
            "efficientnet_b3", SIZES[FULL_COCO], batch, precision, 0, channels=256, hidden=1024, folds_norm=False
        )
        for precision in ("fp32", "bf16")
        for batch in (1, 2)
    ],
    "the same, as the course builds it: batch norm folded, 96 channels": [
        StepConfig("efficientnet_b3", SIZES[FULL_COCO], batch, precision, 0)
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
    """Draw a bar per configuration with its peak memory by kind, and lines at the card's limits. Takes some seconds."""
    budget = usable(vram, constants or Constants())
    fig = Figure(figsize=(10.5, 5.6), layout="constrained")
    axes = fig.subplots()
    y, ticks = 0.0, []
    for title, configs in GROUPS.items():
        axes.text(0.06, y, title, fontsize=9, weight="bold", va="center", bbox=LABEL_BOX)
        for config in configs:
            y += 1
            ticks.append((y, _name(config)))
            _draw_bar(axes, y, predict(config), budget)
        y += 1.6
    axes.set_yticks(*zip(*ticks, strict=True), fontsize=9)
    _draw_limits(axes, vram, budget)
    axes.set(ylim=(y - 0.9, -0.6), xlim=(0, 9), xlabel="GiB held by tensors at the peak of a training step (predicted)")
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), loc="lower right", fontsize=9)
    return fig


def save_b3_picture(path: Path, constants: Constants | None = None) -> None:
    """Write the picture to a file; its suffix decides the format. See `b3_picture`.

    Raises:
        ConfigError: the file's folder can't be written to.
    """
    make_folder(path.parent)
    buffer = BytesIO()
    b3_picture(constants=constants).savefig(buffer, format=path.suffix[1:] or "png", dpi=120)
    write_bytes(path, buffer.getvalue())


def _draw_bar(axes: Axes, y: float, peak: Peak, budget: int) -> None:
    start = 0.0
    for kind in KINDS:
        width = getattr(peak, kind) / GIB
        color, hatch = STYLES[kind]
        axes.barh(y, width, 0.8, start, color=color, hatch=hatch, edgecolor="white", linewidth=0.5, label=kind)
        start += width
    axes.text(start + 0.06, y, f"{start:.1f}  {verdict(peak.total, budget)}", va="center", fontsize=9, bbox=LABEL_BOX)


def _draw_limits(axes: Axes, vram: float, budget: int) -> None:
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
