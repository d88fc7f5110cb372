"""The report's pictures, each with its alt text."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from coursekit.report.facts import Facts, Score, Training
from coursekit.show import loss_curves
from coursekit.show.colors import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from coursekit.show.error_pictures import error_bars
from coursekit.show.figures import plain_text
from coursekit.show.gallery import gallery, readable
from coursekit.show.precision_recall import precision_recall_curves

LOOKS = {
    "data": (VERMILION, "//"),
    "copy": (PURPLE, ".."),
    "forward": (BLUE, ""),
    "backward": (ORANGE, "\\\\"),
    "optimizer": (GREEN, "xx"),
    "step": (BLUE, ""),
}
MAX_CLASSES = 30


def pictures(facts: Facts) -> Iterator[tuple[str, Figure, str]]:
    """Yield the name, figure and alt text of each picture."""
    yield ("losses", *_losses(facts.training))
    if facts.training.epochs:
        yield ("score-by-epoch", *_by_epoch(facts.training))
    yield ("time", *_time(facts.training))
    yield ("classes", *_classes(facts.score))
    yield from _of_errors(facts.score)


def _losses(training: Training) -> tuple[Figure, str]:
    steps = training.steps
    losses = {name: [step["losses"][name] for step in steps] for name in steps[0]["losses"]}
    fig = loss_curves([step["step"] for step in steps], losses, [step["lr"] for step in steps])
    ends = ", ".join(f"{name} {values[0]:.2f} to {values[-1]:.2f}" for name, values in losses.items())
    return fig, f"Losses over {len(steps)} steps: {ends}; beside them the learning rate."


def _by_epoch(training: Training) -> tuple[Figure, str]:
    fig = Figure(figsize=(6, 2.8), layout="constrained")
    axes = fig.subplots()
    epochs = [epoch["epoch"] + 1 for epoch in training.epochs]
    for name, color, marker, style in (("AP50", ORANGE, "s", "dashed"), ("AP", BLUE, "o", "solid")):
        values = [epoch[name] for epoch in training.epochs]
        axes.plot(epochs, values, color=color, marker=marker, linestyle=style, label=name)
    axes.set(xlabel="epoch", ylabel="score on the validation set", ylim=(0, None))
    axes.set_xticks(epochs)
    axes.legend()
    last = training.epochs[-1]
    return fig, f"AP and AP50 by epoch; after the last, AP {last['AP']:.3f} and AP50 {last['AP50']:.3f}."


def _time(training: Training) -> tuple[Figure, str]:
    fig = Figure(figsize=(8, 1.6), layout="constrained")
    axes = fig.subplots()
    total, start = sum(training.phases.values()) or 1.0, 0.0
    for name, seconds in training.phases.items():
        color, hatch = LOOKS[name]
        axes.barh(0, seconds, left=start, color=color, hatch=hatch, edgecolor="white",
                  label=f"{name} {seconds / total:.0%}")  # fmt: skip
        start += seconds
    axes.set(yticks=[], xlabel="seconds of training")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8)
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in training.phases.items())
    return fig, f"Where the time went: {shares} of {total:.0f} s."


def _classes(score: Score) -> tuple[Figure, str]:
    """Draw the AP of each class; if there are more than MAX_CLASSES, of the best and the worst."""
    known = sorted((row for row in score.scores.per_class if row.AP >= 0), key=lambda row: row.AP)
    if len(known) > MAX_CLASSES:
        known = known[: MAX_CLASSES // 2] + known[-MAX_CLASSES // 2 :]
    fig = Figure(figsize=(7, 0.8 + 0.24 * len(known)), layout="constrained")
    axes = fig.subplots()
    axes.barh(range(len(known)), [row.AP for row in known], color=BLUE)
    axes.set_yticks(range(len(known)), [plain_text(f"{row.name} ({row.boxes})") for row in known])
    axes.set(xlabel="AP, mean over IoU 0.50 to 0.95", title="AP by class (boxes in the validation set)", xlim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    named = f"best {known[-1].name} {known[-1].AP:.2f}, worst {known[0].name} {known[0].AP:.2f}" if known else "none"
    return fig, f"AP of {len(known)} classes: {named}."


def _of_errors(score: Score) -> Iterator[tuple[str, Figure, str]]:
    if score.errors is None:
        return
    curves = precision_recall_curves(score.scores.curves)
    yield "precision-recall", curves, "Precision by recall at IoU 0.5, one line per class."
    costs = ", ".join(f"{name} {kind.cost:.3f}" for name, kind in score.errors.kinds.items())
    yield "errors", error_bars(score.errors), f"What each kind of error costs in AP50: {costs}."
    for name, image_ids in (("best", score.best), ("worst", [image_id for image_id, _ in score.worst])):
        if shown := readable(score.dataset, image_ids, len(image_ids)):
            figure = gallery(score.dataset, score.results, shown, columns=1)
            yield name, figure, f"The {name} images: ground truth beside prediction."
