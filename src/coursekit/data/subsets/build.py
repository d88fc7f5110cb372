"""Build a subset of COCO. Only the selected photographs are downloaded, and an interrupted build continues."""

from pathlib import Path

import msgspec

from coursekit.core.disk_errors import disk_errors
from coursekit.core.errors import CourseError, DataError
from coursekit.core.files import make_folder, new_file
from coursekit.core.make_once import locked, remove_leftovers
from coursekit.data.index import CocoIndex, Rows
from coursekit.data.subsets.download_tasks import make_plan, make_tasks
from coursekit.data.subsets.fetch_images import fetch_images
from coursekit.data.subsets.footprint import subset_folder
from coursekit.data.subsets.http_client import make_client
from coursekit.data.subsets.manifest import MANIFEST, Entry, Manifest, Missing, hash_of, read_manifest
from coursekit.data.subsets.recipe import Recipe, check_recipe
from coursekit.data.subsets.stored_images import write_annotations
from coursekit.data.subsets.unfinished_builds import publish, work_folder

COCO_ANNOTATIONS = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"

Plan = dict[str, tuple[CocoIndex, Rows]]


def build_subset(
    recipe: Recipe, *, annotations: str = COCO_ANNOTATIONS, images: str | None = None, jobs: int = 8
) -> tuple[Path, Manifest]:
    """Build a recipe's subset in the cache, or continue an interrupted build.

    Args:
        recipe: its source is "coco".
        annotations: a file, a folder or an address. `{split}` in it becomes train2017 or val2017. A .zip must have the
            layout of COCO's own archive.
        images: a folder or an address to prepend to `train2017/…`; None uses each record's own `coco_url`.
        jobs: downloads at a time.

    Returns:
        The folder, laid out like COCO, and its manifest, which lists the images that could not be fetched.

    Raises:
        DataError: the annotations are unusable, not one image could be fetched, or the disk is full.
        ConfigError: the recipe can't be satisfied.
        FetchError: the annotations could not be fetched.
        CourseError: the subset was built from other annotations, or another process is building it.
    """
    check_recipe(recipe, recipe.name)
    folder = subset_folder(recipe)
    built = read_manifest(folder)
    if built is None or not _is_complete(folder, built):
        with locked(folder, wait=False), disk_errors(folder, "it continues where it stopped"):
            built = _build(recipe, annotations, images, folder, jobs)
    if _is_complete(folder, built):
        remove_leftovers(folder)
    _check_source(folder, built, annotations)
    return folder, built


def _build(recipe: Recipe, annotations: str, images: str | None, folder: Path, jobs: int) -> Manifest:
    built, work = read_manifest(folder), work_folder(folder)
    if built is not None and _is_complete(folder, built):
        return built
    make_folder(work)
    plan, entries, missing = _fetch_all(recipe, annotations, images, folder, jobs)
    for split, (index, rows) in plan.items():
        write_annotations(work, split, index, rows, recipe, {entry.file for entry in entries})
    manifest = _write_manifest(work, recipe, annotations, entries, missing)
    publish(work, folder, manifest)
    return manifest


def _is_complete(folder: Path, built: Manifest) -> bool:
    """Return whether no image is missing, and all files are there with their size. `verify` also looks into them."""
    sizes = {entry.file: entry.bytes for entry in built.files} | dict.fromkeys(built.records)
    return not built.missing and all(
        (folder / file).is_file() and size in (None, (folder / file).stat().st_size) for file, size in sizes.items()
    )


def _fetch_all(
    recipe: Recipe, annotations: str, images: str | None, folder: Path, jobs: int
) -> tuple[Plan, list[Entry], list[Missing]]:
    with make_client(jobs) as client:
        plan = make_plan(client, recipe, annotations)
        tasks = [
            task for split, (index, rows) in plan.items() for task in make_tasks(recipe, split, index, rows, images)
        ]
        entries, missing = fetch_images(client, tasks, work_folder(folder), folder, recipe.long_side, jobs)
    if not entries:
        raise DataError(
            f"{recipe.name}: none of the {len(tasks)} images could be fetched. First error: {missing[0].reason}"
        )
    return plan, entries, missing


def _write_manifest(
    work: Path, recipe: Recipe, annotations: str, entries: list[Entry], missing: list[Missing]
) -> Manifest:
    records = [f"annotations/instances_{split}2017.json" for split in recipe.images]
    hashes = {file: hash_of((work / file).read_bytes()) for file in records}
    manifest = Manifest(recipe.name, annotations, entries, missing, hashes)
    with new_file(work / MANIFEST) as path:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def _check_source(folder: Path, built: Manifest, annotations: str) -> None:
    if built.annotations != annotations:
        raise CourseError(
            f"{folder}: already built from {built.annotations}. To build it from {annotations}, delete this folder."
        )
