"""The usual causes of a bad score, each as its own repair: detections as they would be without it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from coursekit.data.dataset import CocoDataset
from coursekit.evaluation.match_detections import paired_iou, pairs_of
from coursekit.evaluation.table import Boxes, Floats, Ints, positions

MIN_SCALE = np.log(1.03)  # noisy boxes look like a scale closer to 1 than this; 8 % already spoils small boxes
VOTE_IOU = 0.7  # a pair that a scale brings this close together votes for that scale
VOTE_WINDOW = 0.05  # votes within 5 % of each other agree
MAX_IMAGES = 300


@dataclass(frozen=True)
class Case:
    """What `diagnose` looks at.

    Attributes:
        dataset: `images` and `labels` of the tables are positions in its images and classes.
        gt: without crowds and empty boxes, by image and then by class.
        detections: as in the results.
    """

    dataset: CocoDataset
    gt: Boxes
    detections: Boxes

    def with_detections(self, detections: Boxes) -> "Case":
        """Return the case with other detections."""
        return replace(self, detections=detections)

    def as_one_class(self) -> "Case":
        """Return the case in which every detection may match every box of its image."""
        return replace(self, gt=self.gt.as_one_class(), detections=self.detections.as_one_class())

    def sample(self) -> "Case":
        """Return the case cut down to some images with ground truth and detections, spread over the data set.

        A few hundred images are enough to estimate the effect of a cause.
        """
        chosen = np.zeros(len(self.dataset) + 1, bool)  # the last one is for unknown images, whose position is -1
        useful = np.intersect1d(self.gt.images, self.detections.images)
        chosen[useful[:: max(1, len(useful) // MAX_IMAGES)]] = True
        gt, detections = self.gt, self.detections
        return replace(self, gt=gt.take(chosen[gt.images]), detections=detections.take(chosen[detections.images]))


@dataclass(frozen=True)
class Repair:
    """Detections with one cause undone.

    Attributes:
        cause: a stable name.
        symptom: what the cause seems to have done, as the beginning of a sentence.
        cure: what to do, as sentences.
        detections: the repaired ones.
    """

    cause: str
    symptom: str
    cure: str
    detections: Boxes


def repairs(case: Case) -> Iterator[Repair]:
    """Yield the detections with each cause undone, where that changes something and makes sense."""
    yield from class_repairs(case)
    yield from _image_repairs(case)
    yield from box_repairs(case)


def box_repairs(case: Case) -> Iterator[Repair]:
    """Yield the detections with each cause that concerns boxes undone."""
    yield from _order_repairs(case.detections)
    if _looks_normalized(case.detections):
        yield from _normalized_repairs(case)
    else:
        yield from _scale_repairs(case)


def class_repairs(case: Case) -> Iterator[Repair]:
    """Yield the repairs of category ids."""
    known = np.array(case.dataset.category_ids)
    count, ids, classes = len(known), case.detections.category_ids, case.detections.labels - 1
    labels = "Labels seem to be written in place of COCO's category ids: "
    shift = "Category ids seem to be shifted by one: "
    map_back = "Map labels back with `dataset.category_ids[label - 1]`, or use `to_coco_results`."
    from_one = "Check where labels become ids: label 1 is the first class, because 0 is the background."
    span = f"for the ids {known[0]} to {known[-1]}"
    candidates = [
        (labels + f"1 to {count} {span}", map_back, ids - 1),
        (labels + f"0 to {count - 1} {span}", map_back, ids),
        (shift + "each is that of the next class", from_one, _shifted(classes, -1, count)),
        (shift + "each is that of the previous class", from_one, _shifted(classes, 1, count)),
        (shift + "each is 1 too high", from_one, positions(known, ids - 1)),
        (shift + "each is 1 too low", from_one, positions(known, ids + 1)),
    ]
    for symptom, cure, candidate in candidates:
        repaired = _within(candidate, count)
        if _is_plausible(repaired, classes):
            yield Repair("category_ids", symptom, cure, replace(case.detections, labels=repaired + 1))


def _image_repairs(case: Case) -> Iterator[Repair]:
    rows, image_ids = np.asarray(case.dataset.rows), np.array(case.dataset.image_ids)
    count, ids, images = len(image_ids), case.detections.image_ids, case.detections.images
    cure = "Give each detection COCO's id of its image: `target['image_id']`, or `dataset.image_ids[position]`."
    seem = "Image ids seem to be "
    by_id = np.argsort(image_ids, kind="stable")
    candidates = [
        (seem + "positions in the data set, from 0", _within(ids, count)),
        (seem + "positions in the data set, from 1", _within(ids - 1, count)),
        (seem + "rows of the annotation file, from 0", positions(rows, ids)),
        (seem + "rows of the annotation file, from 1", positions(rows, ids - 1)),
        (seem + "positions among the sorted ids, from 0", _look_up(by_id, ids)),
        (seem + "positions among the sorted ids, from 1", _look_up(by_id, ids - 1)),
        (seem + "those of the next image", _shifted(images, -1, count)),
        (seem + "those of the previous image", _shifted(images, 1, count)),
    ]
    for symptom, repaired in candidates:
        if _is_plausible(repaired, images):
            yield Repair("image_ids", symptom, cure, replace(case.detections, images=repaired))


def _shifted(places: Ints, step: int, count: int) -> Ints:
    """Return the neighbors of positions; the last one's is the first, as with a negative index. Unknown stays -1."""
    return np.where(places >= 0, (places + step) % count, -1)


