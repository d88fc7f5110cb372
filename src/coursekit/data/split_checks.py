"""Whether a detector can be trained on one split and scored on another."""

from collections.abc import Callable, Sequence
from functools import partial

from coursekit.core.errors import DataError
from coursekit.data.categories import check_names, match_classes
from coursekit.data.index import CocoIndex
from coursekit.data.record_checks import counted


def check_splits(train: CocoIndex, val: CocoIndex | None = None) -> None:
    """Check that a detector can be trained on `train` and scored on `val`.

    Raises:
        DataError: one has no boxes, or their classes don't match.
    """
    if problems := split_problems([train] if val is None else [train, val]):
        raise DataError("\n".join(problems))


def split_problems(splits: Sequence[CocoIndex]) -> list[str]:
    """Return what keeps these splits from being used together, a sentence each. The first one is trained on."""
    checks: list[Callable[[], object]] = [partial(check_names, split) for split in splits[:1]]
    checks += [split.require_boxes for split in splits]
    checks += [partial(match_classes, split, splits[0].categories) for split in splits[1:]]
    problems: dict[str, None] = {}  # each once: splits may come from one file
    for check in checks:
        try:
            check()
        except DataError as error:
            problems[str(error)] = None
    return list(problems)


def record_problems(splits: Sequence[CocoIndex]) -> list[str]:
    """Return the problems of the records: as `split_problems`, and a sentence for each file with faulty records."""
    faulty = {split.path: split.faults for split in splits if split.faults}
    counts = [f"{path}: records that can't be used: {counted(faults)}" for path, faults in faulty.items()]
    return counts + split_problems(splits)
