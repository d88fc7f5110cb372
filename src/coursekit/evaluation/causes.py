"""What commonly spoils a score, each cause as its own undoing: results are mended as if it were there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.core.errors import DataError
from coursekit.data.dataset import CocoDataset

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

LEAST_SCALE = np.log(1.03)  # a shaky detector looks like a scale nearer to 1 than this; 8 % spoil small boxes already
VOTE_IOU = 0.7  # a pair that one scale brings this close together votes for that scale
MOST_IMAGES = 300
VOTE_WINDOW = 0.05  # votes within 5 % of each other are one opinion


@dataclass(frozen=True)
class Truth:
    """What there is to find, without crowds and boxes with no extent, sorted by image and then by class.

    Attributes:
        image_ids: (I,) COCO's id of each image. file_rows: (I,) its row in the file. sizes: (I, 2) width and height.
        category_ids: (K,) COCO's id of each class, sorted.
        images, classes: (T,) positions in `image_ids` and `category_ids`.
        boxes: (T, 4) left, top, width, height in pixels.
        per_class: (K,) how many boxes COCO scores for each class, crowds apart.
    """

    image_ids: Places
    file_rows: Places
    sizes: Floats
    category_ids: Places
    images: Places
    classes: Places
    boxes: Floats
    per_class: Places

    def __len__(self) -> int:
        return len(self.boxes)

    def only(self, rows: Mask) -> "Truth":
        """Some of the true boxes, of the same images and classes."""
        return replace(self, images=self.images[rows], classes=self.classes[rows], boxes=self.boxes[rows])


@dataclass(frozen=True)
class Found:
    """Detections in arrays.

    Attributes:
        images, classes: (N,) positions in the truth's images and classes; -1 where the id is unknown there.
        boxes: (N, 4) as they stand in the results.
        scores: (N,).
        image_ids, category_ids: (N,) as they stand in the results.
    """

    images: Places
    classes: Places
    boxes: Floats
    scores: Floats
    image_ids: Places
    category_ids: Places

    def __len__(self) -> int:
        return len(self.scores)

    def only(self, rows: Mask) -> "Found":
        """Some of the detections."""
        columns = {name: getattr(self, name)[rows] for name in self.__dataclass_fields__}
        return Found(**columns)


@dataclass(frozen=True)
class Mend:
    """Results with one cause undone.

    Attributes:
        cause: a stable name.
        sign: what the cause would have done, as the beginning of a sentence.
        cure: what to do.
        found: the mended detections.
    """

    cause: str
    sign: str
    cure: str
    found: Found


def read_truth(dataset: CocoDataset) -> Truth:
    """The truth of a data set's images, from the index's arrays."""
    index, rows = dataset.index, np.asarray(dataset.rows, np.int64)
    place_of_row = np.full(len(index), -1)
    place_of_row[rows] = np.arange(len(rows))
    images = place_of_row[index.image_rows]
    classes = positions(np.array(dataset.category_ids), index.category_ids)
    scored = (images >= 0) & ~index.is_crowd
    kept = np.flatnonzero(scored & (index.boxes[:, 2:] > 0).all(axis=1))
    kept = kept[np.lexsort((classes[kept], images[kept]))]
    return Truth(
        image_ids=index.image_ids[rows],
        file_rows=rows,
        sizes=np.stack([index.widths[rows], index.heights[rows]], axis=1).astype(float),
        category_ids=np.array(dataset.category_ids),
        images=images[kept],
        classes=classes[kept],
        boxes=index.boxes[kept],
        per_class=np.bincount(classes[scored], minlength=len(dataset.category_ids)),
    )


def read_found(results: list[Any], truth: Truth, name: str) -> Found:
    """Results as arrays.

    Raises:
        DataError: a result lacks a field, or one is not a finite number; the first such result is named.
    """
    try:
        columns = [np.fromiter((one[field] for one in results), np.float64, len(results)) for field in _NUMBERS]
        boxes = np.array([one["bbox"] for one in results], np.float64).reshape(len(results), 4)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DataError(_first_fault(results, name)) from None
    if not (np.isfinite(boxes).all() and np.isfinite(columns).all()):
        raise DataError(_first_fault(results, name))
    image_ids, category_ids = columns[0].astype(np.int64), columns[1].astype(np.int64)
    return Found(
        images=positions(truth.image_ids, image_ids),
        classes=positions(truth.category_ids, category_ids),
        boxes=boxes,
        scores=columns[2],
        image_ids=image_ids,
        category_ids=category_ids,
    )


_NUMBERS = ("image_id", "category_id", "score")


def _first_fault(results: list[Any], name: str) -> str:
    """A message about the first result that is not as COCO writes it."""
    for place, one in enumerate(results):
        if not isinstance(one, dict):
            return f"{name}[{place}]: {one!r} is no dict. Pass detections in COCO's format, as `predict_dataset` gives them."
        for field in (*_NUMBERS, "bbox"):
            numbers = one.get(field)
            if not _are_numbers(numbers if field == "bbox" else [numbers], 4 if field == "bbox" else 1):
                what = "four finite numbers" if field == "bbox" else "a finite number"
                return f"{name}[{place}]: `{field}` is {numbers!r}, not {what}. Write it as COCO's results have it."
    return f"{name}: can't be read as COCO's results. Pass a list of dicts, as `predict_dataset` gives them."


def _are_numbers(values: Any, count: int) -> bool:
    try:
        array = np.asarray(values)
        return array.shape == (count,) and array.dtype.kind in "iuf" and bool(np.isfinite(array).all())
    except (TypeError, ValueError):
        return False


def positions(ids: Places, wanted: Places) -> Places:
    """(N,) where each wanted id stands in `ids`, -1 where it does not."""
    if not len(ids):
        return np.full(len(wanted), -1)
    order = np.argsort(ids, kind="stable")
    places = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
    return np.where(ids[places] == wanted, places, -1)


def pairs_of(found: Found, truth: Truth) -> tuple[Places, Places]:
    """(P,) and (P,): every detection with every true box of its image and class, as rows of both tables."""
    classes = len(truth.category_ids)
    there = np.zeros(len(truth.image_ids), bool)  # truth may be a sample, and then most detections need no search
    there[truth.images] = True
    known = np.flatnonzero((found.images >= 0) & (found.classes >= 0) & there[found.images])
    keys = found.images[known] * classes + found.classes[known]
    true_keys = truth.images * classes + truth.classes  # sorted, as the truth is
    first, last = np.searchsorted(true_keys, keys), np.searchsorted(true_keys, keys, side="right")
    counts = last - first
    starts = np.repeat(first - (np.cumsum(counts) - counts), counts)
    return np.repeat(known, counts), starts + np.arange(counts.sum())


def paired_iou(ours: Floats, theirs: Floats) -> Floats:
    """(P,) intersection over union of boxes (P, 4) xywh with boxes (P, 4); 0 for a box with no or negative extent."""
    low = np.maximum(ours[:, :2], theirs[:, :2])
    high = np.minimum(ours[:, :2] + ours[:, 2:], theirs[:, :2] + theirs[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = np.clip(ours[:, 2:], 0, None).prod(axis=1), np.clip(theirs[:, 2:], 0, None).prod(axis=1)
    union = areas[0] + areas[1] - shared
    return np.where(shared > 0, shared / np.where(union > 0, union, 1), 0)


def sample(found: Found, truth: Truth) -> tuple[Found, Truth]:
    """Both tables cut down to some images that have something to find and detections, spread over the data set.

    A few hundred images say as much about a cause as all; the positions of images stay what they are.
    """
    count = len(truth.image_ids)
    useful = np.intersect1d(truth.images, found.images[found.images >= 0])
    chosen = np.zeros(count, bool)
    chosen[useful[:: max(1, len(useful) // MOST_IMAGES)]] = True
    return found.only((found.images >= 0) & chosen[found.images]), truth.only(chosen[truth.images])


def mends(found: Found, truth: Truth) -> Iterator[Mend]:
    """The results as every cause undone would have them; those that change nothing or make no sense are left out."""
    yield from class_mends(found, truth)
    yield from _image_mends(found, truth)
    yield from box_mends(found, truth)


def box_mends(found: Found, truth: Truth) -> Iterator[Mend]:
    """The mends of boxes."""
    yield from _order_mends(found)
    if _looks_normalised(found):
        yield from _normalised_mends(found, truth)
    else:
        yield from _scale_mends(found, truth)


def class_mends(found: Found, truth: Truth) -> Iterator[Mend]:
    """The mends of category ids."""
    count, ids, places = len(truth.category_ids), found.category_ids, found.classes
    labels = "Labels seem to stand where COCO's category ids belong: "
    shift = "Category ids seem to be shifted by one: "
    back = "Map labels back with `dataset.category_ids[label - 1]`, or let `to_coco_results` do it."
    base = "Look where labels become ids: label 1 is the first class, because 0 is the background."
    candidates = [
        (labels + f"1 to {count} for the ids {_span(truth.category_ids)}", back, ids - 1),
        (labels + f"0 to {count - 1} for the ids {_span(truth.category_ids)}", back, ids),
        (shift + "each is that of the next class", base, _turned(places, -1, count)),
        (shift + "each is that of the class before", base, _turned(places, 1, count)),
        (shift + "each is 1 too high", base, positions(truth.category_ids, ids - 1)),
        (shift + "each is 1 too low", base, positions(truth.category_ids, ids + 1)),
    ]
    for sign, cure, classes in candidates:
        known = _within(classes, count)
        if _is_other(known, places):
            yield Mend("category_ids", sign, cure, replace(found, classes=known))


def _image_mends(found: Found, truth: Truth) -> Iterator[Mend]:
    count, ids, places = len(truth.image_ids), found.image_ids, found.images
    cure = "Give each detection COCO's id of its image: `target['image_id']`, or `dataset.image_ids[position]`."
    wrong = "Image ids seem to be "
    by_id = np.argsort(truth.image_ids, kind="stable")
    candidates = [
        (wrong + "positions in the data set, from 0", _within(ids, count)),
        (wrong + "positions in the data set, from 1", _within(ids - 1, count)),
        (wrong + "rows of the annotation file, from 0", positions(truth.file_rows, ids)),
        (wrong + "rows of the annotation file, from 1", positions(truth.file_rows, ids - 1)),
        (wrong + "positions among the sorted ids, from 0", _chosen(by_id, ids)),
        (wrong + "positions among the sorted ids, from 1", _chosen(by_id, ids - 1)),
        (wrong + "those of the next image", _turned(places, -1, count)),
        (wrong + "those of the image before", _turned(places, 1, count)),
    ]
    for sign, images in candidates:
        if _is_other(images, places):
            yield Mend("image_ids", sign, cure, replace(found, images=images))


def _turned(places: Places, step: int, count: int) -> Places:
    """The neighbours of places; the last one's is the first, as a negative index has it. Unknown stays unknown."""
    return np.where(places >= 0, (places + step) % count, -1)


