from dataclasses import replace

import numpy as np
import pytest

from coursekit.data import load
from coursekit.evaluation.table import by_image_id, count_up, positions, read_ground_truth


def test_ground_truth_has_each_box_of_the_images_in_their_order(coco_folder):
    dataset = load(coco_folder, "train")
    turned = replace(dataset, rows=dataset.rows[::-1])
    gt, records = read_ground_truth(turned), turned.ground_truth()["annotations"]
    assert gt.boxes.tolist() == [record["bbox"] for record in records]
    assert gt.areas.tolist() == [record["area"] for record in records]
    assert gt.is_crowd.tolist() == [record["iscrowd"] for record in records]
    assert gt.image_ids.tolist() == [record["image_id"] for record in records]
    assert [dataset.category_ids[label - 1] for label in gt.labels] == [record["category_id"] for record in records]
    assert [turned.image_ids[image] for image in gt.images] == gt.image_ids.tolist()


def test_by_image_id_sorts_the_images(coco_folder):
    dataset = load(coco_folder, "train")
    turned = replace(dataset, rows=dataset.rows[::-1])
    assert by_image_id(turned).image_ids == sorted(dataset.image_ids)


def test_positions_of_unknown_ids_are_minus_one():
    assert positions(np.array([30, 10, 20]), np.array([10, 15, 30, 99])).tolist() == [1, -1, 0, -1]
    assert positions(np.array([], int), np.array([1])).tolist() == [-1]


@pytest.mark.parametrize("far", [99, 2**63 - 1])  # one is in reach of a table of all ids, the other isn't
def test_positions_of_ids_near_and_far_apart(far):
    ids = np.array([-5, far, 7, 7])
    wanted = np.array([7, -5, far, 8, -6, -(2**63), 2**63 - 1 if far == 99 else 2**63 - 2])
    assert positions(ids, wanted).tolist() == [2, 0, 1, -1, -1, -1, -1]
    assert positions(ids, wanted[:0]).tolist() == []


def test_count_up_starts_again_for_each_count():
    assert count_up(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
