"""What a build needs: the images selected from the annotation files, and one task per image."""

from dataclasses import dataclass

import numpy as np

from coursekit.data.boxes import Size
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.subsets.fetch_annotations import load_annotations
from coursekit.data.subsets.http_client import Client
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.subsets.select import select


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


def make_plan(client: Client, recipe: Recipe, annotations: str) -> dict[str, tuple[CocoIndex, Rows]]:
    """Return the index and the selected rows of each split. No image is in two splits."""
    indices: dict[str, CocoIndex] = {}
    taken: dict[str, list[Rows]] = {}
    plan = {}
    for split in recipe.images:
        source = recipe.split_of[split]
        if source not in indices:
            indices[source] = load_annotations(client, annotations, source)
        before = taken.setdefault(source, [])
        rows = select(indices[source], recipe, split, np.concatenate(before) if before else None)
        before.append(rows)
        plan[split] = (indices[source], rows)
    return plan


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
