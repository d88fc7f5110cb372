import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coursekit.data.boxes import clean_boxes, xywh_to_xyxy
from coursekit.data.dataset import CocoDataset
from coursekit.data.targets import Targets
from tests.data.subsets.test_select import _index

ODD = [  # in images of 640 × 480 pixels
    [-20, -10, 60, 70],
    [600, 400, 100, 100],
    [0, 0, 640, 480],
    [700, 10, 20, 20],
    [10, 10, 0, 20],
    [10, 10, 20, -5],
    [math.nan, 0, 5, 5],
    [0, 0, math.inf, 5],
    [1e300, 0, 1e300, 5],
    [0.1, 0.2, 0.3, 0.4],
]


@pytest.fixture(scope="module")
def index():
    index = _index(30, 200, 5)
    return replace(
        index, boxes=np.concatenate([ODD * 8, index.boxes[: -8 * len(ODD)]]), is_crowd=index.boxes[:, 0] < 90
    )


def _one_by_one(index, row):
    """Return the target of an image with nothing but the definitions."""
    records = index.rows_of(row)
    size = (int(index.heights[row]), int(index.widths[row]))
    boxes, keep = clean_boxes(xywh_to_xyxy(torch.from_numpy(index.boxes[records].astype(np.float32))), size)
    crowd, labels = torch.from_numpy(index.is_crowd[records])[keep], torch.from_numpy(index.category_ids[records])[keep]
    return {"boxes": boxes[~crowd], "labels": labels[~crowd], "crowd_boxes": boxes[crowd]}


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("rows", [np.arange(30), np.arange(30)[::-3], np.array([4, 4, 2]), np.arange(0)])
def test_targets_are_those_of_each_image_alone(index, rows):
    targets = Targets(index, rows)
    for position, row in enumerate(rows.tolist()):
        target, expected = targets[position], _one_by_one(index, row)
        assert target["image_id"] == index.image_ids[row]
        for name, tensor in expected.items():
            assert torch.equal(target[name], tensor), name
            assert target[name].dtype == tensor.dtype, name


def test_positions_count_from_the_end_and_end(index):
    targets = Targets(index, np.arange(30))
    assert targets[-1]["image_id"] == targets[29]["image_id"]
    for position in (30, -31):
        with pytest.raises(IndexError):
            targets[position]


def test_writing_to_a_target_changes_no_other(index):
    dataset = CocoDataset("x", index, np.arange(30), Path())
    before = dataset.target(20)["boxes"].clone()
    dataset.target(20)["boxes"] += 1
    assert len(before)
    assert torch.equal(dataset.target(20)["boxes"], before)