def _within(places: Places, count: int) -> Places:
    return np.where((places >= 0) & (places < count), places, -1)


def _chosen(table: Places, places: Places) -> Places:
    """`table[places]`, -1 outside of it."""
    inside = _within(places, len(table))
    return np.where(inside >= 0, table[inside], -1)


def _is_other(mended: Places, given: Places) -> bool:
    """Whether a mend of ids changes anything, and knows nine of ten: a real mix-up hits all detections alike."""
    return bool((mended >= 0).mean() >= 0.9 and (mended != given).any())


def _span(ids: Places) -> str:
    return f"{ids[0]} to {ids[-1]}"


def _order_mends(found: Found) -> Iterator[Mend]:
    corners = "Boxes seem to be written as two corners (x1, y1, x2, y2)"
    swapped = "Boxes seem to be written with x and y swapped: (y, x, height, width)"
    twice = "Boxes seem to have gone through a conversion twice: "
    to_xywh = "COCO wants (left, top, width, height): convert with `xyxy_to_xywh`, or let `to_coco_results` do it."
    order = "Write (left, top, width, height); an array image has its height first, a box its x."
    once = "Convert a copy, and once: an evaluator that converts boxes in place spoils them at its second call."
    for cause, sign, cure, undo in (
        ("xyxy_as_xywh", corners, to_xywh, from_corners),
        ("swapped_xy", swapped, order, swap),
        ("converted_twice", twice + "x and y were taken off width and height once too often", once, _add_origin),
        ("converted_twice", twice + "x and y were added to width and height twice", once, _take_origin_twice),
    ):
        yield Mend(cause, sign, cure, replace(found, boxes=undo(found.boxes)))


