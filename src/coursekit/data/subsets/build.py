"""Building a subset of COCO: only the chosen photographs come down, and a build that was cut short goes on."""

import errno
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from coursekit.core.errors import CourseError, DataError
from coursekit.core.files import cache_folder, make_folder, new_file
from coursekit.data.images import open_picture
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.subsets.fetch import FetchError, fetch, fetch_file, fetch_zip_member, make_client
from coursekit.data.subsets.manifest import MANIFEST, Entry, Manifest, Missing, hash_of, read_manifest
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.subsets.select import kept_boxes, select

COCO_ANNOTATIONS = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
COCO_IMAGES = {"train2017": 118_287, "val2017": 5_000}  # and these take 162 KB each on average
JOURNAL = "journal.jsonl"
QUALITY = 90  # of stored JPEGs
DECODE_TRIES = 3


@dataclass(frozen=True)
class Task:
    """One image to get: from where, to which file, of which size in pixels, under which licence."""

    url: str
    file: str
    size: tuple[int, int]
    licence: int


def subset_folder(recipe: Recipe) -> Path:
    """Where a recipe's subset lies when it is built. Another recipe of the same name lies elsewhere."""
    key = hashlib.sha256(msgspec.json.encode(recipe)).hexdigest()[:8]
    return cache_folder() / f"{recipe.name}-{key}"


def estimate(recipe: Recipe) -> dict[str, int]:
    """How many files a build fetches, about how many bytes that is, and how many it keeps. Asks nobody."""
    files = sum(count or COCO_IMAGES[recipe.split_of[split]] for split, count in recipe.images.items())
    share = min(1.0, (recipe.long_side / 640) ** 2) if recipe.long_side else 1.0
    return {"files": files, "download_bytes": files * 162_000, "disk_bytes": int(files * 162_000 * share)}


def build_subset(
    recipe: Recipe, *, annotations: str = COCO_ANNOTATIONS, images: str | None = None, jobs: int = 8
) -> tuple[Path, Manifest]:
    """Build a recipe's subset in the cache, or go on with one that was begun.

    Args:
        recipe: whose source is "coco".
        annotations: a file, a folder or an address; `{split}` in it becomes train2017 or val2017; a .zip is COCO's.
        images: a folder or an address in front of `train2017/…`; None takes each record's own `coco_url`.
        jobs: downloads at a time.

    Returns:
        The folder, laid out as COCO is, and its manifest, which lists what could not be had.

    Raises:
        DataError: the annotations are not sound, not one image could be had, or the disk is full.
        ConfigError: the recipe can't be met.
        FetchError: the annotations could not be fetched.
    """
    folder = subset_folder(recipe)
    built = read_manifest(folder)
    if built is not None and not built.missing:
        _check_source(folder, built, annotations)
        return folder, built
    work = folder.with_name(f".{folder.name}.building")
    if built is not None:
        folder.rename(work)  # some were missing: try those again
    make_folder(work)
    with make_client(jobs) as client:
        plan = make_plan(client, recipe, annotations)
        tasks = [
            task for split, (index, rows) in plan.items() for task in make_tasks(recipe, split, index, rows, images)
        ]
        entries, missing = _get_all(client, tasks, work, recipe.long_side, jobs)
    if not entries:
        raise DataError(f"{recipe.name}: not one of {len(tasks)} images could be had. The first: {missing[0].reason}")
    for split, (index, rows) in plan.items():
        _write_annotations(work, split, index, rows, recipe, {entry.file for entry in entries})
    records = [f"annotations/instances_{split}2017.json" for split in plan]
    hashes = {file: hash_of((work / file).read_bytes()) for file in records}
    manifest = Manifest(recipe.name, annotations, entries, missing, hashes)
    with new_file(work / MANIFEST) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    (work / JOURNAL).unlink(missing_ok=True)
    work.rename(folder)
    return folder, manifest


