import json
import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from coursekit.core.errors import ConfigError
from coursekit.data.index import CocoIndex
from coursekit.data.records import Category
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.subsets.select import kept_boxes, select


def _index(images: int, boxes: int, classes: int) -> CocoIndex:
    """Return a random index with rare and frequent classes."""
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, images, boxes))
    return CocoIndex(
        path=Path("instances_train2017.json"),
        categories=[Category(n + 1, f"class {n}") for n in range(classes)],
        image_ids=np.arange(images),
        file_names=np.array([f"{n}.jpg" for n in range(images)]),
        urls=np.full(images, ""),
        widths=np.full(images, 640),
        heights=np.full(images, 480),
        licenses=rng.integers(1, 9, images),
        offsets=np.concatenate([[0], np.bincount(rows, minlength=images).cumsum()]),
        boxes=np.concatenate([rng.random((boxes, 2)) * 300, rng.random((boxes, 2)) * 100 + 1], axis=1),
        areas=np.ones(boxes),
        category_ids=np.minimum(rng.geometric(0.08, boxes), classes),
        annotation_ids=np.arange(boxes),
        is_crowd=rng.random(boxes) < 0.01,
    )


INDEX = _index(2000, 9000, 40)
RECIPE = Recipe("r", "coco", 1, {"train": 300, "val": 50})


def _with(**fields):
    return msgspec.structs.replace(RECIPE, **fields)


def test_same_seed_selects_same_images():
    assert select(INDEX, RECIPE, "train").tolist() == select(INDEX, RECIPE, "train").tolist()
    assert select(INDEX, RECIPE, "train").tolist() != select(INDEX, _with(seed=2), "train").tolist()
    assert len(select(INDEX, RECIPE, "train")) == 300


def test_no_image_is_in_two_splits():
    train = select(INDEX, RECIPE, "train")
    assert not set(train) & set(select(INDEX, RECIPE, "val", taken=train))


def test_zero_images_means_all():
    assert select(INDEX, _with(images={"train": 0}), "train").tolist() == list(range(2000))


def test_conditions_hold():
    recipe = _with(classes=[], smallest_box=60, licenses=[2, 5], crowds="avoid")
    rows = select(INDEX, recipe, "val")
    kept = kept_boxes(INDEX, recipe)
    for row in rows:
        where = INDEX.rows_of(row)
        assert INDEX.licenses[row] in (2, 5)
        assert not INDEX.is_crowd[where].any()
        assert kept[where].any()
        sides = np.sqrt(INDEX.boxes[where, 2] * INDEX.boxes[where, 3])
        assert ((sides >= 60) == kept[where]).all()


def test_smallest_box_is_the_square_root_of_an_area(coco_folder):
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    for annotation, box in zip(content["annotations"], [[40, 10], [10, 40], [20, 20], [1, 1]], strict=True):
        annotation["bbox"] = [0, 0, *box]  # 20 pixels each; the last one is a crowd
    path.write_text(json.dumps(content))
    index = CocoIndex.load(path)
    assert kept_boxes(index, _with(smallest_box=20)).tolist() == [True, True, True, True]
    assert kept_boxes(index, _with(smallest_box=21)).tolist() == [False, False, False, True]


def test_balanced_prefers_rare_classes():
    def rare_boxes(recipe):
        rows = select(INDEX, recipe, "train")
        chosen = np.isin(INDEX.image_rows, rows) & ~INDEX.is_crowd
        counts = Counter(INDEX.category_ids[chosen].tolist())
        return sum(sorted(counts.values())[:10]), len(counts)

    assert rare_boxes(_with(balanced=True))[0] > 2 * rare_boxes(RECIPE)[0]
    assert len(select(INDEX, _with(balanced=True), "train")) == 300


def test_too_many_images_are_refused():
    with pytest.raises(ConfigError, match="5000 images wanted for train, but only 2000 in"):
        select(INDEX, _with(images={"train": 5000}), "train")


def test_full_index_takes_seconds():
    index, start = _index(118_287, 860_001, 80), time.perf_counter()
    assert len(select(index, _with(images={"train": 10_000}, balanced=True), "train")) == 10_000
    assert time.perf_counter() - start < 30  # catches quadratic time; not a benchmark