def from_corners(boxes: Floats) -> Floats:
    """Boxes (N, 4) x1, y1, x2, y2 as xywh."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def swap(boxes: Floats) -> Floats:
    """Boxes (N, 4) with x and y exchanged."""
    return boxes[:, [1, 0, 3, 2]]


def _add_origin(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] + boxes[:, :2]], axis=1)


def _take_origin_twice(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - 2 * boxes[:, :2]], axis=1)


def _from_centres(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def _looks_normalised(found: Found) -> bool:
    """Whether boxes are of 0 to 1: a detector may reach over the edge a little, and a few boxes may be wild."""
    return bool((np.abs(found.boxes).max(axis=1) <= 1.5).mean() > 0.95)


def _normalised_mends(found: Found, truth: Truth) -> Iterator[Mend]:
    """Boxes from 0 to 1, in the three forms they come in."""
    sizes = np.tile(truth.sizes[found.images], 2)  # an unknown image gets any size: its boxes match nothing anyway
    forms: tuple[tuple[str, Callable[[Floats], Floats]], ...] = (
        ("", lambda boxes: boxes),
        (", as two corners", from_corners),
        (", by their centres", _from_centres),
    )
    cure = "Multiply by width and height of the original image, and write left, top, width, height."
    for form, undo in forms:
        sign = f"Boxes seem to be shares of width and height from 0 to 1{form}"
        yield Mend("normalised", sign, cure, replace(found, boxes=undo(found.boxes) * sizes))


def _scale_mends(found: Found, truth: Truth) -> Iterator[Mend]:
    """Boxes scaled back by the factor that most pairs of detection and true box agree on, if it is far from 1."""
    cure = "Scale the boxes back: x times original width / resized width, y times original height / resized height."
    images, votes = _votes(*sample(found, truth))
    if not len(images):
        return
    sizes = truth.sizes
    long, short = sizes.max(axis=1), sizes.min(axis=1)
    limited = np.maximum(short / 800, long / 1333) * 800  # torchvision's: short side 800 unless the long passes 1333
    one = np.ones(len(sizes))
    for words, wide, high in (
        ("by one factor, {x:.3g}", one, one),
        ("to a long side of {x:.0f}", long, long),
        ("to a short side of {x:.0f}", short, short),
        ("to a short side of {x:.0f}, the long one limited", limited, limited),
        ("to {x:.0f} × {y:.0f}", sizes[:, 0], sizes[:, 1]),
    ):
        base = np.stack([wide, high], axis=1)
        factor = _agreed(base[images] / votes, together=wide is high)
        back = base / factor
        if np.median(np.abs(np.log(back)).max(axis=1)) > LEAST_SCALE:
            sign = "Boxes seem to be in pixels of a resized image: scaled " + words.format(x=factor[0], y=factor[1])
            boxes = found.boxes * np.tile(back[found.images], 2)
            yield Mend("resized_pixels", sign, cure, replace(found, boxes=boxes))


def _votes(found: Found, truth: Truth) -> tuple[Places, Floats]:
    """For each pair of detection and true box that a scale brings together: (V,) its image, (V, 2) the scales.

    The scale of x, and that of y, is the one of least squares over the two edges.
    """
    ours, theirs = pairs_of(found, truth)
    box, true_box = found.boxes[ours], truth.boxes[theirs]
    low, high = box[:, :2], box[:, :2] + box[:, 2:]
    true_low, true_high = true_box[:, :2], true_box[:, :2] + true_box[:, 2:]
    length = low**2 + high**2
    scales = (low * true_low + high * true_high) / np.where(length > 0, length, 1)
    near = (paired_iou(box * np.tile(scales, 2), true_box) > VOTE_IOU) & (scales > 0).all(axis=1)
    return truth.images[theirs[near]], scales[near]


def _agreed(values: Floats, *, together: bool) -> Floats:
    """(2,) what most of the votes (V, 2) say of x and of y; the same for both where one scale is for both."""
    logs = np.log(values)
    if together:
        return np.exp(np.full(2, _mode(logs.ravel())))
    wide = _mode(logs[:, 0])
    agreeing = logs[np.abs(logs[:, 0] - wide) <= VOTE_WINDOW]
    return np.exp(np.array([wide, _mode(agreeing[:, 1])]))


def _mode(values: Floats) -> float:
    """The median of the fullest window."""
    values = np.sort(values)
    ends = np.searchsorted(values, values + VOTE_WINDOW, side="right")
    start = int(np.argmax(ends - np.arange(len(values))))
    return float(np.median(values[start : ends[start]]))
