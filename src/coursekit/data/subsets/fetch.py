"""Files from web servers that break off, stall, refuse and lie: what comes is whole, or there is one clear error."""

import io
import random
import re
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import httpx
import msgspec

from coursekit import __version__
from coursekit.core.errors import CourseError
from coursekit.core.files import make_folder, new_file

CONNECT_SECONDS = 10.0
STALL_SECONDS = 20.0  # nothing at all came for so long
TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between tries; the longest is also the most a server may ask for
PROGRESS = 1 << 20  # bytes: a try that got so much further than all before it makes the count of tries begin anew
BLOCK = 1 << 22  # bytes asked for at a time inside an archive: few requests, yet not much too much
PASSING = {408, 425, 429}  # of the answers below 500, those that may turn out well later

sleep = time.sleep
OnBytes = Callable[[int], None]
T = TypeVar("T")


class FetchError(CourseError):
    """A file could not be fetched. The text names its address, what happened and what to do."""


class _PassingError(Exception):
    """What another try may mend. `wait`: the seconds that the server asked for."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class _NoRangesError(Exception):
    """The server can't send the part of a file that was asked for."""


class _Version(msgspec.Struct, frozen=True):
    """What tells one state of a file on its server from another. `length`: bytes, where the server says it."""

    etag: str
    modified: str
    length: int | None

    def agrees(self, other: "_Version") -> bool:
        """Both say something in common, and nothing that differs: an answer may leave out what it said before."""
        fields = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        common = [(mine, theirs) for mine, theirs in fields if mine and theirs]
        return bool(common) and all(mine == theirs for mine, theirs in common)

    def contradicts(self, other: "_Version") -> bool:
        """The same state, but of another length: one of the two is wrong."""
        same = (self.etag, self.modified) == (other.etag, other.modified)
        return same and self.length not in (None, other.length)


def make_client(jobs: int) -> httpx.Client:
    """A client for `jobs` downloads at a time, to be shared by their threads and closed at the end."""
    return httpx.Client(
        timeout=httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS, pool=None),  # a free connection is waited for
        limits=httpx.Limits(max_connections=jobs, max_keepalive_connections=jobs),
        follow_redirects=True,
        # Lengths and ranges count the bytes of the file, so it must not come packed.
        headers={"User-Agent": f"coursekit/{__version__}", "Accept-Encoding": "identity"},
    )


def fetch(client: httpx.Client, url: str, *, tries: int = TRIES) -> bytes:
    """The body of a small file.

    Raises:
        FetchError: it isn't there, or `tries` tries in a row failed.
    """
    partial = _Partial(memory := io.BytesIO(), _ignore)
    _retry(url, tries, lambda: _go_on(client, url, partial), lambda: partial.have)
    return memory.getvalue()


def fetch_file(
    client: httpx.Client, url: str, target: Path, *, tries: int = TRIES, on_bytes: OnBytes | None = None
) -> None:
    """Stream a large file to `target`, which appears when all of it is there.

    What has come lies beside it in `.{name}.part`, and the next call goes on from there if the server's file is still
    the same. One process at a time may fetch a target.

    Args:
        on_bytes: told how many bytes more are there; what an earlier call brought counts, and a new start takes back
            (a negative number), so that the sum ends at the file's length.

    Raises:
        FetchError: it isn't there, `tries` tries in a row failed, or the disk is full.
        ConfigError: the folder can't be written.
    """
    part = target.with_name(f".{target.name}.part")
    note = target.with_name(f"{part.name}.json")
    with _writing(target):
        try:
            with part.open("a+b") as file:
                partial = _Partial(file, on_bytes or _ignore)
                partial.take_up(note, part.stat().st_size)
                _retry(url, tries, lambda: _go_on(client, url, partial), lambda: partial.have)
            part.replace(target)
        finally:
            if not part.exists() or not part.stat().st_size:  # done, or nothing to go on from
                part.unlink(missing_ok=True)
                note.unlink(missing_ok=True)


def fetch_zip_member(
    client: httpx.Client, url: str, member: str, target: Path, *, on_bytes: OnBytes | None = None
) -> None:
    """Write one member of a zip archive to `target`, reading little else of the archive.

    From a server that can't send parts, the whole archive comes, and goes again once the member is out.

    Args:
        on_bytes: told how many bytes more came over the network.

    Raises:
        FetchError: the archive or the member isn't there or is damaged, the server failed, or the disk is full.
        ConfigError: the folder can't be written.
    """
    with _writing(target):
        try:
            remote = _RemoteFile(client, url, on_bytes or _ignore)
            _extract(url, io.BufferedReader(remote, BLOCK), member, target)
        except _NoRangesError:
            archive = target.with_name(f".{target.name}.zip")
            fetch_file(client, url, archive, on_bytes=on_bytes)
            try:
                _extract(url, archive, member, target)
            finally:
                archive.unlink(missing_ok=True)


def _retry(url: str, tries: int, attempt: Callable[[], T], reached: Callable[[], int] = lambda: 0) -> T:
    dice = random.Random(url)  # the same waits in each run, other waits for each file
    failed, best = 0, reached()
    while True:
        try:
            return attempt()
        except _PassingError as fault:
            if reached() >= best + PROGRESS:
                failed, best = 0, reached()
            failed += 1
            if failed >= tries:
                raise FetchError(
                    f"{url}: {fault} (tries: {tries}). Check the connection, or try again later."
                ) from None
            back_off = FIRST_WAIT * 2 ** (failed - 1) * dice.uniform(0.5, 1)
            sleep(min(max(fault.wait, back_off), LONGEST_WAIT))


