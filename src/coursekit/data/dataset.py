"""A COCO folder as a torch data set of images and their boxes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from coursekit.data import recipe as recipes
from coursekit.data.boxes import clean_boxes, xywh_to_xyxy
from coursekit.data.images import MAX_PIXELS, read_image
from coursekit.data.index import CocoIndex, Rows, nearest
from coursekit.data.records import Category
from coursekit.errors import DataError, SettingError

if TYPE_CHECKING:
    from coursekit.data.pixels import Pixels


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
        index: the records.
        rows: (len,) which of the index's images the samples are.
        image_folder: where the files lie.
        pixels: the images decoded, see `with_pixels`.
    """

    name: str
    index: CocoIndex
    rows: Rows
    image_folder: Path
    pixels: "Pixels | None" = None

    @property
    def categories(self) -> list[Category]:
        """The classes, sorted by COCO's id."""
        return self.index.categories

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
        ids: list[int] = self.index.image_ids[self.rows].tolist()
        return ids

    @property
    def annotation_file(self) -> Path:
        """Where the records come from."""
        return self.index.path

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Target]:
        return self.read(index)

    def read(self, index: int, out: NDArray[np.uint8] | None = None) -> tuple[Tensor, Target]:
        """A sample, its image in the memory of `out`, where that is given: at least `3 * most_pixels()` bytes."""
        row, size = int(self.rows[index]), self.size(index)
        decoded = self.pixels.read(row, size, out) if self.pixels else None
        return read_image(self.path(index), size, out) if decoded is None else decoded, self.target(index)

    def most_pixels(self) -> int:
        """The area of the largest image that is no bomb."""
        areas = (self.index.widths * self.index.heights)[self.rows]
        return int(areas[areas <= MAX_PIXELS].max(initial=0))

    def path(self, index: int) -> Path:
        """The file of a sample."""
        return self.image_folder / str(self.index.file_names[self.rows[index]])

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in pixels of a sample's image, as recorded."""
        row = self.rows[index]
        return int(self.index.widths[row]), int(self.index.heights[row])

    def target(self, index: int) -> Target:
        """The target of a sample, without reading its image. Boxes with no extent in the image are left out."""
        row = int(self.rows[index])
        boxes = self.index.boxes[self.index.rows_of(row)]
        labels = np.searchsorted(self.category_ids, self.index.category_ids[self.index.rows_of(row)]) + 1
        is_crowd = self.index.is_crowd[self.index.rows_of(row)]
        size = int(self.index.heights[row]), int(self.index.widths[row])
        xyxy, keep = clean_boxes(xywh_to_xyxy(torch.from_numpy(boxes.astype(np.float32))), size)
        crowd = torch.from_numpy(is_crowd)[keep]
        return {
            "boxes": xyxy[~crowd],
            "labels": torch.from_numpy(labels)[keep][~crowd],
            "crowd_boxes": xyxy[crowd],
            "image_id": int(self.index.image_ids[row]),
        }

    def degenerate_boxes(self) -> int:
        """How many boxes of these images have no width or no height, and so are left out of the targets."""
        flat: Any = (self.index.boxes[:, 2:] <= 0).any(axis=1)
        return int(flat[np.isin(self.index.image_rows, self.rows)].sum())

    def head(self, count: int) -> "CocoDataset":
        """The first `count` images, or all where there are fewer."""
        return replace(self, rows=self.rows[:count])

    def first(self, count: int) -> "CocoDataset":
        """The first `count` images that have something to find in them.

        Raises:
            SettingError: `count` is not positive, or there are not that many.
        """
        if count < 1:
            raise SettingError(f"{count} images: take at least 1.")
        singles = ~self.index.is_crowd & (self.index.boxes[:, 2:] > 0).all(axis=1)
        found = self.rows[np.isin(self.rows, self.index.image_rows[singles])]
        if len(found) < count:
            raise SettingError(f"{self.annotation_file}: {count} images with boxes wanted, {len(found)} there.")
        return replace(self, rows=found[:count])

    def truth(self) -> dict[str, list[dict[str, Any]]]:
        """The records as COCO's dict: of these images only, and of all their boxes, crowds too."""
        return {
            "images": [self._image_record(int(row)) for row in self.rows],
            "annotations": [record for row in self.rows for record in self._annotation_records(int(row))],
            "categories": [{"id": category.id, "name": category.name} for category in self.categories],
        }

    def _image_record(self, row: int) -> dict[str, Any]:
        index = self.index
        size = {"width": int(index.widths[row]), "height": int(index.heights[row])}
        return {"id": int(index.image_ids[row]), "file_name": str(index.file_names[row])} | size

    def _annotation_records(self, row: int) -> list[dict[str, Any]]:
        index, where = self.index, self.index.rows_of(row)
        columns = (index.annotation_ids, index.category_ids, index.boxes, index.areas, index.is_crowd)
        names = ("id", "category_id", "bbox", "area", "iscrowd")
        values = zip(*(column[where].tolist() for column in columns), strict=True)
        image = {"image_id": int(index.image_ids[row])}
        return [image | dict(zip(names, one, strict=True)) | {"iscrowd": int(one[-1])} for one in values]


def load(name_or_dir: str | Path, split: str) -> CocoDataset:
    """One split of a data set: a recipe's name such as "mini" or its .toml file, or a folder laid out as COCO is.

    Args:
        name_or_dir: a folder holds `annotations/instances_{split}2017.json` and the images in `{split}2017/`.
        split: "train" or "val".

    Raises:
        DataError: the folder, the annotation file or an image is missing, or the file is not sound.
    """
    folder = find_folder(name_or_dir)
    index = CocoIndex.load(folder / "annotations" / f"instances_{split}2017.json")
    image_folder = folder / f"{split}2017"
    _check_files(index, image_folder)
    return CocoDataset(str(name_or_dir), index, np.arange(len(index)), image_folder)


def find_folder(name_or_dir: str | Path) -> Path:
    """The folder of a data set. What is drawn here is drawn now; what must be downloaded has to be built before.

    Raises:
        DataError: there is none.
    """
    from coursekit.data.damaged import build_damaged
    from coursekit.data.render import build_scenes
    from coursekit.data.subset import subset_folder

    name, folder = str(name_or_dir), Path(name_or_dir).expanduser()
    if folder.is_dir():
        return folder
    if name == "damaged":
        return build_damaged()
    if name not in recipes.names() and not name.endswith(".toml"):
        hint = nearest(name, [*recipes.names(), "damaged"])
        known = ", ".join([*recipes.names(), "damaged"])
        raise DataError(f"{name}: no such folder, and no recipe of that name{hint}. Recipes: {known}.")
    recipe = recipes.find_recipe(name)
    if recipe.source == "scenes":
        return build_scenes(recipe)
    if not subset_folder(recipe).exists():
        raise DataError(f"{name}: not built on this machine yet. Build it: coursekit data build {name}")
    return subset_folder(recipe)


def collate(samples: list[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Samples as a list of images and a list of targets: images differ in size, so they can't be stacked here."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def _check_files(index: CocoIndex, image_folder: Path) -> None:
    if not image_folder.is_dir():
        raise DataError(f"{image_folder}: no such folder. The images of {index.path.name} belong there.")
    present = {path.name for path in image_folder.iterdir()}
    missing = [name for name in index.file_names.tolist() if name not in present]
    if missing:
        raise DataError(
            f"{image_folder / missing[0]}: the image is missing (with {len(missing) - 1} more of {len(index)}). "
            f"Fetch what {index.path.name} lists, or remove the records."
        )
