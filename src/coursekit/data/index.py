"""The index of a COCO annotation file: flat arrays, so that selecting is fast and loader workers share one copy."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import ConfigError, DataError
from coursekit.data.records import Annotation, Category, Fault, Image, Records, Segmented, read_records

Rows = NDArray[np.intp]  # positions in an array
MOST_SHOWN = 10


@dataclass(frozen=True)
class CocoIndex:
    """A COCO annotation file. Images stand in the order of the file, boxes in the order of their images.

    The boxes of the image in row i are those from `offsets[i]` to `offsets[i + 1]`; an image without any is there, too.

    Attributes:
        path: the file.
        categories: sorted by COCO's id.
        image_ids, widths, heights, licences: (I,) int64. file_names, urls: (I,) text.
        offsets: (I + 1,) int64.
        boxes: (N, 4) float64, left, top, width, height in pixels, as in the file.
        areas: (N,) float64, in square pixels, as in the file.
        category_ids, annotation_ids: (N,) int64. is_crowd: (N,) bool.
        faults: the records that were left out.
        segmentations: N texts as they stand in the file, where they were asked for.
    """

    path: Path
    categories: list[Category]
    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    urls: NDArray[np.str_]
    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    licences: NDArray[np.int64]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    category_ids: NDArray[np.int64]
    annotation_ids: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]
    faults: list[Fault] = field(default_factory=list)
    segmentations: list[bytes] | None = None

    @classmethod
    def load(cls, path: str | Path, *, segmentation: bool = False) -> "CocoIndex":
        """Read an annotation file of any size. Faulty records are left out, with one warning that shows them together.

        Raises:
            DataError: the file is missing or broken, an id of an image or class stands there twice (whose are its
                boxes?), or nothing usable is left.
        """
        path = Path(path)
        records = read_records(path, segmentation=segmentation)
        faults = list(records.faults)
        images = _sound_images(path, records, faults)
        categories = _sound_categories(path, records)
        index = _arrange(path, images, categories, records.annotations, faults)
        if index.faults:
            warnings.warn(f"{path}: left out what can't be used:\n{_listed(index.faults)}", stacklevel=2)
        return index

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows_of(self, image_row: int) -> slice:
        """Where the boxes of an image lie in the arrays of boxes."""
        return slice(int(self.offsets[image_row]), int(self.offsets[image_row + 1]))

    @property
    def image_rows(self) -> Rows:
        """(N,) the image's row of each box."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def ids_of(self, classes: Iterable[str]) -> list[int]:
        """COCO's ids of classes by name.

        Raises:
            ConfigError: the file has no such class; the nearest is named.
        """
        known = {category.name: category.id for category in self.categories}
        for name in classes:
            if name not in known:
                raise ConfigError(f"{self.path}: no class {name!r}{nearest(name, known)}.")
        return [known[name] for name in classes]

    def images_with(
        self,
        *,
        any_of: Sequence[str] = (),
        all_of: Sequence[str] = (),
        sizes: tuple[float, float] | None = None,
        boxes: tuple[float, float] | None = None,
    ) -> Rows:
        """Rows of the images that meet every condition given.

        Args:
            any_of: at least one box of one of these classes.
            all_of: at least one box of each of these classes.
            sizes: at least one box with √(width · height) in this range of pixels, both ends included.
            boxes: the number of boxes (crowds apart) in this range, both ends included.
        """
        chosen = np.ones(len(self), bool)
        if any_of:
            chosen &= self._has(np.isin(self.category_ids, self.ids_of(any_of)))
        for id_ in self.ids_of(all_of):
            chosen &= self._has(self.category_ids == id_)
        if sizes is not None:
            side = np.sqrt(self.boxes[:, 2] * self.boxes[:, 3])
            chosen &= self._has((side >= sizes[0]) & (side <= sizes[1]))
        if boxes is not None:
            count = np.bincount(self.image_rows[~self.is_crowd], minlength=len(self))
            chosen &= (count >= boxes[0]) & (count <= boxes[1])
        return np.flatnonzero(chosen)

    def _has(self, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(I,) whether an image has at least one of the wanted boxes."""
        return np.bincount(self.image_rows[wanted], minlength=len(self)) > 0


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that looks most like a wrong one; empty where none does."""
    from difflib import get_close_matches

    found = get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""


def is_safe_name(name: str) -> bool:
    """Whether a file name stays in its folder on every system."""
    return bool(name.strip(". ")) and name.isprintable() and not any(sign in name for sign in "/\\:")


def _column(records: Sequence[Any], name: str, dtype: Any) -> NDArray[Any]:
    return np.fromiter(map(attrgetter(name), records), dtype, count=len(records))


def _lookup(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[Rows, NDArray[np.bool_]]:
    """For each wanted id its row in `ids`, and whether it is there at all."""
    low, high = int(ids.min()), int(ids.max())
    if high - low < 100 * len(ids) + 10_000:  # a table of all ids between is ten times as fast as a search
        table = np.zeros(high - low + 1, np.intp)
        table[ids - low] = np.arange(len(ids))
        rows = table[np.clip(wanted, low, high) - low]
        return rows, ids[rows] == wanted
    order = np.argsort(ids, kind="stable")
    rows = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return rows, ids[rows] == wanted


def _sound_images(path: Path, records: Records, faults: list[Fault]) -> list[Image]:
    """The images that can be used.

    Raises:
        DataError: an id stands there twice, or nothing is left.
    """
    images = [image for image in records.images if image is not None]
    if not is_safe_name(
        "".join(image.file_name or "/" for image in images)
    ):  # one look at all, which is nearly always enough
        for position, image in enumerate(records.images):
            if image is not None and not is_safe_name(image.file_name):
                faults.append(Fault("images", position, f"file name {image.file_name!r} leaves its folder"))
        images = [image for image in images if is_safe_name(image.file_name)]
    if not images:
        raise DataError(f"{path}: `images` has nothing that can be used.{_reasons(faults)}")
    _refuse_twice(path, "images", [image.id for image in images])
    return images


def _sound_categories(path: Path, records: Records) -> list[Category]:
    categories = [category for category in records.categories if category is not None]
    if not categories:
        raise DataError(f"{path}: `categories` has nothing that can be used. A data set needs at least one class.")
    _refuse_twice(path, "categories", [category.id for category in categories])
    return sorted(categories, key=attrgetter("id"))


def _refuse_twice(path: Path, part: str, ids: list[int]) -> None:
    values, counts = np.unique(np.array(ids), return_counts=True)
    twice = values[counts > 1].tolist()
    if twice:
        shown = ", ".join(map(str, twice[:MOST_SHOWN]))
        raise DataError(f"{path}: `{part}`: ids that stand there more than once: {shown}. Give each its own.")


def _arrange(
    path: Path,
    images: list[Image],
    categories: list[Category],
    annotations: list[Annotation | None],
    faults: list[Fault],
) -> CocoIndex:
    """The arrays, without the annotations that can't be used."""
    places = np.array([place for place, one in enumerate(annotations) if one is not None], np.intp) if faults else None
    sound: list[Any] = annotations if places is None else [annotations[place] for place in places]
    numbers = chain.from_iterable(map(attrgetter("bbox"), sound))
    boxes = np.fromiter(numbers, np.float64, count=4 * len(sound)).reshape(-1, 4)
    ids, category_ids = _column(sound, "id", np.int64), _column(sound, "category_id", np.int64)
    areas = _column(sound, "area", np.float64)
    image_ids = _column(images, "id", np.int64)
    image_rows, has_image = _lookup(image_ids, _column(sound, "image_id", np.int64))
    has_class = _lookup(np.array([category.id for category in categories]), category_ids)[1]
    tests = [
        (_repeats(ids), "its id stands there already"),
        (~has_image, "its image_id is not among the images"),
        (~has_class, "its category_id is not among the categories"),
        (~np.isfinite(boxes).all(axis=1), "its bbox is not four numbers"),
        (~np.isfinite(areas), "its area is no number"),
        ((boxes[:, 2:] < 0).any(axis=1), "its bbox has a negative width or height"),
    ]
    good = _usable(tests, ids, places, faults)
    order = np.sort(image_rows[good] * len(boxes) + good) % max(1, len(boxes))  # quicker than a stable argsort
    return CocoIndex(
        path=path,
        categories=categories,
        image_ids=image_ids,
        file_names=np.array([image.file_name for image in images]),
        urls=np.array([image.coco_url or "" for image in images]),
        widths=_column(images, "width", np.int64),
        heights=_column(images, "height", np.int64),
        licences=np.array([image.license or 0 for image in images]),
        offsets=np.concatenate([[0], np.bincount(image_rows[good], minlength=len(images)).cumsum()]),
        boxes=boxes[order],
        areas=areas[order],
        category_ids=category_ids[order],
        annotation_ids=ids[order],
        is_crowd=_column(sound, "iscrowd", np.int64)[order] != 0,
        faults=sorted(faults, key=lambda fault: (fault.part, fault.position)),
        segmentations=[bytes(sound[row].segmentation) for row in order] if _has_outlines(sound) else None,
    )


def _has_outlines(annotations: list[Any]) -> bool:
    return bool(annotations) and isinstance(annotations[0], Segmented)


def _repeats(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where an id has stood before."""
    repeats = np.zeros(len(ids), bool)
    if len(ids) and not (np.diff(np.sort(ids)) > 0).all():
        repeats[:] = True
        repeats[np.unique(ids, return_index=True)[1]] = False
    return repeats


def _usable(
    tests: list[tuple[NDArray[np.bool_], str]], ids: NDArray[np.int64], places: Rows | None, faults: list[Fault]
) -> Rows:
    """Rows of the annotations that pass; the others become faults, each with its first reason."""
    bad = np.zeros(len(ids), bool)
    for failed, reason in tests:
        for row in np.flatnonzero(failed & ~bad).tolist():
            position = row if places is None else int(places[row])
            faults.append(Fault("annotations", position, f"{reason} (id {ids[row]})"))
        bad |= failed
    return np.flatnonzero(~bad)


def _reasons(faults: list[Fault]) -> str:
    return f"\n{_listed(faults)}" if faults else " A data set needs at least one image."


def _listed(faults: list[Fault]) -> str:
    lines = [f"  {fault}" for fault in faults[:MOST_SHOWN]]
    more = len(faults) - MOST_SHOWN
    return "\n".join(lines + ([f"  and {more} more"] if more > 0 else []))
