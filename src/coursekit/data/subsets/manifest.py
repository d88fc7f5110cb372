"""What a built subset consists of, file by file, and whether it still does."""

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
    """One image: its place below the folder, its hash, what it was made from, under which of COCO's licences."""

    file: str
    sha256: str
    bytes: int
    source: str
    licence: int


class Missing(msgspec.Struct, frozen=True, order=True):
    """An image that could not be had."""

    file: str
    source: str
    reason: str


class Manifest(msgspec.Struct, frozen=True):
    """A built subset. `annotations` says where the records come from, `records` has the hash of each file of them."""

    recipe: str
    annotations: str
    files: list[Entry]
    missing: list[Missing]
    records: dict[str, str] = {}


def hash_of(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a built subset; None for a folder that was not built here.

    Raises:
        DataError: it is damaged.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}). Remove {folder} and build it again.") from None


def verify(folder: Path) -> list[str]:
    """Every file that is damaged, missing, surplus or changed, one line each; empty where all is well.

    With a manifest the hashes are compared; in a folder that was not built here every image is decoded whole.
    """
    manifest = read_manifest(folder)
    if manifest is not None:
        hashes = {entry.file: entry.sha256 for entry in manifest.files} | manifest.records
        known = {*hashes, MANIFEST}
    else:
        hashes = {}
        known = set(_recorded(folder))
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if manifest is None:  # what else lies in somebody's own folder is their business
        present = {file for file in present if file.startswith(("train2017/", "val2017/"))}
    problems = [f"{file}: missing" for file in sorted(known - present)]
    problems += [f"{file}: surplus, no record names it" for file in sorted(present - known)]
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
    except Exception as error:  # damaged files reach corners of decoders that nobody has listed
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield f"{file}: damaged ({reason[:120]})"
        return
    if sha256 is not None:
        yield f"{file}: changed since it was built"


def _recorded(folder: Path) -> Iterator[str]:
    files = sorted((folder / "annotations").glob("instances_*2017.json"))
    if not files:
        raise DataError(f"{folder}: no annotations/instances_*2017.json in it, so nothing to verify against.")
    for path in files:
        split = path.stem.removeprefix("instances_")
        yield from (f"{split}/{name}" for name in CocoIndex.load(path).file_names.tolist())
