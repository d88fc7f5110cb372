"""01 · The data loader."""

import json
import tempfile
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate, pad

from coursekit.core.errors import DataError
from coursekit.data.boxes import clean_boxes, flip_with_boxes, resize_with_boxes
from coursekit.from_scratch import loader as by_hand
from coursekit.from_scratch.loader import collate, index_annotations, read_image
from coursekit.lessons.exercise import Case, Exercise, Mistake, case
from coursekit.lessons.inputs import boxes, xyxy

Pair = tuple[Tensor, Tensor]
NAN, INFINITE = float("nan"), float("inf")
Content = dict[str, list[dict[str, Any]]]


def _content(
    images: list[int],
    annotations: list[dict[str, Any]],
    categories: tuple[int, ...] = (1,),
    size: tuple[int, int] = (8, 6),
) -> Content:
    """A small annotation file: ids of images, all of one width and height, annotations, ids of categories."""
    return {
        "images": [{"id": one, "file_name": f"{one}.png", "width": size[0], "height": size[1]} for one in images],
        "annotations": annotations,
        "categories": [{"id": one, "name": f"class {one}"} for one in categories],
    }


def _one(
    id_: int, image: int, category: int = 1, box: tuple[float, ...] = (1, 1, 4, 3), *, crowd: int = 0
) -> dict[str, Any]:
    return {"id": id_, "image_id": image, "category_id": category, "bbox": list(box), "iscrowd": crowd}


def _index_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one image with one annotation", _content([7], [_one(1, 7)]))
    yield case("an image without annotations", _content([7, 8], [_one(1, 7)]))
    yield case("no annotation at all", _content([7, 8], []))
    yield case("two annotations of one image", _content([7], [_one(1, 7), _one(2, 7)]))
    yield case("annotations that are not in the order of the images", _content([8, 7], [_one(1, 7), _one(2, 8)]))
    yield case("two images of one class, neither in the other", _content([1, 2], [_one(5, 1), _one(6, 2)]))
    yield case("an annotation of an image that is not in the file", _content([7], [_one(1, 7), _one(2, 999)]))
    yield case("a crowd, which is kept here", _content([7], [_one(1, 7), _one(2, 7, crowd=1)]))
    yield case("category ids with a gap", _content([7], [_one(1, 7, 3)], (1, 3)))
    yield case("categories that stand in another order than their ids", _content([7], [_one(1, 7)], (44, 1, 18)))
    yield case("a category that no annotation has", _content([7], [_one(1, 7, 18)], (1, 18, 90)))
    mixed = [_one(4, 3), _one(3, 9, 5), _one(2, 3, 5, crowd=1), _one(1, 999)]
    yield case("all of that at once", _content([9, 3, 5], mixed, (7, 5, 1)))


def _use_index(answer: Any, content: Content) -> Any:
    by_image, label_of = answer(content)
    return [[key, list(found)] for key, found in by_image.items()], sorted(label_of.items())


