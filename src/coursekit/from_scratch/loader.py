"""The plain loader that lesson 01 builds, in functions of a dozen lines: Python lists, Pillow, one file at a time.

`coursekit.data` has functions of the same names that do more, and faster. `CocoIndex` keeps flat arrays, which loader
workers share, and names every faulty record. `coursekit.data.read_images.read_image` also compares the size with the
record, and decodes an intact JPEG in two thirds of Pillow's time, into memory that it is given. The fast `CocoDataset`
can select images, and read decoded pixels. The fast `collate` leaves images as a list, because the detector pads them.
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
    """Group annotations by image, and map categories to labels.

    Args:
        content: COCO's annotation file as `json` reads it: "images", "annotations", "categories".

    Returns:
        Image id → its annotations, in the order of the file. All images of the file are there, in the file's order,
        even without annotations. Annotations of an image that isn't in the file are left out. And category id → label:
        1 for the lowest id, 2 for the next, without gaps; 0 is the background.
    """
    by_image: dict[int, list[Record]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        if annotation["image_id"] in by_image:
            by_image[annotation["image_id"]].append(annotation)
    ids = sorted(category["id"] for category in content["categories"])
    return by_image, {category_id: label for label, category_id in enumerate(ids, start=1)}


def read_image(path: Path) -> Tensor:
    """Read an image file of any format and mode that Pillow knows.

    Args:
        path: path of the file. Its extension doesn't matter.

    Returns:
        (3, H, W) uint8 RGB, turned upright if an EXIF tag says so.

    Raises:
        DataError: the file is missing, damaged, no image, or claims to be enormous. The message names it and says why.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")  # this decodes all of it
    except Exception as error:  # damaged files fail deep in the decoders, with errors that nobody has listed
        raise DataError(
            f"{path}: can't be read ({type(error).__name__}: {error}). Fetch it again, or remove its record."
        ) from error
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


class CocoDataset(Dataset[tuple[Tensor, Target]]):
    """The images of a COCO folder with their targets, including images without boxes.

    Args:
        annotation_file: COCO's JSON.
        image_folder: the folder of the image files.

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
        """Return the target of a sample without reading its image. Boxes that can't be used are left out."""
        image = self.images[index]
        annotations = self.annotations[image["id"]]
        raw = torch.tensor([record["bbox"] for record in annotations], dtype=torch.float32).reshape(-1, 4)
        labels = torch.tensor([self.label_of[record["category_id"]] for record in annotations], dtype=torch.int64)
        is_crowd = torch.tensor([record.get("iscrowd", 0) for record in annotations], dtype=torch.bool)
        boxes, keep = clean_boxes(xywh_to_xyxy(raw), (image["height"], image["width"]))
        labels, is_crowd = labels[keep], is_crowd[keep]
        return {
            "boxes": boxes[~is_crowd],
            "labels": labels[~is_crowd],
            "crowd_boxes": boxes[is_crowd],
            "image_id": image["id"],
        }


def collate(samples: Sequence[tuple[Tensor, Target]], stride: int = 32) -> tuple[Tensor, list[Target]]:
    """Pad images of different sizes with zeros on the right and at the bottom, and stack them into one batch.

    Args:
        samples: images (C, H, W) of one dtype, each with its target.
        stride: the batch's height and width are multiples of this; 32 because a backbone halves them five times.

    Returns:
        The batch, (B, C, H, W) of the images' dtype, as small as possible, and the unchanged targets: no box has moved.
    """
    images, targets = zip(*samples, strict=True)
    height, width = (-(-max(image.shape[side] for image in images) // stride) * stride for side in (1, 2))
    batch = images[0].new_zeros(len(images), len(images[0]), height, width)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch, list(targets)
