import json
import shutil

import pytest
import torch
from torchvision.datasets import CocoDetection
from torchvision.transforms.v2.functional import pil_to_tensor

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import collate, load
from coursekit.data.read_images import MAX_PIXELS


def test_samples_equal_torchvisions(real_coco):
    ours = load(real_coco, "val")
    annotation_file = str(real_coco / "annotations" / "instances_val2017.json")
    theirs = CocoDetection(str(real_coco / "val2017"), annotation_file)
    assert len(ours) == len(theirs)
    index_of = {image_id: index for index, image_id in enumerate(ours.image_ids)}
    for position in range(0, len(theirs), 9):
        picture, annotations = theirs[position]
        image, target = ours[index_of[theirs.ids[position]]]
        assert torch.equal(image, pil_to_tensor(picture.convert("RGB")))
        singles = [annotation for annotation in annotations if not annotation["iscrowd"]]
        ids = [ours.category_ids[label - 1] for label in target["labels"].tolist()]
        assert ids == [annotation["category_id"] for annotation in singles]
        assert len(target["boxes"]) + len(target["crowd_boxes"]) == len(annotations)


def test_targets(coco_folder):
    dataset = load(coco_folder, "train")
    image, target = dataset[0]
    assert image.shape == (3, 48, 64)
    assert image.dtype == torch.uint8
    assert target["boxes"].tolist() == [[4, 5, 24, 15], [30, 8, 46, 38]]
    assert target["boxes"].dtype == torch.float32
    assert target["labels"].tolist() == [2, 1]  # without gaps, in the order of COCO's ids: person 1 → 1, dog 18 → 2
    assert target["labels"].dtype == torch.int64
    assert target["image_id"] == 7
    assert dataset.classes == ["person", "dog"]
    assert dataset.category_ids == [1, 18]


def test_crowds_are_separate_and_empty_images_stay(coco_folder):
    dataset = load(coco_folder, "train")
    assert dataset[1][1]["labels"].tolist() == [1]
    assert dataset[1][1]["crowd_boxes"].tolist() == [[10, 10, 60, 40]]
    assert dataset[2][1]["boxes"].shape == (0, 4)
    assert len(dataset) == 3


def test_first_selects_images_with_objects(coco_folder):
    assert load(coco_folder, "train").first(2).image_ids == [7, 17]
    with pytest.raises(ConfigError, match="has 2 images with boxes, but 3 were requested"):
        load(coco_folder, "train").first(3)


@pytest.mark.parametrize("count", [0, -1])
def test_first_returns_at_least_one_image(coco_folder, count):
    dataset = load(coco_folder, "train")
    assert dataset.first(1).image_ids == [7]
    with pytest.raises(ConfigError, match=f"{count} images: choose at least 1"):
        dataset.first(count)


def test_most_pixels_ignores_images_that_are_too_large_to_read(coco_folder):
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    assert 9000 < MAX_PIXELS < 20_000**2
    for image, (height, width) in zip(content["images"], [(48, 64), (90, 100), (20_000, 20_000)], strict=True):
        image.update(width=width, height=height)
    path.write_text(json.dumps(content))
    dataset = load(coco_folder, "train")
    assert dataset.most_pixels() == 9000
    assert dataset.head(1).most_pixels() == 64 * 48
    assert dataset.head(0).most_pixels() == 0


def _file(folder):
    return folder / "train2017" / "1.jpg"


def test_missing_image_is_named_by_load(coco_folder):
    _file(coco_folder).unlink()
    with pytest.raises(DataError, match=r"1\.jpg: the image is missing"):
        load(coco_folder, "train")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: bytes(99), lambda b: b[:20]])
def test_damaged_image_is_named(coco_folder, damage):
    path = _file(coco_folder)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"1\.jpg: the image is damaged"):
        load(coco_folder, "train")[1]


def test_image_of_another_size_is_named(coco_folder):
    content = json.loads((coco_folder / "annotations" / "instances_train2017.json").read_text())
    content["images"][1]["width"] = 65
    (coco_folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"1\.jpg: the image is 64×48 \(width × height\), its record says 65×48"):
        load(coco_folder, "train")[1]


def test_missing_folders_are_named(coco_folder, tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such folder, and no recipe of that name\. Recipes: .*mini"):
        load(tmp_path / "nowhere", "train")
    shutil.rmtree(coco_folder / "val2017")
    with pytest.raises(DataError, match="val2017: no such folder"):
        load(coco_folder, "val")


def test_ground_truth_equals_the_file(real_coco):
    dataset = load(real_coco, "val")
    ground_truth = dataset.ground_truth()
    raw = json.loads(dataset.annotation_file.read_text())
    theirs = {a["id"]: {k: v for k, v in a.items() if k != "segmentation"} for a in raw["annotations"]}
    assert {a["id"]: a for a in ground_truth["annotations"]} == theirs
    assert [image["id"] for image in ground_truth["images"]] == [image["id"] for image in raw["images"]]
    assert {a["image_id"] for a in dataset.head(7).ground_truth()["annotations"]} <= set(dataset.image_ids[:7])


def test_set_that_is_not_built_says_how_to_build_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="not built on this machine yet. Build it: coursekit data build coco-tiny"):
        load("coco-tiny", "train")
    with pytest.raises(DataError, match="did you mean 'coco-tiny'"):
        load("cocotiny", "train")


def test_boxes_without_area_are_left_out_and_counted(coco_folder):
    path = coco_folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][2] = 0
    path.write_text(json.dumps(content))
    dataset = load(coco_folder, "train")
    assert dataset[0][1]["labels"].tolist() == [1]
    assert dataset.degenerate_boxes() == 1
    assert len(dataset.ground_truth()["annotations"]) == 4  # the ground truth keeps them


def test_collate_keeps_images_of_different_sizes_separate(coco_folder):
    dataset = load(coco_folder, "train")
    images, targets = collate([dataset[0], dataset[2]])
    assert len(images) == len(targets) == 2
