"""Folders in the layouts that annotation tools export, for tests."""

import json
from pathlib import Path

from PIL import Image

NAMES = [f"{number}.png" for number in range(12)]


def write_pictures(folder: Path, names: list[str] = NAMES) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), "gray").save(folder / name, "PNG")


def write_json(file: Path, names: list[str] = NAMES, pictures: Path | None = None) -> None:
    """Write an annotation file with one box per image, and the images into `pictures`, if given."""
    box = {"category_id": 1, "bbox": [2, 2, 9, 8], "area": 72, "iscrowd": 0}
    ids = range(1, len(names) + 1)
    content = {
        "images": [
            {"id": id_, "file_name": name, "width": 16, "height": 12} for id_, name in zip(ids, names, strict=True)
        ],
        "annotations": [{"id": id_, "image_id": id_, **box} for id_ in ids],
        "categories": [{"id": 1, "name": "thing"}],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    if pictures is not None:
        write_pictures(pictures, names)


def write_two(folder: Path, train: str, val: str, train_pictures: str, val_pictures: str) -> Path:
    """Write eight training images and four validation images, whose names are in the training set, too."""
    write_json(folder / train, NAMES[:8], folder / train_pictures)
    write_json(folder / val, NAMES[:4], folder / val_pictures)
    return folder
