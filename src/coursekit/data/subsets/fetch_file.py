"""Fetch files from web servers that drop connections, stall, refuse and send wrong lengths.

The result is complete, or there is one clear error.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx2
import msgspec

from coursekit.core.files import make_folder
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

OnBytes = Callable[[int], None]
SMALL_FILE = Limit(50_000_000, 600)
LARGE_FILE = Limit(1_000_000_000, 6 * 3600)  # COCO's largest annotation file has 470 MB, its archive 253 MB
UNKNOWN = Version("", "", None)


def ignore(count: int) -> None:
    """Do nothing: for callers who don't follow the progress."""


def fetch(client: Client, url: str, *, tries: int = TRIES, limit: Limit = SMALL_FILE) -> bytes:
    """Return the content of a small file.

    Raises:
        FetchError: the server doesn't have it, or `tries` tries in a row failed, or the limit was reached.
    """
    partial = _Partial(memory := io.BytesIO(), ignore, limit.bytes)
    _fetch(client, url, tries, limit, partial)
    return memory.getvalue()


def fetch_file(
    client: Client,
    url: str,
    target: Path,
    *,
    tries: int = TRIES,
    limit: Limit = LARGE_FILE,
    on_bytes: OnBytes | None = None,
) -> None:
    """Stream a large file to `target`, which appears once it is complete.

    Until then the bytes are in `.{name}.part` beside it. The next call continues from there, unless the file on the
    server has changed. Only one process at a time may fetch a target.

    Args:
        on_bytes: called with the number of new bytes. Bytes from an earlier call count, and starting over subtracts
            them (a negative number), so that the sum ends at the length of the file.

    Raises:
        FetchError: see `fetch`; or the disk is full.
        ConfigError: the folder can't be written to.
    """
    part = target.with_name(f".{target.name}.part")
    note = target.with_name(f"{part.name}.json")
    with writing(target):
        try:
            with part.open("a+b") as file:
                partial = _Partial(file, on_bytes or ignore, limit.bytes)
                partial.resume(note, part.stat().st_size)
                _fetch(client, url, tries, limit, partial)
            part.replace(target)
        finally:
            if not part.exists() or not part.stat().st_size:  # finished, or nothing to continue from
                part.unlink(missing_ok=True)
                note.unlink(missing_ok=True)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Make the folder of `target`, and report a file that can't be written as a FetchError."""
    make_folder(target.parent)
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FetchError(f"{target}: can't be written ({reason}). Free some space, or choose another folder.") from None


@dataclass
class _Partial:
    """The part of a file that has arrived so far.

    Attributes:
        file: where the bytes go.
        on_bytes: see `fetch_file`.
        most: the largest number of bytes that we accept.
        note: the file that stores the version for the next call.
        have: number of bytes.
        version: version of the file on the server.
        ranged: whether the server seems to understand ranges.
    """

    file: IO[bytes]
    on_bytes: OnBytes
    most: int
    note: Path | None = None
    have: int = 0
    version: Version | None = None
    ranged: bool = True

    def resume(self, note: Path, size: int) -> None:
        """Continue from the `size` bytes of an earlier call, if its note tells which version they belong to."""
        self.note = note
        try:
            known = msgspec.json.decode(note.read_bytes(), type=Version)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            known = UNKNOWN
        if known.length and size <= known.length:
            self.version = known
            self.add(min(size, known.length - 1))  # leave one byte to ask for, so that the server confirms the version
        self.cut()

    def headers(self) -> dict[str, str]:
        """Ask for the missing bytes.

        We send a range even from byte 0: the answer then states the length twice, which exposes a wrong one.
        """
        if not self.ranged:
            return {}
        version = self.version or UNKNOWN
        strong = "" if version.etag.startswith("W/") else version.etag
        validator = (strong or version.modified) if self.have else ""
        return {"Range": f"bytes={self.have}-"} | ({"If-Range": validator} if validator else {})

    def begin(self, response: httpx2.Response) -> None:
        """Decide where to write the body of a response: after the bytes we already have, or at byte 0.

        Raises:
            RetryableError: the body is not the part that was asked for, its length contradicts an earlier response, or
                the file is too large.
        """
        start, version = position_of(response)
        if version.length is not None and version.length > self.most:
            raise RetryableError(f"the server says that the file has {version.length:,} bytes, {self._allowed()}")
        known = self.version or version
        same = known.agrees(version)
        if not same or start != self.have:
            self.add(-self.have)
            self.cut()
        if start >= 0 and not (same and self.version and self.version.length):
            self.remember(version)
        if start != self.have:
            self.ranged = start >= 0 and not same
            raise RetryableError("the server sent a different part of the file than we asked for")
        if known.contradicts(version):
            self.ranged = True
            raise RetryableError("the server sent two different lengths for the file")

    def append(self, chunk: bytes) -> None:
        """Write new bytes.

        Raises:
            RetryableError: the server sends more than it said, or than we accept.
        """
        stated = self.version.length if self.version else None
        most = self.most if stated is None else min(stated, self.most)
        if self.have + len(chunk) > most:
            self.add(-self.have)
            self.cut()
            raise RetryableError(
                f"the server sent more than the {stated:,} bytes that it announced"
                if stated is not None
                else f"the server sent an endless file, {self._allowed()}"
            )
        self.file.write(chunk)
        self.add(len(chunk))

    def _allowed(self) -> str:
        return f"and at most {self.most:,} are accepted"

    def add(self, count: int) -> None:
        """Count new bytes."""
        self.have += count
        self.on_bytes(count)

    def cut(self) -> None:
        """Drop bytes that aren't counted."""
        self.file.seek(self.have)
        self.file.truncate()

    def remember(self, version: Version) -> None:
        """Note the version of the bytes that follow. Older bytes must be gone by now: we may be killed."""
        self.version = version
        if self.note:
            self.note.write_bytes(msgspec.json.encode(version))


def _fetch(client: Client, url: str, tries: int, limit: Limit, partial: _Partial) -> None:
    retry(
        client, url, tries, limit.seconds, lambda deadline: _continue(client, url, partial, deadline),
        lambda: partial.have,
    )  # fmt: skip


def _continue(client: Client, url: str, partial: _Partial, deadline: float) -> None:
    with open_response(client, url, partial.headers(), deadline) as response:
        partial.begin(response)
        for chunk in response.iter_raw():
            partial.append(chunk)
    if partial.version and partial.version.length not in (None, partial.have):
        raise RetryableError(f"only {partial.have} of {partial.version.length} bytes arrived")
