"""One member of a zip archive on a server, read by HTTP ranges instead of downloading the whole archive."""

import io
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

import httpx

from coursekit.core.files import new_file
from coursekit.data.subsets.client import TRIES, FetchError, Version, answer, position_of, retry
from coursekit.data.subsets.fetch import OnBytes, fetch_file, ignore, writing

BLOCK = 1 << 22  # bytes per request: few requests, yet little that isn't needed


class _NoRangesError(Exception):
    """The server can't send the requested part of a file."""


def fetch_zip_member(
    client: httpx.Client, url: str, member: str, target: Path, *, on_bytes: OnBytes | None = None
) -> None:
    """Write one member of a zip archive to `target`, reading little else of the archive.

    If the server can't send parts of a file, fetch the whole archive, and delete it after extracting the member.

    Args:
        on_bytes: called with the number of bytes that arrived over the network.

    Raises:
        FetchError: the archive or the member doesn't exist or is damaged, the server failed, or the disk is full.
        ConfigError: the folder can't be written to.
    """
    with writing(target):
        try:
            remote = _RemoteFile(client, url, on_bytes or ignore)
            _extract(url, io.BufferedReader(remote, BLOCK), member, target)
        except _NoRangesError:
            _extract_from_whole(client, url, member, target, on_bytes)


def _extract_from_whole(client: httpx.Client, url: str, member: str, target: Path, on_bytes: OnBytes | None) -> None:
    archive = target.with_name(f".{target.name}.zip")
    fetch_file(client, url, archive, on_bytes=on_bytes)
    try:
        _extract(url, archive, member, target)
    finally:
        archive.unlink(missing_ok=True)


def _extract(url: str, source: IO[bytes] | Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            if member not in archive.namelist():
                raise FetchError(f"{url}: the archive has no member {member!r}. Check the name and the address.")
            with archive.open(member) as packed, new_file(target) as partial, partial.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)  # at the end, zipfile compares the checksum
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError) as error:
        raise FetchError(f"{url}: the archive is damaged ({error}). Fetch it again.") from None


class _RemoteFile(io.RawIOBase):
    """A file on a server. Each read requests a part of it."""

    def __init__(self, client: httpx.Client, url: str, on_bytes: OnBytes) -> None:
        self.client, self.url, self.on_bytes = client, url, on_bytes
        self.position, self.size = 0, 1
        self.size = self._load(1)[1].length or 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        return self.position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self.size - self.position)
        if count <= 0:
            return 0
        data, _ = self._load(count)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def _load(self, count: int) -> tuple[bytes, Version]:
        data, version = retry(self.url, TRIES, lambda: self._request(count))
        if not 0 < len(data) <= count:
            raise _NoRangesError
        self.on_bytes(len(data))
        return data, version

    def _request(self, count: int) -> tuple[bytes, Version]:
        part = {"Range": f"bytes={self.position}-{self.position + count - 1}"}
        with answer(self.client, self.url, part) as response:
            start, version = position_of(response)
            if response.status_code != 206 or start != self.position or not version.length:
                raise _NoRangesError
            return b"".join(response.iter_raw()), version
