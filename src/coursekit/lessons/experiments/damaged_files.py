"""The damaged set under two loaders: one that stops, and one that skips and says what it skipped. Lesson 01."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coursekit.core.errors import DataError
from coursekit.data.boxes import xywh_to_xyxy

Record = Mapping[str, Any]
Collate = Callable[[list[tuple[Tensor, Any]]], tuple[Tensor, list[Any]]]


class Skipping(Dataset[tuple[Tensor, Any]]):
    """A data set in which the next readable sample takes the place of one that can't be read.

    The target says what was skipped, in a list "skipped". A counter here would be wrong: each worker process has its
    own copy of the data set.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        skipped: list[str] = []
        for step in range(len(self)):
            try:
                image, target = self.dataset[(index + step) % len(self)]
            except DataError as error:
                skipped.append(str(error))
            else:
                return image, {**target, "skipped": skipped}
        raise DataError("None of the images can be read.")


def count_until_error(dataset: Any) -> None:
    """Read samples in order until one raises an error, and print how many were read."""
    count = 0
    try:
        for count in range(len(dataset)):
            dataset[count]
    except Exception as error:  # whatever it is, it would have ended a training run
        print(f"{count} of {len(dataset)} samples, then {type(error).__name__}: {shortened(str(error), 90)}")
    else:
        print(f"all {len(dataset)} samples")


def load_all(dataset: Skipping, collate: Collate, batch_size: int = 4) -> int:
    """Load every batch of a data set; print how many samples there were and which files were skipped.

    Returns:
        The number of samples.
    """
    samples, skipped = 0, set()
    for _, targets in DataLoader(dataset, batch_size, collate_fn=collate):
        samples += len(targets)
        skipped |= {reason for target in targets for reason in target["skipped"]}
    print(f"{samples} samples; {len(skipped)} of {len(dataset)} files skipped:")
    for reason in sorted(skipped):
        print(f"  {_short(reason)}")
    return samples


def _short(reason: str) -> str:
    """Return a message that begins with a path, without the folders of that path, wherever they occur in it."""
    folder = re.match(r".*[/\\]", reason.split(": ", 1)[0])
    return shortened(reason.replace(folder[0], "") if folder else reason, 110)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters; if it is cut, it ends at a word, with "…"."""
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]} …"


def unusable_boxes(content: Mapping[str, Sequence[Record]], clean_boxes: Callable[..., Any]) -> None:
    """Print the annotations of a COCO file that can't be used, and why.

    Args:
        content: COCO's file: "images", "annotations".
        clean_boxes: the function to use, such as your own.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    reasons = [_reason(record, sizes, clean_boxes) for record in content["annotations"]]
    for record, reason in zip(content["annotations"], reasons, strict=True):
        if reason:
            print(f"annotation {record['id']}  {record['bbox']!s:28} {reason}")
    print(f"{len(reasons)} annotations, {reasons.count('')} of them usable")


def _reason(record: Record, sizes: Mapping[int, tuple[int, int]], clean_boxes: Callable[..., Any]) -> str:
    """Return why an annotation can't be used, or an empty text."""
    size = sizes.get(record["image_id"])
    if size is None:
        return "its image is not in the file, so the index left it out"
    box = xywh_to_xyxy(torch.tensor([record["bbox"]], dtype=torch.float32))
    if clean_boxes(box, size)[1].all():
        return ""
    if not box.isfinite().all():
        return "not a number"
    if (box[:, 2:] < box[:, :2]).any():
        return "negative width or height"
    return "no width or height" if (box[:, 2:] <= box[:, :2]).any() else "outside its image"