def make_plan(client: httpx.Client, recipe: Recipe, annotations: str) -> dict[str, tuple[CocoIndex, Rows]]:
    """For each split its index and the rows to take. No image is in two splits."""
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
    """The annotation file of one of COCO's splits, on disk; one from far away is kept in the cache."""
    place = annotations.replace("{split}", source)
    name = f"instances_{source}.json"
    if "://" not in place:
        path = Path(place).expanduser()
        inside = [path / name, path / "annotations" / name]
        return next((one for one in inside if one.exists()), inside[-1]) if path.is_dir() else path
    target = cache_folder() / "annotations" / hashlib.sha256(place.encode()).hexdigest()[:8] / name
    if not target.exists():
        make_folder(target.parent)
        with tqdm(desc=f"fetching {name}", unit="B", unit_scale=True, leave=False) as bar:
            count: Any = bar.update
            if place.endswith(".zip"):
                fetch_zip_member(client, place, f"annotations/{name}", target, on_bytes=count)
            else:
                fetch_file(client, place, target, on_bytes=count)
    return target


def make_tasks(recipe: Recipe, split: str, index: CocoIndex, rows: Rows, images: str | None) -> list[Task]:
    """What to get for one split."""
    source = recipe.split_of[split]
    return [
        Task(
            url=f"{images.rstrip('/')}/{source}/{index.file_names[row]}" if images else _far(str(index.urls[row])),
            file=f"{split}2017/{index.file_names[row]}",
            size=(int(index.widths[row]), int(index.heights[row])),
            licence=int(index.licences[row]),
        )
        for row in rows.tolist()
    ]


def _far(url: str) -> str:
    """A record's own address; nothing where it would read from this machine."""
    return url if url.startswith(("http://", "https://")) else ""


def _get_all(
    client: httpx.Client, tasks: list[Task], work: Path, long_side: int, jobs: int
) -> tuple[list[Entry], list[Missing]]:
    """Get what the journal doesn't have yet. Each image that is finished goes into the journal at once."""
    for folder in {(work / task.file).parent for task in tasks}:
        make_folder(folder)
        for partial in folder.glob(".*"):
            partial.unlink()  # in flight when an earlier build was killed
    entries, missing = _read_journal(work, {task.file for task in tasks}), []
    open_tasks = [task for task in tasks if task.file not in entries]
    with (work / JOURNAL).open("ab") as journal, tqdm(total=len(tasks), initial=len(entries), unit="img") as bar:
        journal.write(b"\n")  # ends a line that was cut
        for result in _in_parallel(client, open_tasks, work, long_side, jobs):
            if isinstance(result, Entry):
                entries[result.file] = result
                journal.write(msgspec.json.encode(result) + b"\n")
                journal.flush()
            else:
                missing.append(result)
            bar.update()
            bar.set_postfix(missing=len(missing), refresh=False)
    return sorted(entries.values()), sorted(missing)


def _in_parallel(
    client: httpx.Client, tasks: list[Task], work: Path, long_side: int, jobs: int
) -> Iterator[Entry | Missing]:
    """Results as they come. At most twice `jobs` are handed out ahead, so that Ctrl-C ends soon."""
    waiting = iter(tasks)
    with ThreadPoolExecutor(jobs) as pool:
        running: set[Future[Entry | Missing]] = set()
        try:
            while True:
                more = islice(waiting, 2 * jobs - len(running))
                running |= {pool.submit(get_one, client, task, work, long_side) for task in more}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)


def get_one(client: httpx.Client, task: Task, work: Path, long_side: int) -> Entry | Missing:
    """Fetch one image, decode it whole, store it at the long side.

    Raises:
        DataError: the disk is full or can't be written.
    """
    reason = ""
    for _ in range(DECODE_TRIES):  # what came damaged once may come whole the next time
        try:
            data = _read(client, task.url)
            stored = _as_stored(data, task.size, long_side)
        except FetchError as error:
            return Missing(task.file, task.url, str(error))
        except Exception as error:  # damaged files reach corners of decoders that nobody has listed
            reason = f"not the image that its record describes ({str(error) or type(error).__name__})"
            continue
        _store(work / task.file, stored)
        return Entry(task.file, hash_of(stored), len(stored), task.url, task.licence)
    return Missing(task.file, task.url, reason)