def _within(places: Ints, count: int) -> Ints:
    return np.where((places >= 0) & (places < count), places, -1)


def _look_up(table: Ints, places: Ints) -> Ints:
    """Return `table[places]`, -1 outside of the table."""
    inside = _within(places, len(table))
    return np.where(inside >= 0, table[inside], -1)


def _is_plausible(repaired: Ints, given: Ints) -> bool:
    """Return whether a repair changes ids, and maps nine in ten to known ids: a real mix-up affects all detections."""
    return bool((repaired >= 0).mean() >= 0.9 and (repaired != given).any())


def _order_repairs(detections: Boxes) -> Iterator[Repair]:
    corners = "Boxes seem to be written as two corners (x1, y1, x2, y2)"
    swapped = "Boxes seem to be written with x and y swapped: (y, x, height, width)"
    twice = "Boxes seem to have been converted twice: "
    to_xywh = "COCO needs (left, top, width, height): convert with `xyxy_to_xywh`, or use `to_coco_results`."
    order = "Write (left, top, width, height). The shape of an image starts with its height, a box with its x."
    once = "Convert a copy, and only once: an evaluator that converts boxes in place spoils them on its second call."
    for cause, symptom, cure, undo in (
        ("xyxy_as_xywh", corners, to_xywh, from_corners),
        ("swapped_xy", swapped, order, _swap_xy),
        ("converted_twice", twice + "x and y were subtracted from width and height once too often", once, _add_origin),
        ("converted_twice", twice + "x and y were added to width and height twice", once, _subtract_origin_twice),
    ):
        yield Repair(cause, symptom, cure, replace(detections, boxes=undo(detections.boxes)))


