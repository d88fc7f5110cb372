"""Fetch files from web servers that drop connections, stall, refuse and send wrong lengths.

The result is complete, or there is one clear error.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import msgspec

from coursekit.core.files import make_folder
from coursekit.data.subsets.client import TRIES, FetchError, RetryableError, Version, answer, position_of, retry

OnBytes = Callable[[int], None]
UNKNOWN = Version("", "", None)


def ignore(count: int) -> None:
    """Do nothing: for callers who don't follow the progress."""


def fetch(client: httpx.Client, url: str, *, tries: int = TRIES) -> bytes:
    """Return the content of a small file.

    Raises:
        FetchError: the server doesn't have it, or `tries` tries in a row failed.
    """
    partial = _Partial(memory := io.BytesIO(), ignore)
    retry(url, tries, lambda: _continue(client, url, partial), lambda: partial.have)
    return memory.getvalue()


def fetch_file(
    client: httpx.Client, url: str, target: Path, *, tries: int = TRIES, on_bytes: OnBytes | None = None
) -> None:
    """Stream a large file to `target`, which appears once it is complete.

    Until then the bytes are in `.{name}.part` beside it. The next call continues from there, unless the file on the
    server has changed. Only one process at a time may fetch a target.

    Args:
        on_bytes: called with the number of new bytes. Bytes from an earlier call count, and starting over subtracts
            them (a negative number), so that the sum ends at the length of the file.

    Raises:
        FetchError: the server doesn't have it, `tries` tries in a row failed, or the disk is full.
        ConfigError: the folder can't be written to.
    """
    part = target.with_name(f".{target.name}.part")
    note = target.with_name(f"{part.name}.json")
    with writing(target):
        try:
            with part.open("a+b") as file:
                partial = _Partial(file, on_bytes or ignore)
                partial.resume(note, part.stat().st_size)
                retry(url, tries, lambda: _continue(client, url, partial), lambda: partial.have)
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
        note: the file that stores the version for the next call.
        have: number of bytes.
        version: version of the file on the server.
        ranged: whether the server seems to understand ranges.
    """

    file: IO[bytes]
    on_bytes: OnBytes
    note: Path | None = None
    have: int = 0
    version: Version | None = None
    ranged: bool = True

    def resume(self, note: Path, size: int) -> None:
        """Continue from the `size` bytes of an earlier call, if its note tells which version they belong to."""
        self.note = note
        try:
            known = msgspec.json.decode(note.read_bytes(), type=Version)
        except (FileNotFoundError, msgspec.DecodeError):
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

    def begin(self, response: httpx.Response) -> None:
        """Decide where the body of an answer goes: after the bytes that are there, or at 0.

        Raises:
            RetryableError: the body is not the part that was asked for, or its length contradicts an earlier answer.
        """
        start, version = position_of(response)
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


def _continue(client: httpx.Client, url: str, partial: _Partial) -> None:
    with answer(client, url, partial.headers()) as response:
        partial.begin(response)
        for chunk in response.iter_raw():
            partial.file.write(chunk)
            partial.add(len(chunk))
    if partial.version and partial.version.length not in (None, partial.have):
        raise RetryableError(f"only {partial.have} of {partial.version.length} bytes arrived")
