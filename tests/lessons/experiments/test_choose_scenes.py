import torch

from coursekit.data import load
from coursekit.lessons.experiments.choose_scenes import objects_of_many_sizes, sizes_of


def test_objects_come_from_the_smallest_to_the_largest():
    dataset = load("mini", "val").head(20)
    image, boxes, names = objects_of_many_sizes(dataset)
    sizes = sizes_of(boxes)
    assert image.shape[2] > image.shape[1]
    assert len(boxes) == len(names) == 4
    assert sizes.tolist() == sorted(sizes.tolist())
    assert sizes[-1] > 3 * sizes[0]
    assert set(names) <= set(dataset.classes)


def test_a_data_set_without_such_an_image_gives_the_image_with_the_most_objects(coco_folder):
    image, boxes, names = objects_of_many_sizes(load(coco_folder, "train"))
    assert image.shape == (3, 48, 64)
    assert sorted(names) == ["dog", "person"]
    torch.testing.assert_close(sizes_of(boxes).sort().values, sizes_of(boxes))
