"""The plain loader agrees with the fast one where both do the same."""

import json
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.data.boxes import resize_with_boxes
from coursekit.data.synthetic.damaged import DAMAGED_BOXES, DAMAGED_FILES, NO_SUCH_IMAGE, READABLE
from coursekit.from_scratch.loader import CocoDataset, collate, index_annotations, read_image


def _both(name, split):
    fast = load(name, split)
    return CocoDataset(fast.annotation_file, fast.image_folder), fast


def _assert_same(plain, fast, index):
    image, target = plain[index]
    other_image, other = fast[index]
    assert (image.int() - other_image.int()).abs().max() <= 2  # decoders convert CMYK slightly differently
    assert target.keys() == other.keys()
    assert target["image_id"] == other["image_id"]
    for key in ("boxes", "labels", "crowd_boxes"):
        assert target[key].dtype == other[key].dtype
        assert torch.equal(target[key], other[key]), key


def test_samples_equal_the_fast_ones():
    plain, fast = _both("mini", "val")
    assert len(plain) == len(fast)
    assert plain.classes == fast.classes
    for index in range(0, len(fast), 7):
        _assert_same(plain, fast, index)


def test_samples_equal_the_fast_ones_on_photographs(real_coco):
    plain, fast = _both(real_coco, "train")
    assert plain.classes == fast.classes
    for index in range(0, len(fast), 16):
        _assert_same(plain, fast, index)


@pytest.mark.filterwarnings("ignore:.*left out records that can't be used")
def test_damaged_files_are_refused_by_name_and_the_rest_is_read():
    plain, fast = _both("damaged", "train")
    refused = []
    for index, record in enumerate(plain.images):
        try:
            plain[index]
        except DataError as error:
            assert record["file_name"] in str(error)
            refused.append(record["file_name"])
        else:
            _assert_same(plain, fast, index)
    zeroed = "zeroed_in_the_middle.jpg"  # decoders don't notice the damage
    assert sorted(refused) == sorted(set(DAMAGED_FILES) - {*READABLE, zeroed})


def test_annotation_of_an_unknown_image_is_left_out():
    fast = load("mini", "train")
    content = json.loads(fast.annotation_file.read_text())
    stray = content["annotations"][0] | {"id": max(DAMAGED_BOXES), "image_id": NO_SUCH_IMAGE}
    by_image, _ = index_annotations(content | {"annotations": [*content["annotations"], stray]})
    assert NO_SUCH_IMAGE not in by_image
    assert sum(map(len, by_image.values())) == len(content["annotations"])


def test_images_keep_the_order_of_the_file_and_labels_follow_the_ids():
    images, categories = [{"id": 9}, {"id": 3}], [{"id": 44}, {"id": 1}]
    by_image, label_of = index_annotations({"images": images, "annotations": [], "categories": categories})
    assert list(by_image.items()) == [(9, []), (3, [])]
    assert list(label_of.items()) == [(1, 1), (44, 2)]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jpg"):
        read_image(tmp_path / "nowhere.jpg")


def test_each_image_is_in_the_top_left_corner_of_its_row():
    samples = [
        (torch.full((3, *size), n + 1, dtype=torch.uint8), {"image_id": n}) for n, size in enumerate([(33, 5), (8, 64)])
    ]
    batch, targets = collate(samples)
    assert batch.shape == (2, 3, 64, 64)
    assert batch.dtype == torch.uint8
    assert [target["image_id"] for target in targets] == [0, 1]
    for row, (image, _) in zip(batch, samples, strict=True):
        assert torch.equal(row[:, : image.shape[1], : image.shape[2]], image)
        assert row.count_nonzero() == image.numel()


def test_boxes_are_scaled_with_their_image():
    image = torch.zeros(3, 211, 317)
    resized, boxes = resize_with_boxes(image, torch.tensor([[0.0, 0.0, 317.0, 211.0]]), (107, 160))
    assert resized.shape == (3, 107, 160)
    assert torch.allclose(boxes, torch.tensor([[0.0, 0.0, 160.0, 107.0]]))


def test_works_with_data_loader_and_pickle():
    plain, _ = _both("mini", "val")
    assert len(pickle.loads(pickle.dumps(plain))) == len(plain)
    batch, targets = next(iter(DataLoader(plain, batch_size=4, collate_fn=collate)))
    assert batch.shape[0] == len(targets) == 4