def _read(client: httpx.Client, url: str) -> bytes:
    if "://" in url:
        return fetch(client, url)
    try:
        return Path(url).expanduser().read_bytes()
    except OSError as error:
        raise FetchError(f"{url or 'no address in the record'}: {error.strerror}") from None


def _as_stored(data: bytes, size: tuple[int, int], long_side: int) -> bytes:
    """A file's bytes as the subset keeps them: a JPEG of the new size, or the original where no size is asked for."""
    picture = open_picture(data)
    if picture.size != size:
        raise ValueError(f"it is {picture.size[0]}×{picture.size[1]} instead of {size[0]}×{size[1]}")
    if not long_side:
        return data
    buffer = BytesIO()
    picture.resize(scaled(size, long_side), Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def scaled(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Width and height with the longer one at `long_side`; never enlarged; 0 leaves them."""
    scale = min(1.0, long_side / max(size)) if long_side else 1.0
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _store(path: Path, data: bytes) -> None:
    try:
        with new_file(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise DataError(f"{path}: {why}. Make room, then give the same command: it goes on where it stopped.") from None


def _read_journal(work: Path, wanted: set[str]) -> dict[str, Entry]:
    """The images that an earlier, unfinished build has stored, as far as they are still what it stored."""
    entries = {}
    lines = (work / JOURNAL).read_bytes().splitlines() if (work / JOURNAL).exists() else []
    built = read_manifest(work)
    old = [] if built is None else built.files
    for entry in [*old, *filter(None, map(_entry, lines))]:
        path = work / entry.file
        if entry.file in wanted and path.exists() and hash_of(path.read_bytes()) == entry.sha256:
            entries[entry.file] = entry
    return entries


def _entry(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.DecodeError:
        return None  # cut by a kill


def _write_annotations(work: Path, split: str, index: CocoIndex, rows: Rows, recipe: Recipe, present: set[str]) -> None:
    """The annotation file of exactly the images that are there, with boxes in pixels of the stored images."""
    kept, wanted_ids = kept_boxes(index, recipe), set(index.ids_of(recipe.classes))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in rows.tolist():
        name = str(index.file_names[row])
        if f"{split}2017/{name}" not in present:
            continue
        old = int(index.widths[row]), int(index.heights[row])
        new = scaled(old, recipe.long_side)
        image_id = int(index.image_ids[row])
        image = {"id": image_id, "file_name": name, "width": new[0], "height": new[1]}
        images.append(image | {"license": int(index.licences[row]), "coco_url": str(index.urls[row])})
        where = np.arange(len(kept))[index.rows_of(row)]
        annotations += [_annotation(index, box, image_id, old, new) for box in where[kept[where]].tolist()]
    classes = [category for category in index.categories if not wanted_ids or category.id in wanted_ids]
    content = {"images": images, "annotations": annotations, "categories": msgspec.to_builtins(classes)}
    make_folder(work / "annotations")
    with new_file(work / "annotations" / f"instances_{split}2017.json") as path:
        path.write_text(json.dumps(content))


def _annotation(
    index: CocoIndex, box: int, image_id: int, old: tuple[int, int], new: tuple[int, int]
) -> dict[str, Any]:
    x_scale, y_scale = new[0] / old[0], new[1] / old[1]
    scale = np.array([x_scale, y_scale, x_scale, y_scale])
    return {
        "id": int(index.annotation_ids[box]),
        "image_id": image_id,
        "category_id": int(index.category_ids[box]),
        "bbox": (index.boxes[box] * scale).round(3).tolist(),
        "area": round(float(index.areas[box]) * x_scale * y_scale, 3),
        "iscrowd": int(index.is_crowd[box]),
    }


def _check_source(folder: Path, built: Manifest, annotations: str) -> None:
    if built.annotations != annotations:
        raise CourseError(
            f"{folder}: built already, from {built.annotations}. "
            f"To build it from {annotations}, remove that folder first."
        )
