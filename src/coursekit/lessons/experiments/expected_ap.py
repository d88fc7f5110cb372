"""Which AP to expect: what this course's code has reached on unseen images, and what nobody has measured yet."""

from dataclasses import dataclass

from coursekit.data.subsets.recipe import names


@dataclass(frozen=True)
class Measured:
    """A run that was measured, on two CPU cores.

    Attributes:
        data: what it was trained on: a recipe, or photographs of COCO.
        training: how long, in words.
        ap: COCO's AP; None where only AP50 was recorded.
        ap50: COCO's AP50.
    """

    data: str
    training: str
    ap: float | None
    ap50: float


MEASURED = (  # docs/log.md says how
    Measured("mini, 200 scenes", "lesson 07: 3 epochs at 256 px, frozen backbone", 0.17, 0.41),
    Measured("mini", "coursekit demo: 8 epochs at 320 px, frozen backbone", 0.373, 0.69),
    Measured("117 photographs of people", "14 epochs at 320 px", None, 0.08),
    Measured("129 photographs, all 80 classes", "20 epochs at 320 px", 0.005, 0.02),
)


def print_expected() -> None:
    """Print what was measured, and which recipes were not."""
    print(f"{'trained on':32} {'for':48} {'AP':>6} {'AP50':>5}")
    for run in MEASURED:
        ap = "–" if run.ap is None else f"{run.ap:.3f}"
        print(f"{run.data:32} {run.training:48} {ap:>6} {run.ap50:5.2f}")
    print(f"recipes of photographs (lesson 10) that aren't measured yet: {', '.join(unmeasured())}")


def unmeasured() -> list[str]:
    """Return the names of the recipes that nobody has measured."""
    return [name for name in names() if not any(run.data.split(",")[0] == name for run in MEASURED)]
