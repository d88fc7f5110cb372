"""The plain loader that lesson 01 builds, in pieces of a dozen lines: Python lists, Pillow, one file at a time.

`coursekit.data` has functions of the same names that do more, and faster. `CocoIndex` keeps flat arrays, which loader
workers share, and names every faulty record. `coursekit.data.images.read_image` also compares the size with the record,
and decodes a sound JPEG in two thirds of Pillow's time, into memory that it is given. The fast `CocoDataset` selects,
and knows decoded pixels. The fast `collate` leaves images as a list, because the detector pads them itself.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.core.errors import DataError
from coursekit.data.boxes import Target, clean_boxes, xywh_to_xyxy

Record = dict[str, Any]


def index_annotations(content: dict[str, list[Record]]) -> tuple[dict[int, list[Record]], dict[int, int]]:
    """Annotations by image, and labels by category.

    Args:
        content: COCO's annotation file, as `json` reads it: "images", "annotations", "categories".

    Returns:
        Image id → its annotations, in the order of the file. Every image of the file is there in the file's order, also
        one without annotations; annotations of an image that is not in the file are left out. And category id → label:
        1 for the lowest id, 2 for the next, without gaps; 0 is the background.
    """
    by_image: dict[int, list[Record]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] in by_image:
            by_image[annotation["image_id"]].append(annotation)
    ids = sorted(category["id"] for category in content["categories"])
    return by_image, {category_id: label for label, category_id in enumerate(ids, start=1)}


def read_image(path: Path) -> Tensor:
    """Read an image file of any kind and mode that Pillow knows.

    Args:
        path: of the file. Its ending says nothing.

    Returns:
        (3, H, W) uint8 RGB, turned upright where an EXIF tag asks for it.

    Raises:
        DataError: the file is missing, damaged, no image, or claims to be enormous; with its name and the reason.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")  # this decodes all of it
    except Exception as error:  # damaged files reach corners of decoders that nobody has listed
        raise DataError(f"{path}: can't be read ({type(error).__name__}: {error})") from error
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


class CocoDataset(Dataset[tuple[Tensor, Target]]):
    """Images of a COCO folder, each with its target. Images without boxes are part of it.

    Args:
        annotation_file: COCO's JSON.
        image_folder: where the images lie.

    Attributes:
        classes: names; label 1 is the first.
    """

    def __init__(self, annotation_file: Path, image_folder: Path) -> None:
        content = json.loads(annotation_file.read_text(encoding="utf-8"))
        self.images, self.folder = content["images"], image_folder
        self.annotations, self.label_of = index_annotations(content)
        names = {category["id"]: category["name"] for category in content["categories"]}
        self.classes = [names[category_id] for category_id in self.label_of]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        return read_image(self.folder / self.images[index]["file_name"]), self.target(index)

    def target(self, index: int) -> Target:
        """The target of a sample, without reading its image; boxes that can't be used are left out."""
        record = self.images[index]
        found = self.annotations[record["id"]]
        raw = torch.tensor([one["bbox"] for one in found], dtype=torch.float32).reshape(-1, 4)
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found], dtype=torch.int64)
        is_crowd = torch.tensor([one.get("iscrowd", 0) for one in found], dtype=torch.bool)
        boxes, keep = clean_boxes(xywh_to_xyxy(raw), (record["height"], record["width"]))
        labels, is_crowd = labels[keep], is_crowd[keep]
        return {
            "boxes": boxes[~is_crowd],
            "labels": labels[~is_crowd],
            "crowd_boxes": boxes[is_crowd],
            "image_id": record["id"],
        }


def collate(samples: Sequence[tuple[Tensor, Target]], stride: int = 32) -> tuple[Tensor, list[Target]]:
    """Samples as one batch: images of different sizes are filled up with zeros, right and below.

    Args:
        samples: images (C, H, W) of one dtype, each with its target.
        stride: height and width of the batch are multiples of it: a backbone halves them five times.

    Returns:
        (B, C, H, W) of the images' dtype, as small as can be; and the targets as they are: no box has moved.
    """
    images, targets = zip(*samples, strict=True)
    height, width = (-(-max(image.shape[side] for image in images) // stride) * stride for side in (1, 2))
    batch = images[0].new_zeros(len(images), len(images[0]), height, width)
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch, list(targets)
