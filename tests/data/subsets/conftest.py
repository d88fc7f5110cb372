"""A COCO folder to serve, and builds from it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coursekit.data.subsets.build import build_subset
from coursekit.data.subsets.manifest import MANIFEST
from coursekit.data.subsets.recipe import Recipe

COUNT = 24
RECIPE = Recipe(
    "tiny", "coco", 1, {"train": 8, "val": 8}, split_of={"train": "val2017", "val": "val2017"}, long_side=40
)


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A COCO folder with 24 images of noise, to serve."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "val2017").mkdir()
    (folder / "annotations").mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for n in range(COUNT):
        height, width = (60, 80) if n % 3 else (90, 50)
        Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(folder / "val2017" / f"{n}.jpg")
        images.append({"id": n, "file_name": f"{n}.jpg", "width": width, "height": height, "license": n % 8 + 1})
        annotations.append(
            {"id": n + 1, "image_id": n, "category_id": 1, "bbox": [4, 6, 20, 30], "area": 600, "iscrowd": 0}
        )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return folder


def build_from(server, recipe=RECIPE, jobs=4):
    """Build the recipe from a test server."""
    return build_subset(
        recipe, annotations=server.url + "annotations/instances_{split}.json", images=server.url, jobs=jobs
    )


def bytes_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_addresses(files):
    """Drop the addresses from the manifest: the port of the server differs between builds. Nothing else may."""
    manifest = json.loads(files[MANIFEST])
    for entry in [manifest, *manifest["files"]]:
        entry.pop("annotations", None)
        entry.pop("source", None)
    return files | {MANIFEST: manifest}
