"""COCO's annotation files: found on this machine, or fetched into the cache."""

import hashlib
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from coursekit.core.errors import DataError
from coursekit.core.files import cache_folder, make_folder
from coursekit.core.make_once import locked, remove_leftovers
from coursekit.data.index import CocoIndex
from coursekit.data.subsets.fetch_file import fetch_file
from coursekit.data.subsets.fetch_zip_member import extract_local, fetch_zip_member
from coursekit.data.subsets.http_client import Client, FetchError
from coursekit.data.subsets.threads import in_threads


def load_annotations(client: Client, annotations: str, source: str) -> CocoIndex:
    """Return the index of the annotation file of one of COCO's splits. A remote file is fetched into the cache.

    Args:
        annotations: see `build_subset`.
        source: "train2017" or "val2017".

    Raises:
        FetchError: the file could not be fetched, or what came is no annotation file.
        DataError: a file on this machine is unusable.
    """
    location = annotations.replace("{split}", source)
    name = f"instances_{source}.json"
    is_remote = "://" in location
    if not is_remote and not location.endswith(".zip"):
        return CocoIndex.load(_local_file(Path(location).expanduser(), name))
    target = cache_folder() / "annotations" / _digest(location, is_remote) / name
    if not target.exists():
        with locked(target, wait=True):
            if not target.exists():
                _store(client, location, target, is_remote)
    remove_leftovers(target)
    try:
        return CocoIndex.load(target)
    except DataError as error:
        target.unlink()  # the server said that it was complete
        raise FetchError(f"{location}: not an annotation file of COCO ({error})") from None


def _local_file(path: Path, name: str) -> Path:
    inside = [path / name, path / "annotations" / name]
    return next((file for file in inside if file.exists()), inside[-1]) if path.is_dir() else path


def _digest(location: str, is_remote: bool) -> str:
    """Return a name for the cached copy. An archive on this machine that changes gets another one."""
    if not is_remote:
        path = Path(location).expanduser()
        if not path.is_file():
            raise DataError(f"{location}: no such file. Check the path.")
        location = f"{path.resolve()} {path.stat().st_size} {path.stat().st_mtime_ns}"
    return hashlib.sha256(location.encode()).hexdigest()[:8]


def _store(client: Client, location: str, target: Path, is_remote: bool) -> None:
    make_folder(target.parent)
    member = f"annotations/{target.name}"
    if not is_remote:
        extract_local(Path(location).expanduser(), member, target)
        return
    with tqdm(desc=f"fetching {target.name}", unit="B", unit_scale=True, leave=False) as bar:
        count: Any = bar.update

        def fetch_one(_: None) -> None:
            if location.endswith(".zip"):
                fetch_zip_member(client, location, member, target, on_bytes=count)
            else:
                fetch_file(client, location, target, on_bytes=count)

        list(in_threads(fetch_one, [None], 1, client.stop))  # in a thread, so that Ctrl-C needn't wait for the server
