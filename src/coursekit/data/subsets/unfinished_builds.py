"""Builds that have not finished: their folder, how far they got, a refusal to use them; and how one ends."""

import shutil
from pathlib import Path

from coursekit.core.errors import DataError, command
from coursekit.core.files import make_folder
from coursekit.data.subsets.manifest import MANIFEST, Manifest

JOURNAL = "journal.jsonl"
ENDING = ".building"


def work_folder(folder: Path) -> Path:
    """Return where the subset that will be at `folder` is built."""
    return folder.with_name(f".{folder.name}{ENDING}")


def images_so_far(work: Path) -> int:
    """Return how many images an unfinished build has stored."""
    journal = work / JOURNAL
    return sum(line.endswith(b"}") for line in journal.read_bytes().splitlines()) if journal.exists() else 0


def state_of(folder: Path) -> str:
    """Return in a few words whether the subset at `folder` is built."""
    if folder.exists():
        return "built"
    work = work_folder(folder)
    return f"partly built, {images_so_far(work):,} images" if work.exists() else "not built"


def refuse_unbuilt(folder: Path, name: str) -> Path:
    """Return the folder of the subset that the user calls `name`, if it is built.

    Raises:
        DataError: it isn't.
    """
    if folder.exists():
        return folder
    state, build = state_of(folder), command("coursekit", "data", "build", name)
    if state == "not built":
        raise DataError(f"{name}: not built on this machine yet. Build it: {build}")
    raise DataError(f"{name}: only {state} so far. Finish it: {build}")


def refuse_unfinished(folder: Path) -> Path:
    """Return the folder of a data set, unless it belongs to a build that has not finished.

    Raises:
        DataError: it does.
    """
    if folder.name.endswith(ENDING) or (folder / JOURNAL).exists():
        raise DataError(
            f"{folder}: a build that hasn't finished, {images_so_far(folder):,} images so far. Run the same "
            "`coursekit data build` again: it continues where it stopped."
        )
    return folder


def publish(work: Path, folder: Path, manifest: Manifest) -> None:
    """Move a finished build to `folder`.

    An older subset there is updated in place. First come the new images, which no record names yet, then the records,
    then the manifest. If we are killed in between, the next build sees the old manifest and repeats the rest.
    """
    images, records = [entry.file for entry in manifest.files], list(manifest.records)
    if not folder.exists():
        _remove_others(work, {*images, *records, MANIFEST})
        work.rename(folder)
        return
    for file in [*images, *records]:
        if (work / file).exists():  # the images of the older subset are in its folder
            make_folder((folder / file).parent)
            (work / file).replace(folder / file)
    _remove_others(folder, {*images, *records, MANIFEST})
    (work / MANIFEST).replace(folder / MANIFEST)
    shutil.rmtree(work, ignore_errors=True)


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in names:
            path.unlink()
