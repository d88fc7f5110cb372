"""A COCO folder as a torch data set of images and their boxes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from PIL import Image as PILImage
from PIL import ImageOps
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.data import recipe as recipes
from coursekit.data.boxes import xywh_to_xyxy
from coursekit.data.records import Annotation, Category, Image, read_records
from coursekit.data.render import build_scenes
from coursekit.errors import DataError, SettingError
from coursekit.files import shipped


class Target(TypedDict):
    """What stands in one image. Boxes are xyxy in its pixels; labels run from 1, because 0 is the background."""

    boxes: Tensor  # (N, 4) float32
    labels: Tensor  # (N,) int64
    crowd_boxes: Tensor  # (M, 4) float32: regions with many objects, nothing to train on
    image_id: int


@dataclass(frozen=True)
class CocoDataset(Dataset[tuple[Tensor, Target]]):
    """Images (3, H, W) uint8 of one split with their targets. Images with no boxes are part of it.

    Attributes:
        name: what the user called the data.
        images: the records in the order of the file, one a sample.
        annotations: the image's id → its records.
        categories: label - 1 → class; sorted by COCO's id.
        image_folder, annotation_file: where the split lies.
    """

    name: str
    images: list[Image]
    annotations: dict[int, list[Annotation]]
    categories: list[Category]
    image_folder: Path
    annotation_file: Path

    @property
    def classes(self) -> list[str]:
        """Names of the classes; label 1 is the first of them."""
        return [category.name for category in self.categories]

    @property
    def category_ids(self) -> list[int]:
        """COCO's ids of the classes: label → id is `category_ids[label - 1]`."""
        return [category.id for category in self.categories]

    @property
    def image_ids(self) -> list[int]:
        """COCO's ids of the images, in the order of the samples."""
        return [image.id for image in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        image = self.images[index]
        return read_image(self.path(index), (image.width, image.height)), self.target(index)

    def path(self, index: int) -> Path:
        """The file of a sample."""
        return self.image_folder / self.images[index].file_name

    def target(self, index: int) -> Target:
        """The target of a sample, without reading its image."""
        records = [record for record in self.annotations[self.images[index].id] if _has_extent(record)]
        singles = [record for record in records if not record.iscrowd]
        label_of = {category.id: label for label, category in enumerate(self.categories, start=1)}
        return {
            "boxes": _boxes(singles),
            "labels": torch.tensor([label_of[record.category_id] for record in singles], dtype=torch.int64),
            "crowd_boxes": _boxes([record for record in records if record.iscrowd]),
            "image_id": self.images[index].id,
        }

    def first(self, count: int) -> "CocoDataset":
        """The first `count` images that have something to find in them.

        Raises:
            SettingError: `count` is not positive, or there are not that many.
        """
        if count < 1:
            raise SettingError(f"{count} images: take at least 1.")
        found = [
            image for image in self.images if any(not a.iscrowd and _has_extent(a) for a in self.annotations[image.id])
        ]
        if len(found) < count:
            raise SettingError(f"{self.annotation_file}: {count} images with boxes wanted, {len(found)} there.")
        return replace(self, images=found[:count])


def load(name_or_dir: str | Path, split: str) -> CocoDataset:
    """One split of a data set: a recipe's name such as "mini", or a folder laid out as COCO is.

    Args:
        name_or_dir: a folder holds `annotations/instances_{split}2017.json` and the images in `{split}2017/`.
        split: "train" or "val".

    Raises:
        DataError: the folder, the annotation file or an image is missing, or the file is not sound.
        SettingError: no recipe has that name.
    """
    folder = _find_folder(name_or_dir)
    annotation_file = folder / "annotations" / f"instances_{split}2017.json"
    records = read_records(annotation_file)
    image_folder = folder / f"{split}2017"
    _check_files(annotation_file, image_folder, records.images)
    annotations: dict[int, list[Annotation]] = {image.id: [] for image in records.images}
    for annotation in records.annotations:
        annotations[annotation.image_id].append(annotation)
    return CocoDataset(
        name=str(name_or_dir),
        images=records.images,
        annotations=annotations,
        categories=sorted(records.categories, key=lambda category: category.id),
        image_folder=image_folder,
        annotation_file=annotation_file,
    )


def read_image(path: Path, size: tuple[int, int]) -> Tensor:
    """Read an image file of any mode.

    Args:
        path: a file that Pillow can read.
        size: width and height in pixels that the record promises.

    Returns:
        (3, H, W) uint8 RGB, turned upright where the file asks for it.

    Raises:
        DataError: the file is missing, damaged, or of another size than promised.
    """
    try:
        with PILImage.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")
    except FileNotFoundError:
        raise DataError(f"{path}: the image is missing. Fetch it again, or remove its record.") from None
    except (OSError, SyntaxError, ValueError, PILImage.DecompressionBombError) as error:
        raise DataError(f"{path}: the image is damaged ({error}). Fetch it again, or remove its record.") from None
    if picture.size != size:
        raise DataError(
            f"{path}: the image is {picture.size[0]}×{picture.size[1]}, its record says {size[0]}×{size[1]}."
        )
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def collate(samples: list[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Samples as a list of images and a list of targets: images differ in size, so they can't be stacked here."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def _find_folder(name_or_dir: str | Path) -> Path:
    folder = Path(name_or_dir).expanduser()
    if folder.is_dir():
        return folder
    if str(name_or_dir) in recipes.names():
        return build_scenes(recipes.read_recipe(shipped("data_subsets") / f"{name_or_dir}.toml"))
    known = ", ".join(recipes.names())
    raise DataError(f"{name_or_dir}: no such folder, and no recipe of that name. Recipes: {known}.")


def _check_files(annotation_file: Path, image_folder: Path, images: list[Image]) -> None:
    if not image_folder.is_dir():
        raise DataError(f"{image_folder}: no such folder. The images of {annotation_file.name} belong there.")
    present = {path.name for path in image_folder.iterdir()}
    for image in images:
        if Path(image.file_name).name != image.file_name or image.file_name in ("", ".", ".."):
            raise DataError(f"{annotation_file}: file name {image.file_name!r} of image {image.id} leaves its folder.")
    missing = [image.file_name for image in images if image.file_name not in present]
    if missing:
        raise DataError(
            f"{image_folder / missing[0]}: the image is missing (with {len(missing) - 1} more of {len(images)}). "
            f"Fetch what {annotation_file.name} lists, or remove the records."
        )


def _has_extent(record: Annotation) -> bool:
    return record.bbox[2] > 0 and record.bbox[3] > 0


def _boxes(records: list[Annotation]) -> Tensor:
    xywh = torch.tensor([record.bbox for record in records], dtype=torch.float32).reshape(-1, 4)
    return xywh_to_xyxy(xywh)
