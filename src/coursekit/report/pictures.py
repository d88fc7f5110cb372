"""The report's pictures, each with its alt text."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from coursekit.report.facts import Facts, Score, Training
from coursekit.show import loss_curves
from coursekit.show.error_pictures import curves_picture, error_bars, gallery
from coursekit.show.pictures import BLUE, GREEN, ORANGE, PURPLE, VERMILION

LOOKS = {
    "data": (VERMILION, "//"),
    "copy": (PURPLE, ".."),
    "forward": (BLUE, ""),
    "backward": (ORANGE, "\\\\"),
    "optimizer": (GREEN, "xx"),
}
MOST_CLASSES = 30


def pictures(facts: Facts) -> Iterator[tuple[str, Figure, str]]:
    """Name, figure and alt text of each."""
    yield ("losses", *_losses(facts.training))
    if facts.training.epochs:
        yield ("score-by-epoch", *_by_epoch(facts.training))
    yield ("time", *_time(facts.training))
    yield ("classes", *_classes(facts.score))
    yield from _of_errors(facts.score)


def _losses(training: Training) -> tuple[Figure, str]:
    steps = training.steps
    losses = {name: [one["losses"][name] for one in steps] for name in steps[0]["losses"]}
    fig = loss_curves([one["step"] for one in steps], losses, [one["lr"] for one in steps])
    ends = ", ".join(f"{name} {values[0]:.2f} to {values[-1]:.2f}" for name, values in losses.items())
    return fig, f"Losses over {len(steps)} steps: {ends}; beside them the learning rate."


def _by_epoch(training: Training) -> tuple[Figure, str]:
    fig = Figure(figsize=(6, 2.8), layout="constrained")
    axes = fig.subplots()
    epochs = [one["epoch"] + 1 for one in training.epochs]
    for name, colour, mark, style in (("AP50", ORANGE, "s", "dashed"), ("AP", BLUE, "o", "solid")):
        values = [one[name] for one in training.epochs]
        axes.plot(epochs, values, color=colour, marker=mark, linestyle=style, label=name)
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
        colour, hatch = LOOKS[name]
        axes.barh(0, seconds, left=start, color=colour, hatch=hatch, edgecolor="white",
                  label=f"{name} {seconds / total:.0%}")  # fmt: skip
        start += seconds
    axes.set(yticks=[], xlabel="seconds of the whole training")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8)
    shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in training.phases.items())
    return fig, f"Where the time went: {shares} of {total:.0f} s."


def _classes(score: Score) -> tuple[Figure, str]:
    """AP by class; of more than MOST_CLASSES the best and the worst."""
    known = sorted((one for one in score.scores.per_class if one.AP >= 0), key=lambda one: one.AP)
    if len(known) > MOST_CLASSES:
        known = known[: MOST_CLASSES // 2] + known[-MOST_CLASSES // 2 :]
    fig = Figure(figsize=(7, 0.8 + 0.24 * len(known)), layout="constrained")
    axes = fig.subplots()
    axes.barh([f"{one.name} ({one.boxes})" for one in known], [one.AP for one in known], color=BLUE)
    axes.set(xlabel="AP, mean over IoU 0.50 to 0.95", title="AP by class (boxes in the validation set)", xlim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    named = f"best {known[-1].name} {known[-1].AP:.2f}, worst {known[0].name} {known[0].AP:.2f}" if known else "none"
    return fig, f"AP of {len(known)} classes: {named}."


def _of_errors(score: Score) -> Iterator[tuple[str, Figure, str]]:
    if score.errors is None:
        return
    yield "precision-recall", curves_picture(score.scores.curves), "Precision by recall at IoU 0.5, a line a class."
    costs = ", ".join(f"{name} {kind.cost:.3f}" for name, kind in score.errors.kinds.items())
    yield "errors", error_bars(score.errors), f"What each kind of error costs in AP50: {costs}."
    if not score.dataset.image_folder.is_dir():
        return
    if score.best:
        yield "best", gallery(score.dataset, score.results, score.best), "The best images: truth beside prediction."
    if score.worst:
        shown = [image_id for image_id, _ in score.worst]
        yield "worst", gallery(score.dataset, score.results, shown), "The worst images: truth beside prediction."
