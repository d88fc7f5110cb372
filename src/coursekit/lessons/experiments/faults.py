"""Faults planted in detections: what they do to the score, what `diagnose` says, and what they look like."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import coursekit.show as show
from coursekit.data import CocoDataset
from coursekit.data.boxes import xywh_to_xyxy
from coursekit.evaluation import Result, diagnose, evaluate, score

Fault = Callable[[Any], Any]  # one record → the record with the fault
MOST_DRAWN = 6
WIDTH = 100  # characters


def spoil(results: list[Result], fault: Fault) -> list[Result]:
    """Return the results with a fault in each record. The records given stay as they are."""
    return [fault(dict(record)) for record in results]


def show_faults(
    results: list[Result], dataset: CocoDataset, position: int, faults: Mapping[str, Fault], *, most: int = MOST_DRAWN
) -> None:
    """Show the most confident boxes of one image as COCO reads them after each fault.

    Args:
        results: detections in COCO's format.
        dataset: has the image.
        position: of the image in the data set.
        faults: name → the fault.
        most: how many boxes to draw.
    """
    image_id = dataset.image_ids[position]
    here = sorted((record for record in results if record["image_id"] == image_id), key=lambda r: -r["score"])[:most]
    names = [dataset.classes[dataset.category_ids.index(record["category_id"])] for record in here]
    show.misplaced_boxes(
        dataset[position][0], {name: _boxes(spoil(here, fault)) for name, fault in faults.items()}, names
    )


def diagnose_faults(results: list[Result], dataset: CocoDataset, faults: Mapping[str, Fault], guess: str) -> None:
    """Print AP50 and the causes that `diagnose` names, without a fault and with each.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        faults: name → the fault.
        guess: which of them the reader expects to leave most of the score.
    """
    width = max(map(len, faults))
    print(f"{'planted':{width}}  AP50   diagnose() names")
    print(f"{'nothing':{width}}  {score(results, dataset)['AP50']:.3f}  {_causes(results, dataset)}")
    left = {}
    for name, fault in faults.items():
        wrong = spoil(results, fault)
        left[name] = score(wrong, dataset)["AP50"]
        print(f"{name:{width}}  {left[name]:.3f}  {_causes(wrong, dataset)}")
    print(f"mildest: {max(left, key=lambda name: left[name])}; you said {guess}")


def print_findings(results: list[Result], dataset: CocoDataset, classes: Sequence[str] = ()) -> None:
    """Print what `diagnose` finds, with its evidence and its cure."""
    findings = diagnose(results, dataset, classes=classes)
    for finding in findings:
        print(textwrap.fill(str(finding), WIDTH, initial_indent="  ", subsequent_indent="  "))
    if not findings:
        print("  diagnose() finds nothing wrong.")


def explain_all(strange: Mapping[str, list[Result]], dataset: CocoDataset, guess: str = "") -> None:
    """Print AP50 of each list of results, and what `diagnose` finds in it; then the reader's guess about the last."""
    for name, results in strange.items():
        print(f"{name}: AP50 {score(results, dataset)['AP50']:.3f}")
        print_findings(results, dataset)
    if guess:
        print(f"you said: {guess}")


def mend_all(
    results: list[Result], dataset: CocoDataset, faults: Mapping[str, Fault], mend: Callable[[list[Result], str], Any]
) -> None:
    """Print the AP with each fault, and after it was mended.

    Args:
        results: detections in COCO's format.
        dataset: has the ground truth.
        faults: name → the fault.
        mend: takes spoiled results and the name of the fault.
    """
    print(f"AP without a fault: {score(results, dataset)['AP']:.4f}")
    width = max(map(len, faults))
    for name, fault in faults.items():
        wrong = spoil(results, fault)
        before, after = (score(some, dataset)["AP"] for some in (wrong, mend(wrong, name)))
        print(f"{name:{width}}  AP {before:.4f} → {after:.4f}")


def mean_with_minus_1(results: list[Result], dataset: CocoDataset) -> None:
    """Print the classes whose AP is -1, and the mean over classes with and without them."""
    per_class = evaluate(results, dataset).per_class
    absent, there = ([row for row in per_class if (row.AP < 0) == is_absent] for is_absent in (True, False))
    print(f"-1: {', '.join(row.name for row in absent[:5]) or 'no class'}{' …' if len(absent) > 5 else ''}")
    print(f"mean of all classes:      {_mean([row.AP for row in per_class]):.3f}, with the -1 in it")
    print(f"mean of those that exist: {_mean([row.AP for row in there]):.3f}")
    if absent:
        print_findings(results, dataset, [absent[0].name])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _causes(results: list[Result], dataset: CocoDataset) -> str:
    return ", ".join(finding.cause for finding in diagnose(results, dataset)) or "nothing"


def _boxes(records: list[Result]) -> Tensor:
    return xywh_to_xyxy(torch.tensor([record["bbox"] for record in records], dtype=torch.float32).reshape(-1, 4))
