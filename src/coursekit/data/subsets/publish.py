"""Turn a finished build into the subset, so that there is a usable one at every moment, also if we are killed."""

import shutil
from pathlib import Path

from coursekit.core.files import make_folder
from coursekit.data.subsets.manifest import MANIFEST, Manifest


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