@contextmanager
def _answer(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """The server's answer, its body yet to be read; what goes wrong inside the block is a fault, too."""
    try:
        with client.stream("GET", url, headers=headers) as response:
            _check_status(url, response)
            yield response
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise FetchError(f"{url}: {error}. Check the address.") from None
    except httpx.ConnectTimeout:
        raise _PassingError(f"no connection within {CONNECT_SECONDS:g} s") from None
    except httpx.TimeoutException:
        raise _PassingError(f"nothing came for {STALL_SECONDS:g} s") from None
    except httpx.TransportError as error:
        raise _PassingError(f"the connection broke ({error})") from None


def _check_status(url: str, response: httpx.Response) -> None:
    status, headers = response.status_code, response.headers
    what = f"the server answered {status} {response.reason_phrase}".rstrip()
    if status >= 500 or status in PASSING:
        asked = headers.get("Retry-After", "")  # it may also be a date, which we don't read
        raise _PassingError(what, wait=float(asked) if re.fullmatch("[0-9]{1,9}", asked) else 0.0)
    if status not in (200, 206, 416):
        raise FetchError(f"{url}: {what}. Check the address, and whether the file is still offered there.")
    if status != 416 and headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _PassingError("a web page came instead of the file")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise _PassingError("the file came packed, though it was asked for as it is")


def _place(response: httpx.Response) -> tuple[int, _Version]:
    """Where in the file the body begins (-1: the answer doesn't say so soundly), and what file it is of."""
    headers = response.headers
    length = int(headers["Content-Length"]) if "Content-Length" in headers else None
    start = 0 if response.status_code == 200 else -1
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", ""))
    if response.status_code == 206 and match:
        start = int(match[1])
        if length not in (None, int(match[2]) - start + 1):
            raise _PassingError("the server gave a wrong Content-Length")
        length = None if match[3] == "*" else int(match[3])
    return start, _Version(headers.get("ETag", ""), headers.get("Last-Modified", ""), length)


@dataclass
class _Partial:
    """What has come of a file so far. `note`: where its version is kept for the next call."""

    file: IO[bytes]
    on_bytes: OnBytes
    note: Path | None = None
    have: int = 0
    version: _Version | None = None
    ranged: bool = True  # the server seems to understand ranges

    def take_up(self, note: Path, size: int) -> None:
        """Go on from the `size` bytes of an earlier call, if it noted what they are of."""
        self.note = note
        try:
            known = msgspec.json.decode(note.read_bytes(), type=_Version)
        except (FileNotFoundError, msgspec.DecodeError):
            known = _Version("", "", None)
        if known.length and size <= known.length:
            self.version = known
            self.add(min(size, known.length - 1))  # a byte is left to ask for, so that the server confirms the rest
        self.cut()

    def headers(self) -> dict[str, str]:
        """Ask for what is missing. From 0 on, too: the answer then says the length twice, so a wrong one shows."""
        if not self.ranged:
            return {}
        version = self.version or _Version("", "", None)
        strong = "" if version.etag.startswith("W/") else version.etag
        mark = (strong or version.modified) if self.have else ""
        return {"Range": f"bytes={self.have}-"} | ({"If-Range": mark} if mark else {})

    def begin(self, response: httpx.Response) -> None:
        """Place the body that comes: after what is there, or at 0."""
        start, version = _place(response)
        known = self.version or version
        same = known.agrees(version)
        if not same or start != self.have:
            self.add(-self.have)
            self.cut()
        if start >= 0 and not (same and self.version and self.version.length):
            self.remember(version)
        if start != self.have:
            self.ranged = start >= 0 and not same
            raise _PassingError("the server sent another part of the file than was asked for")
        if known.contradicts(version):
            self.ranged = True
            raise _PassingError("the server gave two different lengths for the file")

    def add(self, count: int) -> None:
        """Count bytes that are there now."""
        self.have += count
        self.on_bytes(count)

    def cut(self) -> None:
        """Keep only what is counted."""
        self.file.seek(self.have)
        self.file.truncate()

    def remember(self, version: _Version) -> None:
        """Of this file is what comes now; the old bytes have to be gone before, in case we are killed between."""
        self.version = version
        if self.note:
            self.note.write_bytes(msgspec.json.encode(version))


def _go_on(client: httpx.Client, url: str, partial: _Partial) -> None:
    with _answer(client, url, partial.headers()) as response:
        partial.begin(response)
        for chunk in response.iter_raw():
            partial.file.write(chunk)
            partial.add(len(chunk))
    if partial.version and partial.version.length not in (None, partial.have):
        raise _PassingError(f"{partial.have} bytes came of {partial.version.length}")


class _RemoteFile(io.RawIOBase):
    """A file on a server, of which each read asks for a part."""

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

    def _load(self, count: int) -> tuple[bytes, _Version]:
        def attempt() -> tuple[bytes, _Version]:
            with _answer(self.client, self.url, {"Range": f"bytes={self.position}-{self.position + count - 1}"}) as got:
                start, version = _place(got)
                if got.status_code != 206 or start != self.position or not version.length:
                    raise _NoRangesError
                return b"".join(got.iter_raw()), version

        data, version = _retry(self.url, TRIES, attempt)
        if not 0 < len(data) <= count:
            raise _NoRangesError
        self.on_bytes(len(data))
        return data, version


def _extract(url: str, source: IO[bytes] | Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            if member not in archive.namelist():
                raise FetchError(f"{url}: the archive has no member {member!r}. Check the name and the address.")
            with archive.open(member) as packed, new_file(target) as place, place.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)  # at its end, zipfile compares the checksum
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError) as error:
        raise FetchError(f"{url}: the archive is damaged ({error}). Fetch it again.") from None


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    make_folder(target.parent)
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise FetchError(f"{target}: can't be written ({reason}). Make room, or choose another folder.") from None


def _ignore(count: int) -> None:
    pass
