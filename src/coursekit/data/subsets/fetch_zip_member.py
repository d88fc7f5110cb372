"""Read one member of a zip archive on a server by HTTP range requests, without downloading the whole archive."""

import io
import os
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from coursekit.core.files import new_file
from coursekit.data.subsets.fetch_file import LARGE_FILE, OnBytes, fetch_file, ignore, writing
from coursekit.data.subsets.http_client import (
    TRIES,
    Client,
    FetchError,
    Limit,
    RetryableError,
    Version,
    open_response,
    position_of,
    retry,
)

BLOCK = 1 << 22  # bytes per request: few requests, yet little that isn't needed
DIRECTORY = 20_000_000  # bytes: reading more than this to find a member means that the archive lies about itself
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, OverflowError, MemoryError)


class _NoRangesError(Exception):
    """The server can't send the requested part of a file."""


def fetch_zip_member(
    client: Client,
    url: str,
    member: str,
    target: Path,
    *,
    limit: Limit = LARGE_FILE,
    on_bytes: OnBytes | None = None,
) -> None:
    """Write one member of a zip archive to `target`, reading little else of the archive.

    If the server can't send parts of a file, fetch the whole archive, and delete it after extracting the member.

    Args:
        limit: of the archive, and also of the member's size once it is unpacked.
        on_bytes: called with the number of bytes that arrived over the network.

    Raises:
        FetchError: the archive or the member doesn't exist, is damaged or is too large, the server failed, or the disk
            is full.
        ConfigError: the folder can't be written to.
    """
    with writing(target):
        try:
            remote = _Remote(client, url, limit, on_bytes or ignore)
            extract(url, _Parts(remote.read, remote.size), member, target, limit)
        except _NoRangesError:
            _extract_from_whole(client, url, member, target, limit, on_bytes)


def extract_local(archive: Path, member: str, target: Path, *, source: str = "", limit: Limit = LARGE_FILE) -> None:
    """Write one member of a zip archive on this machine to `target`. Errors name `source`, else the archive.

    Raises:
        FetchError: the archive or the member doesn't exist, is damaged or is too large, or the disk is full.
    """
    with writing(target), archive.open("rb") as file:

        def read(position: int, count: int) -> bytes:
            file.seek(position)
            return file.read(count)

        extract(source or str(archive), _Parts(read, os.fstat(file.fileno()).st_size), member, target, limit)


def _extract_from_whole(
    client: Client, url: str, member: str, target: Path, limit: Limit, on_bytes: OnBytes | None
) -> None:
    archive = target.with_name(f".{target.name}.zip")
    try:
        fetch_file(client, url, archive, limit=limit, on_bytes=on_bytes)
        extract_local(archive, member, target, source=url, limit=limit)
    finally:
        archive.unlink(missing_ok=True)


def extract(url: str, parts: "_Parts", member: str, target: Path, limit: Limit) -> None:
    """Write one member of an archive to `target`. See `fetch_zip_member`."""
    try:
        with zipfile.ZipFile(io.BufferedReader(parts, BLOCK)) as archive:
            if member not in archive.namelist():
                raise FetchError(f"{url}: the archive has no member {member!r}. Check the name and the address.")
            info = archive.getinfo(member)
            _check(info, limit)
            parts.budget = info.compress_size + DIRECTORY
            with archive.open(info) as packed, new_file(target) as partial, partial.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)  # at the end, zipfile compares the checksum
    except DAMAGE as error:
        reason = str(error)[:160] or type(error).__name__
        raise FetchError(f"{url}: the archive is damaged ({reason}). Fetch it again.") from None


def _check(info: zipfile.ZipInfo, limit: Limit) -> None:
    if info.file_size > limit.bytes:
        raise ValueError(f"it says that {info.filename} has {info.file_size:,} bytes; {limit.bytes:,} are accepted")
    if info.compress_type not in METHODS:
        raise ValueError(f"{info.filename} is compressed in an unusual way")


class _Parts(io.RawIOBase):
    """A file of which only the parts that are needed get read.

    Args:
        load: returns `count` bytes, or fewer, from a position.
        size: of the file, in bytes.
    """

    def __init__(self, load: Callable[[int, int], bytes], size: int) -> None:
        self.load, self.size, self.position = load, size, 0
        self.budget = DIRECTORY

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        if position < 0:
            raise ValueError("its directory points outside the file")
        self.position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self.size - self.position)
        if count <= 0:
            return 0
        if self.budget <= 0:
            raise ValueError("its directory is larger than any that we accept")
        data = self.load(self.position, min(count, self.budget))
        buffer[: len(data)] = data
        self.position += len(data)
        self.budget -= len(data)
        return len(data)


class _Remote:
    """A file on a server. Each `read` requests a part of it."""

    def __init__(self, client: Client, url: str, limit: Limit, on_bytes: OnBytes) -> None:
        self.client, self.url, self.on_bytes = client, url, on_bytes
        self.end = time.monotonic() + limit.seconds
        self.size = self._request(0, 1)[1].length or 0
        if self.size > limit.bytes:
            raise FetchError(f"{url}: the server says that it has {self.size:,} bytes; {limit.bytes:,} are accepted.")

    def read(self, position: int, count: int) -> bytes:
        """Return `count` bytes, or fewer, from a position."""
        return self._request(position, count)[0]

    def _request(self, position: int, count: int) -> tuple[bytes, Version]:
        seconds = self.end - time.monotonic()
        data, version = retry(
            self.client, self.url, TRIES, seconds, lambda deadline: self._try(position, count, deadline)
        )
        self.on_bytes(len(data))
        return data, version

    def _try(self, position: int, count: int, deadline: float) -> tuple[bytes, Version]:
        part = {"Range": f"bytes={position}-{position + count - 1}"}
        with open_response(self.client, self.url, part, deadline) as response:
            start, version = position_of(response)
            if response.status_code != 206 or start != position or not version.length:
                raise _NoRangesError
            data = bytearray()
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > count:
                    raise _NoRangesError
        if not data:
            raise RetryableError("the server sent an empty part of the file")
        return bytes(data), version
