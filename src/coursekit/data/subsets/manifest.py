"""The list of files that make up a built subset, and a comparison with it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.data.open_with_pillow import PictureError, open_picture

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


def changes(folder: Path, manifest: Manifest) -> list[str]:
    """Compare a built subset with its manifest. Return one line per file that is damaged, missing, changed or extra."""
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    hashes = {entry.file: entry.sha256 for entry in manifest.files} | manifest.records
    known = {*hashes, MANIFEST}
    problems = [f"{file}: missing" for file in sorted(known - present)]
    problems += [f"{file}: extra, no record names it" for file in sorted(present - known)]
    files = sorted((hashes.keys() & present) - {MANIFEST})
    for file in tqdm(files, desc="verifying", unit="img", leave=False, delay=2):
        problems += _change(folder / file, file, hashes[file])
    return problems


def _change(path: Path, file: str, sha256: str) -> Iterator[str]:
    data = path.read_bytes()
    if hash_of(data) == sha256:
        return
    if not file.startswith("annotations/"):
        try:
            open_picture(data)
        except PictureError as error:
            yield f"{file}: {error.reason.removeprefix('the image is ')}"
            return
    yield f"{file}: changed since it was built"
