"""The list of files that make up a built subset, and a check against it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.data.images import open_picture
from coursekit.data.index import CocoIndex

MANIFEST = "manifest.json"


class Entry(msgspec.Struct, frozen=True, order=True):
    """One stored image.

    Attributes:
        file: its path below the folder.
        sha256: in hexadecimal.
        bytes: size of the stored file.
        source: address or path of the original.
        license: COCO's number.
    """

    file: str
    sha256: str
    bytes: int
    source: str
    license: int


class Missing(msgspec.Struct, frozen=True, order=True):
    """An image that could not be fetched, and the reason."""

    file: str
    source: str
    reason: str


class Manifest(msgspec.Struct, frozen=True):
    """A built subset.

    Attributes:
        recipe: its name.
        annotations: where the annotations come from, see `build_subset`.
        files, missing: the images.
        records: annotation file → SHA-256.
    """

    recipe: str
    annotations: str
    files: list[Entry]
    missing: list[Missing]
    records: dict[str, str] = {}


def hash_of(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a built subset. None for a folder that wasn't built by `build_subset`.

    Raises:
        DataError: the manifest is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}). Delete {folder}, then build the subset again.") from None


def verify(folder: Path) -> list[str]:
    """Check a data set. Return one line per file that is damaged, missing, changed or not in the records.

    If there is a manifest, hashes are compared. Otherwise every image is decoded completely.

    Raises:
        DataError: the folder has no annotations, or the manifest is damaged.
    """
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    manifest = read_manifest(folder)
    if manifest is None:
        hashes, known = {}, set(_recorded(folder))
        present = {file for file in present if file.startswith(("train2017/", "val2017/"))}  # other files don't matter
    else:
        hashes = {entry.file: entry.sha256 for entry in manifest.files} | manifest.records
        known = {*hashes, MANIFEST}
    problems = [f"{file}: missing" for file in sorted(known - present)]
    problems += [f"{file}: extra, no record names it" for file in sorted(present - known)]
    images = sorted((known & present) - {MANIFEST})
    for file in tqdm(images, desc="verifying", unit="img", leave=False, delay=2):
        problems += _problems(folder / file, file, hashes.get(file))
    return problems


def _problems(path: Path, file: str, sha256: str | None) -> Iterator[str]:
    data = path.read_bytes()
    if sha256 is not None and hash_of(data) == sha256:
        return
    if file.startswith("annotations/"):
        yield f"{file}: changed since it was built"
        return
    try:
        open_picture(data)
    except Exception as error:  # damaged files fail deep in the decoders, with errors that nobody has listed
        unknown = "cannot identify" in str(error)  # Pillow names a buffer in memory here
        reason = "not a known image format" if unknown else (str(error).splitlines() or [type(error).__name__])[0]
        yield f"{file}: damaged ({reason[:120]})"
        return
    if sha256 is not None:
        yield f"{file}: changed since it was built"


def _recorded(folder: Path) -> Iterator[str]:
    files = sorted((folder / "annotations").glob("instances_*2017.json"))
    if not files:
        raise DataError(
            f"{folder}: no annotations/instances_*2017.json, so there is nothing to verify against. "
            "Pass a folder in COCO's layout."
        )
    for path in files:
        split = path.stem.removeprefix("instances_")
        yield from (f"{split}/{name}" for name in CocoIndex.load(path).file_names.tolist())
