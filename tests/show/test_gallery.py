import pytest

from coursekit.core.errors import ConfigError
from coursekit.data import load
from coursekit.show.gallery import gallery
from tests.show.pictures import all_texts, is_drawn


def test_the_gallery_shows_each_image_with_its_own_boxes(coco_folder, tmp_path):
    dataset = load(coco_folder, "train")
    results = [
        {"image_id": 7, "category_id": 18, "bbox": [4.0, 5, 20, 10], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [4.0, 5, 20, 10], "score": 0.3},
    ]
    fig = gallery(dataset, results, [17, 7])
    assert [axes.get_title() for axes in fig.axes[::2]] == ["image 17: ground truth", "image 7: ground truth"]
    assert [all_texts(axes) for axes in fig.axes[1::2]] == [set(), {"dog 0.90"}]
    box = fig.axes[3].patches[0]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (4, 5, 20, 10)
    assert is_drawn(fig, tmp_path / "gallery.png")


def test_the_gallery_refuses_images_that_are_not_there(coco_folder):
    dataset = load(coco_folder, "val")
    with pytest.raises(ConfigError, match="image 99 is not in"):
        gallery(dataset, [], [99])
    with pytest.raises(ConfigError, match="no image to show"):
        gallery(dataset, [], [])
