import pytest

from coursekit.core.errors import DataError
from coursekit.data.info import summarize
from coursekit.show.data_picture import data_picture


def test_summary_of_a_folder(coco_folder):
    train, val = summarize(coco_folder)
    assert (train.split, train.images, train.crowds, val.images) == ("train", 3, 1, 2)
    assert train.classes == [("person", 2, 2), ("dog", 1, 1)]
    assert train.boxes_per_image.tolist() == [2, 1, 0]
    assert train.sides.tolist() == pytest.approx([200**0.5, 480**0.5, 40])
    assert "3 images (1 without boxes), 3 boxes, 1 crowds" in train.headline


def test_picture_has_labeled_axes(coco_folder):
    fig = data_picture(summarize(coco_folder))
    assert all(axes.get_xlabel() and axes.get_title() for axes in fig.axes)
    assert len(data_picture(summarize(coco_folder)[:1]).axes) == 3


def test_folder_without_annotations_is_named(tmp_path):
    with pytest.raises(DataError, match="no annotations"):
        summarize(tmp_path)
