"""What a build needs: the annotation files, the images selected from them, and one task per image."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from tqdm.auto import tqdm

from coursekit.core.files import cache_folder, make_folder
from coursekit.data.boxes import Size
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.subsets.fetch import fetch_file
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.subsets.select import select
from coursekit.data.subsets.zip_member import fetch_zip_member


@dataclass(frozen=True)
class Task:
    """One image to fetch.

    Attributes:
        url: an address, or a file on this machine.
        file: its path below the subset's folder.
        size: (height, width) in pixels of the original.
        license: COCO's number.
    """

    url: str
    file: str
    size: Size
    license: int


def make_plan(client: httpx.Client, recipe: Recipe, annotations: str) -> dict[str, tuple[CocoIndex, Rows]]:
    """Return the index and the selected rows of each split. No image is in two splits."""
    indices: dict[str, CocoIndex] = {}
    taken: dict[str, list[Rows]] = {}
    plan = {}
    for split in recipe.images:
        source = recipe.split_of[split]
        if source not in indices:
            indices[source] = CocoIndex.load(annotation_file(client, annotations, source))
        before = taken.setdefault(source, [])
        rows = select(indices[source], recipe, split, np.concatenate(before) if before else None)
        before.append(rows)
        plan[split] = (indices[source], rows)
    return plan


def annotation_file(client: httpx.Client, annotations: str, source: str) -> Path:
    """Return the annotation file of one of COCO's splits. A remote file is fetched into the cache.

    Args:
        annotations: see `build_subset`.
        source: "train2017" or "val2017".
    """
    location = annotations.replace("{split}", source)
    name = f"instances_{source}.json"
    if "://" not in location:
        path = Path(location).expanduser()
        inside = [path / name, path / "annotations" / name]
        return next((file for file in inside if file.exists()), inside[-1]) if path.is_dir() else path
    target = cache_folder() / "annotations" / hashlib.sha256(location.encode()).hexdigest()[:8] / name
    if not target.exists():
        _fetch_annotations(client, location, target)
    return target


def _fetch_annotations(client: httpx.Client, location: str, target: Path) -> None:
    make_folder(target.parent)
    with tqdm(desc=f"fetching {target.name}", unit="B", unit_scale=True, leave=False) as bar:
        count: Any = bar.update
        if location.endswith(".zip"):
            fetch_zip_member(client, location, f"annotations/{target.name}", target, on_bytes=count)
        else:
            fetch_file(client, location, target, on_bytes=count)


def make_tasks(recipe: Recipe, split: str, index: CocoIndex, rows: Rows, images: str | None) -> list[Task]:
    """Return the tasks of one split. `images` is the folder or address of the images, see `build_subset`."""
    source = recipe.split_of[split]
    return [
        Task(
            url=f"{images.rstrip('/')}/{source}/{index.file_names[row]}" if images else _remote(str(index.urls[row])),
            file=f"{split}2017/{index.file_names[row]}",
            size=(int(index.heights[row]), int(index.widths[row])),
            license=int(index.licenses[row]),
        )
        for row in rows.tolist()
    ]


def _remote(url: str) -> str:
    """Return a record's own address, or an empty text if it would make us read files of this machine."""
    return url if url.startswith(("http://", "https://")) else ""