def from_corners(boxes: Floats) -> Floats:
    """Return boxes (N, 4) x1, y1, x2, y2 as xywh."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _swap_xy(boxes: Floats) -> Floats:
    return boxes[:, [1, 0, 3, 2]]


def _add_origin(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] + boxes[:, :2]], axis=1)


def _subtract_origin_twice(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - 2 * boxes[:, :2]], axis=1)


def _from_centers(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def _looks_normalized(detections: Boxes) -> bool:
    """Return whether coordinates are from 0 to 1.

    A box may extend past the edge a little, and a few boxes may be far off.
    """
    return bool((np.abs(detections.boxes).max(axis=1) <= 1.5).mean() > 0.95)


def _normalized_repairs(case: Case) -> Iterator[Repair]:
    """Yield boxes in pixels, for the three forms in which normalized boxes come."""
    detections = case.detections
    sizes = np.tile(_sizes(case.dataset)[:, ::-1], 2)[detections.images]  # unknown images match nothing anyway
    forms: tuple[tuple[str, Callable[[Floats], Floats]], ...] = (
        ("", lambda boxes: boxes),
        (", as two corners", from_corners),
        (", by their centers", _from_centers),
    )
    cure = "Multiply by the width and height of the original image, and write left, top, width, height."
    for form, undo in forms:
        symptom = f"Boxes seem to be fractions of width and height, from 0 to 1{form}"
        yield Repair("normalized", symptom, cure, replace(detections, boxes=undo(detections.boxes) * sizes))


def _scale_repairs(case: Case) -> Iterator[Repair]:
    """Yield boxes scaled back by the factor that most pairs of boxes vote for, if it is far from 1."""
    cure = "Scale the boxes back: x times original width / resized width, y times original height / resized height."
    images, votes = _votes(case.sample())
    if not len(images):
        return
    for words, width, height in _resizes(_sizes(case.dataset)):
        base = np.stack([width, height], axis=1)
        factor = _agreed(base[images] / votes, together=width is height)
        back = base / factor
        if np.median(np.abs(np.log(back)).max(axis=1)) > MIN_SCALE:
            symptom = "Boxes seem to be in pixels of a resized image: scaled " + words.format(x=factor[0], y=factor[1])
            boxes = case.detections.boxes * np.tile(back[case.detections.images], 2)
            yield Repair("resized_pixels", symptom, cure, replace(case.detections, boxes=boxes))


def _resizes(sizes: Floats) -> tuple[tuple[str, Floats, Floats], ...]:
    """Return the usual ways to resize: in words, and the (I,) lengths that become one number, for x and for y."""
    long, short, unit = sizes.max(axis=1), sizes.min(axis=1), np.ones(len(sizes))
    limited = np.maximum(short / 800, long / 1333) * 800  # torchvision's: short side 800, long side at most 1333
    return (
        ("by one factor, {x:.3g}", unit, unit),
        ("to a long side of {x:.0f}", long, long),
        ("to a short side of {x:.0f}", short, short),
        ("to a short side of {x:.0f}, with a limit for the long one", limited, limited),
        ("to {x:.0f} × {y:.0f}", sizes[:, 1], sizes[:, 0]),
    )


def _sizes(dataset: CocoDataset) -> Floats:
    """Return (I, 2) height and width of each image in pixels."""
    index, rows = dataset.index, dataset.rows
    return np.stack([index.heights[rows], index.widths[rows]], axis=1).astype(float)


def _votes(case: Case) -> tuple[Ints, Floats]:
    """Return, for each pair of boxes that a scale brings together, (V,) the image and (V, 2) the scales of x and y.

    A scale is the least-squares solution over the two edges.
    """
    rows, gt_rows = pairs_of(case.detections, case.gt)
    box, gt_box = case.detections.boxes[rows], case.gt.boxes[gt_rows]
    start, end = box[:, :2], box[:, :2] + box[:, 2:]
    gt_start, gt_end = gt_box[:, :2], gt_box[:, :2] + gt_box[:, 2:]
    length = start**2 + end**2
    scales = (start * gt_start + end * gt_end) / np.where(length > 0, length, 1)
    near = (paired_iou(box * np.tile(scales, 2), gt_box) > VOTE_IOU) & (scales > 0).all(axis=1)
    return case.gt.images[gt_rows[near]], scales[near]


def _agreed(values: Floats, *, together: bool) -> Floats:
    """Return (2,) the scale that most votes (V, 2) agree on, for x and for y; the same if they are scaled together."""
    logs = np.log(values)
    if together:
        return np.exp(np.full(2, _mode(logs.ravel())))
    x = _mode(logs[:, 0])
    agreeing = logs[np.abs(logs[:, 0] - x) <= VOTE_WINDOW]
    return np.exp(np.array([x, _mode(agreeing[:, 1])]))


def _mode(values: Floats) -> float:
    """Return the median of the window with the most votes."""
    values = np.sort(values)
    ends = np.searchsorted(values, values + VOTE_WINDOW, side="right")
    start = int(np.argmax(ends - np.arange(len(values))))
    return float(np.median(values[start : ends[start]]))
