import numpy as np
import pytest

from coursekit.core.errors import DataError
from coursekit.data.index import CocoIndex
from coursekit.data.val_share import hold_out, take
from tests.data.layout_folders import write_json


@pytest.fixture
def index(tmp_path):
    write_json(tmp_path / "a.json", [f"{number}.png" for number in range(50)])
    return CocoIndex.load(tmp_path / "a.json", segmentation=True)


@pytest.mark.parametrize(("share", "count"), [(0.2, 10), (0.5, 25), (0.001, 1), (0.999, 49)])
def test_the_parts_are_disjoint_and_complete(index, share, count):
    val, train = (hold_out(index, share, split) for split in ("val", "train"))
    assert (len(val), len(train)) == (count, 50 - count)
    assert sorted([*val.image_ids, *train.image_ids]) == index.image_ids.tolist()


def test_an_added_image_moves_no_other_from_train_to_val(index, tmp_path):
    before = set(hold_out(index, 0.2, "val").file_names.tolist())
    write_json(tmp_path / "b.json", [f"{number}.png" for number in range(49, -1, -1)] + ["new.png"])
    after = set(hold_out(CocoIndex.load(tmp_path / "b.json"), 0.2, "val").file_names.tolist())
    assert len(after - {"new.png"} - before) == 0


def test_taken_rows_keep_their_boxes(coco_folder):
    index = CocoIndex.load(coco_folder / "annotations" / "instances_train2017.json")
    part = take(index, np.array([1, 2]))
    assert part.image_ids.tolist() == [17, 27]
    assert part.offsets.tolist() == [0, 2, 2]
    assert part.annotation_ids.tolist() == index.annotation_ids[index.rows_of(1)].tolist()
    assert part.boxes.tolist() == index.boxes[index.rows_of(1)].tolist()


def test_of_one_image_none_can_be_held_out(index):
    with pytest.raises(DataError, match="only one image"):
        hold_out(take(index, np.array([0])), 0.5, "val")
