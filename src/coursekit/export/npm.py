"""Files of an npm package, fetched once into the cache and checked against the hash that npm publishes for it."""

import base64
import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.core.files import cache_folder
from coursekit.core.make_once import make_once
from coursekit.data.subsets.fetch_file import fetch_file
from coursekit.data.subsets.http_client import TRIES, FetchError, make_client
from coursekit.data.subsets.threads import in_threads

REGISTRY = "https://registry.npmjs.org"
PREFIX = "sha512-"


class Package(msgspec.Struct, frozen=True):
    """A version of an npm package.

    Attributes:
        name: its name.
        version: its version.
        integrity: the hash of its archive, "sha512-…", as `npm view NAME@VERSION dist.integrity` prints it.
        files: the files that we need, as they are named in the archive, where all are in `package/`.
    """

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]


ONNXRUNTIME_WEB = Package(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    ("package/dist/ort.wasm.bundle.min.mjs", "package/dist/ort-wasm-simd-threaded.wasm"),
)


def npm_files(package: Package, registry: str = REGISTRY, tries: int = TRIES) -> list[Path]:
    """Return the files of a package, in the cache. They are fetched if they aren't there.

    Raises:
        FetchError: the package could not be fetched, or isn't the one whose hash we know.
        DataError: the disk is full.
    """
    folder = cache_folder() / "npm" / f"{package.name}-{package.version}"
    make_once(folder, lambda partial: _fill(partial, package, registry, tries))
    return [folder / Path(file).name for file in package.files]


def _fill(folder: Path, package: Package, registry: str, tries: int) -> None:
    archive = folder / "package.tgz"
    url = f"{registry}/{package.name}/-/{package.name}-{package.version}.tgz"
    with make_client(1) as client, tqdm(desc=f"fetching {package.name}", unit="B", unit_scale=True, leave=False) as bar:
        count: Any = bar.update

        def fetch_one(_: None) -> None:
            fetch_file(client, url, archive, tries=tries, on_bytes=count)

        list(in_threads(fetch_one, [None], 1, client.stop))  # in a thread, so that Ctrl-C needn't wait for the server
    _check(archive, url, package.integrity)
    _extract(archive, folder, package.files)
    archive.unlink()


def _check(archive: Path, url: str, integrity: str) -> None:
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if PREFIX + digest != integrity:
        raise FetchError(
            f"{url}: not the file that this version of the course was made with (its SHA-512 differs). Perhaps a proxy "
            "changed it: try again with another connection."
        )


def _extract(archive: Path, folder: Path, files: Sequence[str]) -> None:
    """Write these files of an archive into a folder, without the folders that they are in."""
    with tarfile.open(archive) as content:
        for file in files:
            member: Any = content.extractfile(file)
            if member is None:
                raise DataError(f"{archive}: {file} is no file.")
            (folder / Path(file).name).write_bytes(member.read())