def _only_with_boxes(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    return {image: found for image, found in by_image.items() if found}, label_of


def _new_images(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    for one in content["annotations"]:
        if one["image_id"] not in by_image:
            by_image[one["image_id"]] = [one]
    return by_image, label_of


def _known_images(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    for one in content["annotations"]:
        by_image[one["image_id"]]
    return by_image, label_of


def _one_list(content: Content) -> Any:
    by_image: Any = dict.fromkeys((image["id"] for image in content["images"]), [])  # noqa: RUF024 - the mistake
    for one in content["annotations"]:
        if one["image_id"] in by_image:
            by_image[one["image_id"]].append(one)
    return by_image, index_annotations(content)[1]


def _last_only(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    return {image: found[-1:] for image, found in by_image.items()}, label_of


def _no_crowds(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    return {image: [one for one in found if not one["iscrowd"]] for image, found in by_image.items()}, label_of


def _gaps(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    return by_image, {category: category for category in label_of}


def _from_zero(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    return by_image, {category: label - 1 for category, label in label_of.items()}


def _file_order(content: Content) -> Any:
    by_image, _ = index_annotations(content)
    return by_image, {category["id"]: label for label, category in enumerate(content["categories"], 1)}


def _used_only(content: Content) -> Any:
    by_image, _ = index_annotations(content)
    used = sorted({one["category_id"] for one in content["annotations"]})
    return by_image, {category: label for label, category in enumerate(used, 1)}


def _turned_round(content: Content) -> Any:
    by_image, label_of = index_annotations(content)
    return by_image, {label: category for category, label in label_of.items()}


INDEX = Exercise(
    "index_annotations",
    lesson=1,
    minutes=15,
    reference=index_annotations,
    cases=_index_cases,
    call=_use_index,
    library=("pycocotools.coco.COCO", "coursekit.data.CocoIndex"),
    hints=(
        "“Some images are gone.” Those without annotations: where would they come from, if you only look through the "
        "annotations? Begin with the images: an empty list for each.",
        "“KeyError”, or “an image more than there are”. An annotation may name an image that is not in the file. Ask first "
        "whether the id is in your dict. And if each image shows all annotations: dict.fromkeys(ids, []) gives all of them "
        "one and the same list; {id: [] for id in ids} makes a new one each time.",
        "“My labels are wrong.” sorted() the ids of content['categories'], then enumerate(…, start=1) counts them without "
        "gaps: {category_id: label for label, category_id in enumerate(ids, start=1)}.",
    ),
    mistakes=(
        Mistake("images without annotations are missing", _only_with_boxes),
        Mistake("an annotation of an image that is not in the file makes a new image", _new_images),
        Mistake("it fails on an annotation of an image that is not in the file", _known_images),
        Mistake("all images share one list, as dict.fromkeys(ids, []) makes it", _one_list),
        Mistake("only the last annotation of each image is kept", _last_only),
        Mistake("crowds are left out: they are needed, though not to train on", _no_crowds),
        Mistake("the category id is the label, gaps and all", _gaps),
        Mistake("labels count from 0, which is the background", _from_zero),
        Mistake("labels follow the order of the file, not of the ids", _file_order),
        Mistake("only classes that occur get a label: train and val would count differently", _used_only),
        Mistake("label → category: the other way round was asked for", _turned_round),
    ),
)

KINDS = {  # what a folder may hold: name of the case → the words for it
    "png": "a colour PNG, 3 pixels wide and 2 tall",
    "grey": "a grey JPEG",
    "cmyk": "a JPEG with four channels, for print",
    "palette": "a PNG with a palette, which has one number a pixel",
    "alpha": "a PNG with a fourth channel, how opaque it is",
    "1 bit": "a black and white PNG, of one bit a pixel",
    "on its side": "a JPEG that lies on its side, with an EXIF tag that says so",
    "text": "a web page, saved as an image",
    "empty": "a file of no bytes",
    "missing": "a file that is not there",
    "cut at half": "a JPEG whose second half is missing",
    "cut by 2": "a JPEG without its last two bytes",
    "broken png": "a PNG with a damaged block, on which Pillow raises a SyntaxError",
    "bomb": "a small JPEG that claims 20,000 × 20,000 pixels",
}


def _read_cases(generator: torch.Generator) -> Iterator[Case]:
    for kind, words in KINDS.items():
        yield case(words, kind)


def _png_or_jpeg(picture: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def _file(kind: str) -> bytes:
    """The bytes of one of KINDS."""
    values = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    picture = Image.fromarray(values)
    small, jpeg = picture.crop((0, 0, 3, 2)), _png_or_jpeg(picture, quality=95)
    match kind:
        case "png":
            return _png_or_jpeg(small, "PNG")
        case "grey":
            return _png_or_jpeg(Image.new("L", (5, 4), 90))
        case "cmyk":
            return _png_or_jpeg(Image.new("CMYK", (5, 4), (255, 0, 128, 0)))
        case "palette":
            return _png_or_jpeg(small.convert("P", palette=Image.Palette.ADAPTIVE), "PNG")
        case "alpha":
            return _png_or_jpeg(small.convert("RGBA"), "PNG")
        case "1 bit":
            return _png_or_jpeg(small.convert("1"), "PNG")
        case "on its side":
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = 6
            halves = Image.new("RGB", (16, 8), (250, 250, 250))
            halves.paste((0, 0, 0), (0, 0, 8, 8))
            return _png_or_jpeg(halves, exif=exif, quality=100)
        case "text":
            return b"<!DOCTYPE html><title>404 Not Found</title>"
        case "cut at half":
            return jpeg[: len(jpeg) // 2]
        case "cut by 2":
            return jpeg[:-2]
        case "broken png":
            whole = _png_or_jpeg(small, "PNG")
            return whole.replace(b"IDAT", bytes(4))
        case "bomb":
            place = jpeg.index(b"\xff\xc0") + 5
            return jpeg[:place] + (20_000).to_bytes(2) * 2 + jpeg[place + 4 :]
    return b""


def _use_reader(answer: Any, kind: str) -> Any:
    """What an answer makes of a file, in words where it refuses it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        if kind != "missing":
            path.write_bytes(_file(kind))
        try:
            image = answer(path)
        except DataError as error:
            named = "names the file" if path.name in str(error) else "does not name the file"
            return f"refused, with a DataError that {named}"
    return image


def _array(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _refused(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: {error}")


def _no_convert(path: Path) -> Tensor:
    try:
        with Image.open(path) as file:
            values = np.array(ImageOps.exif_transpose(file))
    except Exception as error:
        raise _refused(path, error) from error
    return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1)


def _lying(path: Path) -> Tensor:
    read_image(path)
    with Image.open(path) as file:
        return _array(file.convert("RGB"))


def _channels_last(path: Path) -> Tensor:
    return read_image(path).permute(1, 2, 0)


def _as_floats(path: Path) -> Tensor:
    return read_image(path) / 255


def _blue_first(path: Path) -> Tensor:
    return read_image(path).flip(0)


def _not_refused(path: Path) -> Tensor:
    with Image.open(path) as file:
        return _array(ImageOps.exif_transpose(file).convert("RGB"))


def _system_errors_only(path: Path) -> Tensor:
    try:
        return _not_refused(path)
    except OSError as error:
        raise _refused(path, error) from error


def _decoded_outside(path: Path) -> Tensor:
    try:
        with Image.open(path) as file:
            file.verify()
    except Exception as error:
        raise _refused(path, error) from error
    return _not_refused(path)


def _truncated_allowed(path: Path) -> Tensor:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return read_image(path)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _black_instead(path: Path) -> Tensor:
    try:
        return read_image(path)
    except DataError:
        return torch.zeros(3, 240, 320, dtype=torch.uint8)


def _none_instead(path: Path) -> Tensor | None:
    try:
        return read_image(path)
    except DataError:
        return None


def _unnamed(path: Path) -> Tensor:
    try:
        return read_image(path)
    except DataError:
        raise DataError("the image is damaged") from None


def _by_ending(path: Path) -> Tensor:
    try:
        with Image.open(path, formats=["JPEG"]):
            return read_image(path)
    except Exception as error:
        raise _refused(path, error) from error


READ = Exercise(
    "read_image",
    lesson=1,
    minutes=15,
    reference=read_image,
    cases=_read_cases,
    call=_use_reader,
    library=(
        "torchvision.io.read_image",
        "torchvision.io.decode_image",
        "torchvision.io.decode_jpeg",
        "coursekit.data.images.open_picture",
    ),
    hints=(
        "“The number of channels is wrong.” A file may have one channel, or four, or a palette. Which mode does every "
        "picture know how to become? And (H, W, 3) is how Pillow has it; permute puts the channels first.",
        "“A cut file gets through”, or “another error came out than a DataError”. Image.open reads the header only; the "
        "pixels come with the first call that needs them, such as convert. So that call belongs inside the `try`. And "
        "decoders raise all kinds of errors: here, and only here, `except Exception` is right.",
        "“Nearly there.” with Image.open(path) as file: picture = ImageOps.exif_transpose(file).convert('RGB'); all of it "
        "in the try; then raise DataError(f'{path}: …') from error; last torch.from_numpy(np.array(picture)).permute(2, 0, 1).",
    ),
    mistakes=(
        Mistake("the picture keeps its mode: grey has one channel, print has four", _no_convert),
        Mistake("EXIF's tag is not heeded: the picture lies on its side, and its boxes don't", _lying),
        Mistake("the channels stand last, as Pillow has them", _channels_last),
        Mistake("floats instead of bytes: four times the memory, and a loader moves bytes", _as_floats),
        Mistake("blue and red are exchanged, as OpenCV has them", _blue_first),
        Mistake("no error is caught: what a decoder raises comes out as it is", _not_refused),
        Mistake("only OSErrors are caught: bombs and broken PNGs raise others", _system_errors_only),
        Mistake("verify() is trusted: it doesn't decode, so a cut file passes", _decoded_outside),
        Mistake("LOAD_TRUNCATED_IMAGES lets cut files pass, with grey where the rest should be", _truncated_allowed),
        Mistake("a black picture stands in for a damaged one, with the boxes of the real one", _black_instead),
        Mistake("None comes back for a damaged file: it will crash somewhere else, later", _none_instead),
        Mistake("the message doesn't say which file", _unnamed),
        Mistake("the ending is trusted: a PNG with the wrong ending is refused", _by_ending),
    ),
)


def _clean_cases(generator: torch.Generator) -> Iterator[Case]:
    size = (240, 320)
    yield case("a sound box", xyxy((10, 20, 30, 40)), size)
    yield case("one that reaches over the right and lower edges", xyxy((300, 200, 400, 300)), size)
    yield case("one that begins left of and above the image", xyxy((-10, -20, 30, 40)), size)
    yield case("one of no width", xyxy((10, 20, 10, 40), (10, 20, 30, 40)), size)
    yield case("one of no height", xyxy((10, 20, 30, 20), (10, 20, 30, 40)), size)
    yield case("one with its corners exchanged", xyxy((30, 40, 10, 20), (10, 20, 30, 40)), size)
    yield case("one that lies beside the image, and has no area there", xyxy((330, 20, 350, 40)), size)
    yield case("one with a NaN", xyxy((10, NAN, 30, 40), (10, 20, 30, 40)), size)
    yield case("one that is infinite", xyxy((0, 0, INFINITE, INFINITE), (10, 20, 30, 40)), size)
    yield case("a tall image", xyxy((0, 0, 300, 300)), (320, 200))
    yield case("one thinner than a pixel, which is small and sound", xyxy((10, 20, 10.5, 40)), size)
    yield case("none", torch.empty(0, 4), size)
    yield case("some, in float64", 4 * boxes(generator, 6, torch.float64) - 60, size)


def _not_clipped(box: Tensor, size: tuple[int, int]) -> Pair:
    keep = box.isfinite().all(1) & (box[:, 2:] > box[:, :2]).all(1)
    return box[keep], keep


def _axes_swapped(box: Tensor, size: tuple[int, int]) -> Pair:
    return clean_boxes(box, (size[1], size[0]))


def _tested_first(box: Tensor, size: tuple[int, int]) -> Pair:
    keep = box.isfinite().all(1) & (box[:, 2:] > box[:, :2]).all(1)
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    return clipped[keep], keep


def _nothing_dropped(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    return clipped, torch.ones(len(box), dtype=torch.bool)


def _nan_stays(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    keep = ~((clipped[:, 2:] <= clipped[:, :2]).any(1))
    return clipped[keep], keep


def _infinite_clipped(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped = torch.stack([box[:, n].clamp(0, size[1 - n % 2]) for n in range(4)], 1)
    keep = (clipped[:, 2:] > clipped[:, :2]).all(1)
    return clipped[keep], keep


def _one_pixel(box: Tensor, size: tuple[int, int]) -> Pair:
    clipped, keep = _tested_first(box, size)
    large = (clipped[:, 2:] - clipped[:, :2] >= 1).all(1)
    kept = keep.clone()
    kept[keep] = large
    return clipped[large], kept


def _last_pixel(box: Tensor, size: tuple[int, int]) -> Pair:
    return clean_boxes(box, (size[0] - 1, size[1] - 1))


CLEAN = Exercise(
    "clean_boxes",
    lesson=1,
    minutes=10,
    reference=clean_boxes,
    cases=_clean_cases,
    library=("torchvision.ops.remove_small_boxes", "torchvision.ops.clip_boxes_to_image"),
    hints=(
        "“A box beside the image is still there.” In which order do you cut and test? Cut first: a box outside has no area "
        "left, and the test finds it.",
        "“The NaN gets through.” Every comparison with NaN is False: ask for what is good (x2 > x1), not for what is bad "
        "(x2 <= x1). And an infinite box was not measured by anybody: boxes.isfinite().all(1), before you cut.",
        "“Right for a square image only.” size is (height, width), and a box is (x, y, x, y). x1, y1, x2, y2 = "
        "boxes.unbind(1); x1.clamp(0, width), y1.clamp(0, height) and so on; torch.stack(…, dim=1); keep = finite & "
        "(x2 > x1) & (y2 > y1); return clipped[keep], keep.",
    ),
    mistakes=(
        Mistake("nothing is cut at the edges of the image", _not_clipped),
        Mistake("height and width are swapped: size is (height, width), a box begins with x", _axes_swapped),
        Mistake("tested before it was cut: a box beside the image has an area until then", _tested_first),
        Mistake("nothing is dropped", _nothing_dropped),
        Mistake("a NaN gets through: it is not smaller than anything, and not larger either", _nan_stays),
        Mistake("an infinite box is cut to the image's size, as if somebody had measured it", _infinite_clipped),
        Mistake("boxes thinner than a pixel are dropped: small is not broken", _one_pixel),
        Mistake("cut at width - 1: an edge lies behind the last pixel", _last_pixel),
    ),
)


def _flip_cases(generator: torch.Generator) -> Iterator[Case]:
    ramp = torch.arange(12.0).reshape(1, 2, 6)
    yield case("an image 6 wide, with a box at its left edge", ramp, xyxy((0, 0, 2, 1)))
    yield case("a box in the middle", ramp, xyxy((2, 0, 4, 2)))
    yield case("no box", torch.rand(3, 5, 7, generator=generator), torch.empty(0, 4))
    yield case("bytes, and a tall image", torch.arange(30, dtype=torch.uint8).reshape(1, 10, 3), xyxy((0, 3, 1, 9)))
    yield case("boxes in float64", torch.rand(3, 40, 60, generator=generator), boxes(generator, 9, torch.float64))


def _boxes_stay(image: Tensor, box: Tensor) -> Pair:
    return image.flip(-1), box.clone()


def _image_stays(image: Tensor, box: Tensor) -> Pair:
    return image.clone(), flip_with_boxes(image, box)[1]


def _corners_exchanged(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    width = image.shape[-1]
    return image.flip(-1), torch.stack([width - x1, y1, width - x2, y2], -1)


def _upside_down(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    height = image.shape[-2]
    return image.flip(-2), torch.stack([x1, height - y2, x2, height - y1], -1)


def _by_height(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    height = image.shape[-2]
    return image.flip(-1), torch.stack([height - x2, y1, height - x1, y2], -1)


def _a_pixel_off(image: Tensor, box: Tensor) -> Pair:
    x1, y1, x2, y2 = box.unbind(-1)
    width = image.shape[-1] - 1
    return image.flip(-1), torch.stack([width - x2, y1, width - x1, y2], -1)


def _written_over(image: Tensor, box: Tensor) -> Pair:
    box[:, [0, 2]] = image.shape[-1] - box[:, [2, 0]]
    return image.flip(-1), box


FLIP = Exercise(
    "flip_with_boxes",
    lesson=1,
    minutes=10,
    reference=flip_with_boxes,
    cases=_flip_cases,
    library=("torchvision.transforms.v2.functional.horizontal_flip", "torchvision.transforms.v2.RandomHorizontalFlip"),
    hints=(
        "“My boxes have a negative width.” What was the right edge is the left edge in a mirror. Which of the two becomes x1?",
        "“Off by one pixel.” In an image 6 wide, a box from 0 to 2 becomes one from 4 to 6, not from 3 to 5: coordinates "
        "are edges of pixels, not their numbers.",
        "“The check says that I changed an argument.” Take x1, y1, x2, y2 = boxes.unbind(-1), and return image.flip(-1), "
        "torch.stack([width - x2, y1, width - x1, y2], dim=-1), where width = image.shape[-1].",
    ),
    mistakes=(
        Mistake("the image is mirrored, and the boxes stay", _boxes_stay),
        Mistake("the boxes are mirrored, and the image stays", _image_stays),
        Mistake("x1 and x2 don't change places: the boxes have negative widths", _corners_exchanged),
        Mistake("it is turned upside down, not left to right", _upside_down),
        Mistake("the height is taken for the width", _by_height),
        Mistake("a pixel off: width - 1 - x", _a_pixel_off),
        Mistake("the boxes that came in are written to", _written_over),
    ),
)


def _resize_cases(generator: torch.Generator) -> Iterator[Case]:
    ramp = torch.arange(24.0).reshape(1, 4, 6)
    yield case("half as wide, half as tall", ramp, xyxy((2, 0, 4, 2)), (2, 3))
    yield case("half as wide, of the same height", ramp, xyxy((2, 1, 4, 3)), (4, 3))
    yield case("of the same width, twice as tall", ramp, xyxy((2, 1, 4, 3)), (8, 6))
    yield case("the same size", ramp, xyxy((2, 1, 4, 3)), (4, 6))
    yield case("a box whose sides are no whole pixels afterwards", ramp, xyxy((1, 1, 2, 2)), (3, 4))
    yield case("no box", torch.rand(3, 5, 7, generator=generator), torch.empty(0, 4), (4, 4))
    yield case("bytes, and a tall image", torch.full((3, 10, 4), 77, dtype=torch.uint8), xyxy((0, 3, 1, 9)), (5, 4))
    checks = (torch.arange(96).reshape(1, 8, 12) % 2 * 200.0).contiguous()
    yield case("fine stripes made smaller: each new pixel is the mean of many", checks, xyxy((0, 0, 6, 4)), (2, 3))
    yield case("boxes in float64", ramp, boxes(generator, 9, torch.float64), (5, 3))
    yield case("an odd size", torch.rand(3, 21, 31, generator=generator), boxes(generator, 9, width=20), (15, 22))


Size = tuple[int, int]


def _scales(image: Tensor, size: Size) -> tuple[float, float]:
    """Of y and of x."""
    return size[0] / image.shape[1], size[1] / image.shape[2]


def _rest_boxes(image: Tensor, box: Tensor, size: Size) -> Pair:
    return resize_with_boxes(image, box, size)[0], box.clone()


def _rest_image(image: Tensor, box: Tensor, size: Size) -> Pair:
    return image.clone(), resize_with_boxes(image, box, size)[1]


def _width_first(image: Tensor, box: Tensor, size: Size) -> Pair:
    return resize_with_boxes(image, box, (size[1], size[0]))


def _scaled_by(image: Tensor, box: Tensor, size: Size, scales: list[float]) -> Pair:
    return resize_with_boxes(image, box, size)[0], box * box.new_tensor(scales)


def _crossed(image: Tensor, box: Tensor, size: Size) -> Pair:
    y, x = _scales(image, size)
    return _scaled_by(image, box, size, [y, x, y, x])


def _one_scale(image: Tensor, box: Tensor, size: Size) -> Pair:
    return _scaled_by(image, box, size, [_scales(image, size)[0]] * 4)


def _inverse(image: Tensor, box: Tensor, size: Size) -> Pair:
    y, x = _scales(image, size)
    return _scaled_by(image, box, size, [1 / x, 1 / y, 1 / x, 1 / y])


def _corner_only(image: Tensor, box: Tensor, size: Size) -> Pair:
    y, x = _scales(image, size)
    return _scaled_by(image, box, size, [x, y, 1, 1])


def _rounded(image: Tensor, box: Tensor, size: Size) -> Pair:
    new, scaled = resize_with_boxes(image, box, size)
    return new, scaled.round()


def _aliased(image: Tensor, box: Tensor, size: Size) -> Pair:
    new = interpolate(image[None].float(), size, mode="bilinear")[0]
    return new.to(image.dtype), resize_with_boxes(image, box, size)[1]


def _nearest(image: Tensor, box: Tensor, size: Size) -> Pair:
    return interpolate(image[None], size)[0], resize_with_boxes(image, box, size)[1]


def _in_place(image: Tensor, box: Tensor, size: Size) -> Pair:
    new, scaled = resize_with_boxes(image, box, size)
    return new, box.copy_(scaled)


def _to_float(image: Tensor, box: Tensor, size: Size) -> Pair:
    return resize_with_boxes(image.float(), box, size)


RESIZE = Exercise(
    "resize_with_boxes",
    lesson=1,
    minutes=10,
    reference=resize_with_boxes,
    cases=_resize_cases,
    library=("torchvision.transforms.v2.functional.resize", "torchvision.transforms.v2.Resize"),
    hints=(
        "“The boxes sit right in some images only.” x and y have each their own factor. Which side of the image belongs to "
        "x, and is it image.shape[1] or image.shape[2]?",
        "“interpolate complains about the shape.” It wants a batch: image[None] is (1, C, H, W), and [0] takes the image "
        "out again. It wants mode='bilinear', and antialias=True: a small picture of a large one takes the mean of the "
        "pixels that fall together.",
        "“Nearly there.” new = interpolate(image[None], size, mode='bilinear', antialias=True)[0]; x = size[1] / "
        "image.shape[2]; y = size[0] / image.shape[1]; boxes * boxes.new_tensor([x, y, x, y]). Nothing is rounded.",
    ),
    mistakes=(
        Mistake("the image is resized, and the boxes stay", _rest_boxes),
        Mistake("the boxes are scaled, and the image stays", _rest_image),
        Mistake("size is (height, width), and was taken for (width, height)", _width_first),
        Mistake("the factors of x and y are exchanged", _crossed),
        Mistake("one factor for both: the two directions may be scaled differently", _one_scale),
        Mistake("the boxes are divided by the factor, not multiplied", _inverse),
        Mistake("only the left top corner is scaled", _corner_only),
        Mistake("boxes are rounded: a small one loses a good part of itself", _rounded),
        Mistake("made smaller without antialiasing: fine stripes become noise", _aliased),
        Mistake("the nearest pixel is taken, not a mean", _nearest),
        Mistake("the boxes that came in are written to", _in_place),
        Mistake("bytes come back as floats", _to_float),
    ),
)


def _dataset_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("one image with one box", _content([7], [_one(1, 7)]))
    yield case("an image without annotations between two others", _content([7, 8, 9], [_one(1, 7), _one(2, 9)]))
    yield case("a class id that is no label", _content([7], [_one(1, 7, 44)], (1, 18, 44)))
    yield case("classes in another order than their ids", _content([7], [_one(1, 7, 18)], (44, 1, 18)))
    yield case("a crowd beside a single object", _content([7], [_one(1, 7, crowd=1), _one(2, 7)]))
    yield case("a crowd and nothing else", _content([7], [_one(1, 7, crowd=1)]))
    flat = [_one(1, 7, 1, (1, 1, 0, 3)), _one(2, 7, 2, crowd=1), _one(3, 7, 3)]
    yield case("a box of no width before others", _content([7], flat, (1, 2, 3)))
    yield case("a box that reaches over the edge", _content([7], [_one(1, 7, box=(5, 4, 50, 60))]))
    yield case("nothing but a NaN", _content([7], [_one(1, 7, box=(NAN, 1, 4, 3))]))
    plain = {key: value for key, value in _one(1, 7).items() if key != "iscrowd"}
    yield case("annotations that don't say iscrowd", _content([7], [plain]))
    tall = [_one(n, 7 + n % 2, 1 + n % 3, (n, n, 2, 3), crowd=int(n == 5)) for n in range(8)]
    yield case("tall images with many boxes", _content([8, 7], tall, (3, 2, 1), size=(9, 20)))


def _use_dataset(answer: Any, content: Content) -> Any:
    """What an answer makes of a folder with these records."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "boxes.json").write_text(json.dumps(content))
        for place, record in enumerate(content["images"]):
            size = record["width"], record["height"]
            Image.new("RGB", size, (40 * place, 20, 90)).save(folder / record["file_name"])
        dataset = answer(folder / "boxes.json", folder)
        samples = [dataset[index] for index in range(len(dataset))]
        for path in folder.glob("*.png"):
            path.unlink()
        without_images = [dataset.target(index)["image_id"] for index in range(len(dataset))]
    return {
        "len": len(dataset),
        "target(…) where the images are gone": without_images,
        "classes": list(dataset.classes),
        "images": [image for image, _ in samples],
        "targets": [{key: target[key] for key in TARGET} for _, target in samples],
    }


TARGET = ("boxes", "labels", "crowd_boxes", "image_id")


class _FullOnly(by_hand.CocoDataset):
    def __init__(self, annotation_file: Path, image_folder: Path) -> None:
        super().__init__(annotation_file, image_folder)
        self.images = [one for one in self.images if self.annotations[one["id"]]]


class _CategoryIds(by_hand.CocoDataset):
    def __init__(self, annotation_file: Path, image_folder: Path) -> None:
        super().__init__(annotation_file, image_folder)
        self.label_of = {id_: id_ for id_ in self.label_of}


class _BackgroundFirst(by_hand.CocoDataset):
    def __init__(self, annotation_file: Path, image_folder: Path) -> None:
        super().__init__(annotation_file, image_folder)
        self.label_of = {id_: label - 1 for id_, label in self.label_of.items()}


class _NamesAsTheyStand(by_hand.CocoDataset):
    def __init__(self, annotation_file: Path, image_folder: Path) -> None:
        super().__init__(annotation_file, image_folder)
        self.classes = [one["name"] for one in json.loads(annotation_file.read_text())["categories"]]


class _CrowdsTrained(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        for one in self.annotations[self.images[index]["id"]]:
            one["iscrowd"] = 0
        return super().target(index)


class _CrowdsLost(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        return {**super().target(index), "crowd_boxes": torch.empty(0, 4)}


class _NoShape(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        target: Any = super().target(index)
        return {key: torch.tensor([]) if key == "boxes" and not len(one) else one for key, one in target.items()}


class _NotConverted(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        found = self.annotations[self.images[index]["id"]]
        raw = torch.tensor([one["bbox"] for one in found if not one.get("iscrowd")]).float().reshape(-1, 4)
        return {**super().target(index), "boxes": raw}


class _NotCleaned(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        found = [one for one in self.annotations[self.images[index]["id"]] if not one.get("iscrowd")]
        x, y, w, h = torch.tensor([one["bbox"] for one in found]).float().reshape(-1, 4).unbind(1)
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found], dtype=torch.int64)
        return {**super().target(index), "boxes": torch.stack([x, y, x + w, y + h], 1), "labels": labels}


class _LabelsKept(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        found = [one for one in self.annotations[self.images[index]["id"]] if not one.get("iscrowd")]
        labels = torch.tensor([self.label_of[one["category_id"]] for one in found], dtype=torch.int64)
        return {**super().target(index), "labels": labels}


class _ReadsForTheTarget(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        by_hand.read_image(self.folder / self.images[index]["file_name"])
        return super().target(index)


class _Position(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        return {**super().target(index), "image_id": index}


class _SizeSwapped(by_hand.CocoDataset):
    def __init__(self, annotation_file: Path, image_folder: Path) -> None:
        super().__init__(annotation_file, image_folder)
        self.images = [one | {"width": one["height"], "height": one["width"]} for one in self.images]


class _IscrowdNeeded(by_hand.CocoDataset):
    def target(self, index: int) -> Any:
        for one in self.annotations[self.images[index]["id"]]:
            one["iscrowd"]
        return super().target(index)


DATASET = Exercise(
    "CocoDataset",
    lesson=1,
    minutes=20,
    reference=by_hand.CocoDataset,
    cases=_dataset_cases,
    call=_use_dataset,
    library=("torchvision.datasets.CocoDetection", "torchvision.datasets.wrap_dataset_for_transforms_v2"),
    hints=(
        "“An image without boxes fails.” torch.tensor([]) has the shape (0,), and floats in it. .reshape(-1, 4) makes it "
        "(0, 4); dtype=torch.int64 says that no labels are still whole numbers.",
        "“Labels and boxes don't fit together.” clean_boxes gives two things: the boxes that are left, and which those are. "
        "labels[keep] and is_crowd[keep] drop the same ones. The crowds come after that.",
        "“Nearly there.” found = self.annotations[record['id']]; three tensors of it: bbox, label, iscrowd "
        "(one.get('iscrowd', 0), dtype=torch.bool); boxes, keep = clean_boxes(xywh_to_xyxy(raw), (height, width)); "
        "then [keep] for the other two; 'boxes' is boxes[~is_crowd], 'crowd_boxes' is boxes[is_crowd].",
    ),
    mistakes=(
        Mistake("images without annotations are left out: a detector must see those, too", _FullOnly),
        Mistake("the category id is taken for the label", _CategoryIds),
        Mistake("labels count from 0, which is the background", _BackgroundFirst),
        Mistake("the names stand in the file's order, the labels in that of the ids", _NamesAsTheyStand),
        Mistake("crowds are trained on as if they were single objects", _CrowdsTrained),
        Mistake("crowds are lost: what lies in one is no mistake of the detector", _CrowdsLost),
        Mistake("an image without boxes gives boxes of the shape (0,), not (0, 4)", _NoShape),
        Mistake("boxes are still left, top, width, height", _NotConverted),
        Mistake("boxes are not cleaned", _NotCleaned),
        Mistake("a box was dropped and its label was not: all that follow have a wrong class", _LabelsKept),
        Mistake("image_id is the position in the list, not COCO's id", _Position),
        Mistake("target reads the image, which it does not need", _ReadsForTheTarget),
        Mistake("height and width are swapped", _SizeSwapped),
        Mistake("it fails where an annotation does not say iscrowd", _IscrowdNeeded),
    ),
)

Samples = list[tuple[Tensor, dict[str, Any]]]


def _collate_cases(generator: torch.Generator) -> Iterator[Case]:
    def samples(*sizes: tuple[int, int], dtype: torch.dtype = torch.uint8) -> Samples:
        return [
            (
                torch.randint(1, 255, (3, *size), generator=generator).to(dtype),
                {"boxes": xyxy(*[(0, 0, 1, n + 1.0)] * n), "image_id": n},
            )
            for n, size in enumerate(sizes)
        ]

    yield case("one image of just that size", samples((4, 4)), 4)
    yield case("one that is a pixel too small", samples((3, 4)), 4)
    yield case("one that is a pixel too large", samples((4, 5)), 4)
    yield case("two of one size", samples((2, 4), (2, 4)), 2)
    yield case("a wide and a tall one", samples((2, 6), (6, 2)), 2)
    yield case("the first is the smallest", samples((1, 2), (3, 5), (2, 2)), 1)
    yield case("floats", samples((2, 3), (3, 3), dtype=torch.float32), 4)
    yield case("no stride given: 32", samples((20, 40), (10, 33)))


def _sizes(samples: Samples, stride: int) -> tuple[int, int]:
    shape = collate(samples, stride)[0].shape  # type: ignore[arg-type]
    return shape[2], shape[3]


def _padded(samples: Samples, size: tuple[int, int], value: float = 0, left: int = 0) -> Any:
    batch = [
        pad(
            image,
            (
                left * (size[1] - image.shape[2]) // 2,
                size[1] - image.shape[2] - left * (size[1] - image.shape[2]) // 2,
                left * (size[0] - image.shape[1]) // 2,
                size[0] - image.shape[1] - left * (size[0] - image.shape[1]) // 2,
            ),
            value=value,
        )
        for image, _ in samples
    ]
    return torch.stack(batch), [target for _, target in samples]


def _stacked(samples: Samples, stride: int = 32) -> Any:
    return torch.stack([image for image, _ in samples]), [target for _, target in samples]


def _listed(samples: Samples, stride: int = 32) -> Any:
    return [image for image, _ in samples], [target for _, target in samples]


def _centred(samples: Samples, stride: int = 32) -> Any:
    return _padded(samples, _sizes(samples, stride), left=1)


def _no_stride(samples: Samples, stride: int = 32) -> Any:
    return _padded(samples, _sizes(samples, 1))


def _one_stride_more(samples: Samples, stride: int = 32) -> Any:
    height, width = _sizes(samples, 1)
    return _padded(samples, ((height // stride + 1) * stride, (width // stride + 1) * stride))


def _square(samples: Samples, stride: int = 32) -> Any:
    return _padded(samples, (max(_sizes(samples, stride)),) * 2)


def _white(samples: Samples, stride: int = 32) -> Any:
    return _padded(samples, _sizes(samples, stride), value=255)


def _cut(samples: Samples, stride: int = 32) -> Any:
    height = min(image.shape[1] for image, _ in samples)
    width = min(image.shape[2] for image, _ in samples)
    return _padded([(image[:, :height, :width], target) for image, target in samples], _sizes(samples, stride))


def _stretched(samples: Samples, stride: int = 32) -> Any:
    size = _sizes(samples, stride)
    batch = [interpolate(image[None].float(), size, mode="bilinear")[0].to(image.dtype) for image, _ in samples]
    return torch.stack(batch), [target for _, target in samples]


def _float_batch(samples: Samples, stride: int = 32) -> Any:
    batch, targets = _padded(samples, _sizes(samples, stride))
    return batch.float(), targets


def _joined(samples: Samples, stride: int = 32) -> Any:
    batch, targets = _padded(samples, _sizes(samples, stride))
    return batch, {key: [target[key] for target in targets] for key in targets[0]}


def _always_32(samples: Samples, stride: int = 32) -> Any:
    return _padded(samples, _sizes(samples, 32))


COLLATE = Exercise(
    "collate",
    lesson=1,
    minutes=10,
    reference=collate,
    cases=_collate_cases,
    library=("torch.utils.data.default_collate", "torchvision.models.detection.transform.GeneralizedRCNNTransform"),
    hints=(
        "“stack expects each tensor to be equal size.” Make an empty batch that is large enough for the tallest and for the "
        "widest, full of zeros, and lay each image into its upper left corner.",
        "“The batch is one stride too large.” 64 is a multiple of 32 already, and 64 // 32 + 1 is 3. Round up: "
        "-(-64 // 32) is 2, -(-65 // 32) is 3; math.ceil(64 / 32) does it, too.",
        "“Nearly there.” images, targets = zip(*samples); batch = images[0].new_zeros(len(images), 3, height, width), which "
        "keeps the dtype; for place, image in zip(batch, images): place[:, :image.shape[1], :image.shape[2]] = image. "
        "Return batch, list(targets).",
    ),
    mistakes=(
        Mistake("images are stacked as they are: only equal sizes work", _stacked),
        Mistake("the images stay a list", _listed),
        Mistake("images are centred: every box would have to move", _centred),
        Mistake("the sides are no multiples of the stride", _no_stride),
        Mistake("a side that is a multiple already gets a stride more", _one_stride_more),
        Mistake("the batch is a square: more of it is empty than need be", _square),
        Mistake("filled up with white, not with zeros", _white),
        Mistake("all are cut to the smallest: objects are lost, their boxes stay", _cut),
        Mistake("images are stretched to one size, and their boxes are not", _stretched),
        Mistake("bytes become floats: four times the memory", _float_batch),
        Mistake("targets are joined to one dict: a batch has a list of them", _joined),
        Mistake("32 stands in the code, whatever `stride` is", _always_32),
    ),
)

EXERCISES = (INDEX, READ, CLEAN, RESIZE, FLIP, DATASET, COLLATE)
