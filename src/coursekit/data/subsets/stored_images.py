"""How a subset stores its images: resized JPEGs, or the original files, and annotations that fit them."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from coursekit.core.files import make_folder, new_file
from coursekit.data.boxes import Size
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.open_with_pillow import open_picture
from coursekit.data.read_images import size_of
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.subsets.select import kept_boxes

QUALITY = 90  # of stored JPEGs


def scaled(size: Size, long_side: int) -> Size:
    """Scale (height, width) down so that the longer side is `long_side` pixels. Never enlarge; 0 keeps the size."""
    scale = min(1.0, long_side / max(size)) if long_side else 1.0
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def stored_bytes(data: bytes, size: Size, long_side: int) -> bytes:
    """Check the bytes of an image file, and return those to store: a resized JPEG, or the original if `long_side` is 0.

    Raises:
        ValueError: the image is not of this (height, width), or can't be used, see `open_picture`.
    """
    _check_header(data, size)
    picture = open_picture(data)
    if size_of(picture) != size:
        actual, recorded = (f"{width}×{height}" for height, width in (size_of(picture), size))
        raise ValueError(f"it is {actual} instead of {recorded}")
    if not long_side:
        return data
    height, width = scaled(size, long_side)
    buffer = BytesIO()
    picture.resize((width, height), Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _check_header(data: bytes, size: Size) -> None:
    """Refuse an image of another size before it is decoded: it may be one of a gigabyte."""
    try:
        with Image.open(BytesIO(data)) as file:
            claimed = file.size
    except Exception:  # damaged files fail with errors that nobody has listed; `open_picture` says what is wrong
        return
    if sorted(claimed) != sorted(size):  # perhaps turned
        raise ValueError(f"it is {claimed[0]}×{claimed[1]} instead of {size[1]}×{size[0]}")


def write_annotations(
    folder: Path, split: str, index: CocoIndex, rows: Rows, recipe: Recipe, present: set[str]
) -> None:
    """Write the annotation file of the images that are present, with boxes in pixels of the stored images."""
    kept, wanted_ids = kept_boxes(index, recipe), set(index.ids_of(recipe.classes))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in rows.tolist():
        if f"{split}2017/{index.file_names[row]}" not in present:
            continue
        old = int(index.heights[row]), int(index.widths[row])
        new = scaled(old, recipe.long_side)
        images.append(_image_record(index, row, new))
        boxes = np.arange(len(kept))[index.rows_of(row)]
        annotations += [
            _annotation_record(index, box, images[-1]["id"], old, new) for box in boxes[kept[boxes]].tolist()
        ]
    classes = [category for category in index.categories if not wanted_ids or category.id in wanted_ids]
    content = {"images": images, "annotations": annotations, "categories": msgspec.to_builtins(classes)}
    make_folder(folder / "annotations")
    with new_file(folder / "annotations" / f"instances_{split}2017.json") as path:
        path.write_text(json.dumps(content), encoding="utf-8")


def _image_record(index: CocoIndex, row: int, size: Size) -> dict[str, Any]:
    height, width = size
    return {
        "id": int(index.image_ids[row]),
        "file_name": str(index.file_names[row]),
        "width": width,
        "height": height,
        "license": int(index.licenses[row]),
        "coco_url": str(index.urls[row]),
    }


def _annotation_record(index: CocoIndex, box: int, image_id: int, old: Size, new: Size) -> dict[str, Any]:
    y_scale, x_scale = new[0] / old[0], new[1] / old[1]
    scale = np.array([x_scale, y_scale, x_scale, y_scale])
    return {
        "id": int(index.annotation_ids[box]),
        "image_id": image_id,
        "category_id": int(index.category_ids[box]),
        "bbox": (index.boxes[box] * scale).round(3).tolist(),
        "area": round(float(index.areas[box]) * x_scale * y_scale, 3),
        "iscrowd": int(index.is_crowd[box]),
    }
