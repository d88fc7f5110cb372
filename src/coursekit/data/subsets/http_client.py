"""One request to a web server: its answer, checked, and which failures are worth another try."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx
import msgspec

from coursekit import __version__
from coursekit.core.errors import CourseError

CONNECT_SECONDS = 10.0
STALL_SECONDS = 20.0  # without a single byte
TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between tries; a server that asks for a longer wait doesn't get it
PROGRESS = 1 << 20  # bytes: a try that gets this much further than all before it resets the count of tries
RETRYABLE = {408, 425, 429}  # status codes below 500 that may succeed later

sleep = time.sleep
T = TypeVar("T")


class FetchError(CourseError):
    """A file could not be fetched. The message names its address, what happened and what to do."""


class RetryableError(Exception):
    """A failure that another try may fix. `wait` is the number of seconds that the server asked for."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Version(msgspec.Struct, frozen=True):
    """What identifies one state of a file on its server. `length` is in bytes, None if the server doesn't state it."""

    etag: str
    modified: str
    length: int | None

    def agrees(self, other: "Version") -> bool:
        """Return whether the two share a field and no shared field differs. An answer may leave out fields."""
        fields = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        shared = [(mine, theirs) for mine, theirs in fields if mine and theirs]
        return bool(shared) and all(mine == theirs for mine, theirs in shared)

    def contradicts(self, other: "Version") -> bool:
        """Return whether both name the same state (etag and date) but different lengths, so that one must be wrong."""
        same = (self.etag, self.modified) == (other.etag, other.modified)
        return same and None not in (self.length, other.length) and self.length != other.length


def make_client(jobs: int) -> httpx.Client:
    """Return a client for `jobs` downloads at a time. Share it among their threads, and close it at the end."""
    return httpx.Client(
        # pool=None: wait for a free connection as long as it takes.
        timeout=httpx.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS, pool=None),
        limits=httpx.Limits(max_connections=jobs, max_keepalive_connections=jobs),
        follow_redirects=True,
        # Lengths and ranges count bytes of the file itself, so it must not arrive compressed.
        headers={"User-Agent": f"coursekit/{__version__}", "Accept-Encoding": "identity"},
    )


def retry(url: str, tries: int, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
    """Call `attempt` until it succeeds, waiting longer after each failure.

    Args:
        tries: give up after this many failures in a row. A try that made progress restarts the count.
        attempt: raises RetryableError if another try makes sense.
        progress: returns the number of bytes there so far.

    Raises:
        FetchError: `tries` tries in a row failed.
    """
    rng = random.Random(url)  # the same waits in every run, different waits for every file
    failures, best = 0, progress()
    while True:
        try:
            return attempt()
        except RetryableError as error:
            if progress() >= best + PROGRESS:
                failures, best = 0, progress()
            failures += 1
            if failures >= tries:
                raise FetchError(
                    f"{url}: {error} (tries: {tries}). Check the connection, or try again later."
                ) from None
            back_off = FIRST_WAIT * 2 ** (failures - 1) * rng.uniform(0.5, 1)
            sleep(min(max(error.wait, back_off), LONGEST_WAIT))


@contextmanager
def answer(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """Send a request. Yield the server's answer, its body not yet read.

    Raises:
        FetchError: the address is wrong, or the server refuses.
        RetryableError: another try may succeed. This includes a connection that breaks inside the block.
    """
    try:
        with client.stream("GET", url, headers=headers) as response:
            _check_status(url, response)
            yield response
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise FetchError(f"{url}: {error}. Check the address.") from None
    except httpx.ConnectTimeout:
        raise RetryableError(f"no connection within {CONNECT_SECONDS:g} s") from None
    except httpx.TimeoutException:
        raise RetryableError(f"no data for {STALL_SECONDS:g} s") from None
    except httpx.TransportError as error:
        raise RetryableError(f"the connection broke ({error})") from None


def _check_status(url: str, response: httpx.Response) -> None:
    status, headers = response.status_code, response.headers
    problem = f"the server answered {status} {response.reason_phrase}".rstrip()
    if status >= 500 or status in RETRYABLE:
        wait = headers.get("Retry-After", "")  # it may also be a date, which we ignore
        raise RetryableError(problem, wait=float(wait) if re.fullmatch("[0-9]{1,9}", wait) else 0.0)
    if status not in (200, 206, 416):
        raise FetchError(f"{url}: {problem}. Check the address, and whether the file is still offered there.")
    if status != 416 and headers.get("Content-Type", "").lower().startswith("text/html"):
        raise RetryableError("the server sent a web page instead of the file")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise RetryableError("the server sent the file compressed, though we asked for it uncompressed")


def position_of(response: httpx.Response) -> tuple[int, Version]:
    """Return where in the file the body begins, and the version of the file.

    The position is -1 if the answer doesn't state it consistently.

    Raises:
        RetryableError: the answer states two different lengths.
    """
    headers = response.headers
    length = int(headers["Content-Length"]) if "Content-Length" in headers else None
    start = 0 if response.status_code == 200 else -1
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", headers.get("Content-Range", ""))
    if response.status_code == 206 and match:
        start = int(match[1])
        if length not in (None, int(match[2]) - start + 1):
            raise RetryableError("the server sent a wrong Content-Length")
        length = None if match[3] == "*" else int(match[3])
    return start, Version(headers.get("ETag", ""), headers.get("Last-Modified", ""), length)
