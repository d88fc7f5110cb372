import json

from coursekit.from_scratch.loader import index_annotations
from coursekit.show import coco_records
from coursekit.show.coco_records import annotation_counts_picture, coco_images
from tests.show.pictures import is_drawn


def _content(folder):
    return json.loads((folder / "annotations" / "instances_train2017.json").read_text())


def test_annotations_per_image_and_ids_with_gaps(coco_folder, tmp_path):
    fig, alt = annotation_counts_picture(_content(coco_folder))
    left, right = fig.axes
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in left.patches] == [(1, 0), (2, 2), (0, 1)]
    assert right.lines[0].get_ydata().tolist() == [1, 18]
    assert (
        alt == "Left, annotations per image: 1 images have none, the fullest has 2. Right, 2 category ids from 1 to 18."
    )
    assert is_drawn(fig, tmp_path / "counts.png")


def test_chosen_images_with_objects_and_crowds(coco_folder, monkeypatch):
    content, shown = _content(coco_folder), {}
    monkeypatch.setattr(coco_records, "image_row", lambda panels, alt: shown.update(panels))
    coco_images(coco_folder / "train2017", content, index_annotations(content)[0], [17, 27])
    assert list(shown) == ["image 17: 1 object, 1 crowd", "image 27: 0 objects, 0 crowds"]
    image, target, names = shown["image 17: 1 object, 1 crowd"]
    assert (tuple(image.shape), names) == ((3, 48, 64), ["person"])
    assert target["boxes"].tolist() == [[0, 0, 40, 40]]
    assert target["crowd_boxes"].tolist() == [[10, 10, 60, 40]]
    assert shown["image 27: 0 objects, 0 crowds"][1]["boxes"].shape == (0, 4)
