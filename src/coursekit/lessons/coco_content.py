"""Small annotation files in COCO's format for the checks of lesson 01."""

from typing import Any

from coursekit.data.boxes import Size

Record = dict[str, Any]
Content = dict[str, list[Record]]


def content_of(
    image_ids: list[int], annotations: list[Record], category_ids: tuple[int, ...] = (1,), size: Size = (6, 8)
) -> Content:
    """Return an annotation file as `json` reads it; its images are all of one size, (height, width) in pixels."""
    height, width = size
    return {
        "images": [{"id": id_, "file_name": f"{id_}.png", "width": width, "height": height} for id_ in image_ids],
        "annotations": annotations,
        "categories": [{"id": id_, "name": f"class {id_}"} for id_ in category_ids],
    }


def entry(
    id_: int, image_id: int, category_id: int = 1, bbox: tuple[float, ...] = (1, 1, 4, 3), *, iscrowd: int = 0
) -> Record:
    """Return an entry of "annotations"; `bbox` is (left, top, width, height) in pixels."""
    return {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": list(bbox), "iscrowd": iscrowd}
