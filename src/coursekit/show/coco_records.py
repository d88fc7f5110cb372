"""COCO's records as they are in the file: how many per image, which ids, and some images with theirs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from coursekit.data.boxes import xywh_to_xyxy
from coursekit.data.read_images import to_tensor
from coursekit.show.colors import BLUE, ORANGE
from coursekit.show.figures import figure
from coursekit.show.image_row import image_row

Record = Mapping[str, Any]


def annotation_counts(content: Mapping[str, Sequence[Record]]) -> None:
    """Show how many annotations the images of a COCO file have, and which ids its categories have."""
    figure(*annotation_counts_picture(content))


def annotation_counts_picture(content: Mapping[str, Sequence[Record]]) -> tuple[Figure, str]:
    """Draw what `annotation_counts` shows. Return the figure and its alt text."""
    found = Counter(record["image_id"] for record in content["annotations"])
    counts = [found[image["id"]] for image in content["images"]]
    ids = sorted(category["id"] for category in content["categories"])
    fig = Figure(figsize=(10, 3), layout="constrained")
    left, right = fig.subplots(1, 2)
    _draw_counts(left, counts)
    right.plot(range(1, len(ids) + 1), ids, "o", color=BLUE, markersize=4, label="COCO's id")
    right.plot(range(1, len(ids) + 1), range(1, len(ids) + 1), color="gray", linestyle=":", label="without gaps")
    right.set(xlabel="category: the first, the second, …", ylabel="category id")
    right.legend(fontsize=8)
    none = counts.count(0)
    words = f"{none} images have none, the fullest has {max(counts)}"
    return fig, f"Left, annotations per image: {words}. Right, {len(ids)} category ids from {ids[0]} to {ids[-1]}."


def _draw_counts(axes: Axes, counts: list[int]) -> None:
    axes.bar(range(1, max(counts) + 1), np.bincount(counts)[1:], color=BLUE)
    axes.bar([0], [counts.count(0)], color=ORANGE, hatch="//", edgecolor="white", label="no annotations")
    axes.set(xlabel="annotations of an image", ylabel="images")
    axes.legend(fontsize=8)


def coco_images(
    image_folder: Path,
    content: Mapping[str, Sequence[Record]],
    by_image: Mapping[int, Sequence[Record]],
    ids: Iterable[int],
) -> None:
    """Show some images with their annotations as they are in the file; crowds are hatched.

    Args:
        image_folder: folder of the image files.
        content: COCO's file: "images", "categories".
        by_image: image id → its annotations.
        ids: which images.
    """
    names = {category["id"]: category["name"] for category in content["categories"]}
    files = {image["id"]: image["file_name"] for image in content["images"]}
    panels: dict[str, Any] = {}
    for id_ in ids:
        with Image.open(image_folder / files[id_]) as file:
            pixels = to_tensor(ImageOps.exif_transpose(file).convert("RGB"))
        panels[f"image {id_}: {_counted(by_image[id_])}"] = (pixels, *_target(by_image[id_], names))
    image_row(panels, "Images with their boxes; crowds are hatched regions.")


def _counted(records: Sequence[Record]) -> str:
    crowds = sum(bool(record.get("iscrowd")) for record in records)
    counts = {"object": len(records) - crowds, "crowd": crowds}
    return ", ".join(f"{count} {word}{'s' * (count != 1)}" for word, count in counts.items())


def _target(records: Sequence[Record], names: Mapping[int, str]) -> tuple[dict[str, Any], list[str]]:
    """Return records as a target, and the names of its labels."""
    boxes = xywh_to_xyxy(torch.tensor([record["bbox"] for record in records], dtype=torch.float32).reshape(-1, 4))
    crowd = torch.tensor([bool(record.get("iscrowd")) for record in records], dtype=torch.bool)
    single = [names[record["category_id"]] for record in records if not record.get("iscrowd")]
    labels = torch.arange(1, len(single) + 1)
    return {"boxes": boxes[~crowd], "labels": labels, "crowd_boxes": boxes[crowd]}, single
