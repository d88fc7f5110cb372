"""One request to a web server: its response, checked, and which failures are worth another try."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

import httpx2
import msgspec

from coursekit import __version__
from coursekit.core.errors import CourseError
from coursekit.data.subsets.watched_sockets import SLOWEST, StoppedError, Watch, watch_sockets

CONNECT_SECONDS = 10.0
STALL_SECONDS = 20.0  # without a single byte, or with fewer than SLOWEST per second
HEAD_SECONDS = 30.0  # until a response begins, redirects included
REDIRECTS = 10
TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds between tries; a server that asks for a longer wait doesn't get it
PROGRESS = 1 << 20  # bytes: a try that gets this much further than all before it resets the count of tries
RETRYABLE = {408, 425, 429}  # status codes below 500 that may succeed later
LONGEST_TEXT = 160  # characters of a server's text that a message quotes

T = TypeVar("T")


class FetchError(CourseError):
    """A file could not be fetched. The message names its address, what happened and what to do."""


class RetryableError(Exception):
    """A failure that may go away on another try. `wait` is the number of seconds that the server asked for."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Limit(msgspec.Struct, frozen=True):
    """How much of a file we accept, and how long we try to get it: in bytes, and in seconds for all tries together."""

    bytes: int
    seconds: float


class Version(msgspec.Struct, frozen=True):
    """What identifies one state of a file on its server. `length` is in bytes, None if the server doesn't state it."""

    etag: str
    modified: str
    length: int | None

    def agrees(self, other: "Version") -> bool:
        """Return whether the two share a field and no shared field differs. A response may leave out fields."""
        fields = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        shared = [(mine, theirs) for mine, theirs in fields if mine and theirs]
        return bool(shared) and all(mine == theirs for mine, theirs in shared)

    def contradicts(self, other: "Version") -> bool:
        """Return whether both name the same state (etag and date) but different lengths, so that one must be wrong."""
        same = (self.etag, self.modified) == (other.etag, other.modified)
        return same and None not in (self.length, other.length) and self.length != other.length


class Client:
    """What the downloads of a build share, among their threads, too. Use it in a `with` block.

    Setting `stop` ends all its requests and pauses within a moment. The end of the block sets it.
    """

    def __init__(self, jobs: int) -> None:
        self.stop = Event()
        self.watch = Watch(self.stop, STALL_SECONDS)
        self.http = httpx2.Client(
            # pool=None: wait for a free connection as long as it takes.
            timeout=httpx2.Timeout(STALL_SECONDS, connect=CONNECT_SECONDS, pool=None),
            limits=httpx2.Limits(max_connections=jobs, max_keepalive_connections=jobs),
            # Lengths and ranges count bytes of the file itself, so it must not arrive compressed.
            headers={"User-Agent": f"coursekit/{__version__}", "Accept-Encoding": "identity"},
        )
        watch_sockets(self.http, self.watch)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.http.close()

    def pause(self, seconds: float) -> None:
        """Wait before the next try.

        Raises:
            StoppedError: the build was stopped.
        """
        if self.stop.wait(seconds):
            raise StoppedError


def make_client(jobs: int) -> Client:
    """Return a client for `jobs` downloads at a time."""
    return Client(jobs)


def retry(
    client: Client,
    url: str,
    tries: int,
    seconds: float,
    attempt: Callable[[float], T],
    progress: Callable[[], int] = lambda: 0,
) -> T:
    """Call `attempt` until it succeeds, waiting longer after each failure.

    Args:
        tries: give up after this many failures in a row. A try that made progress restarts the count.
        seconds: give up after this time.
        attempt: is given the deadline, of time.monotonic. It raises RetryableError if another try makes sense.
        progress: returns the number of bytes there so far.

    Raises:
        FetchError: `tries` tries in a row failed, or the time is over.
    """
    rng = random.Random(url)  # the same waits in every run, different waits for every file
    failures, best, deadline = 0, progress(), time.monotonic() + seconds
    while True:
        try:
            return attempt(deadline)
        except RetryableError as error:
            if progress() >= best + PROGRESS:
                failures, best = 0, progress()
            failures += 1
            back_off = FIRST_WAIT * 2 ** (failures - 1) * rng.uniform(0.5, 1)
            wait = min(max(error.wait, back_off), LONGEST_WAIT)
            is_late = time.monotonic() + wait > deadline
            if failures >= tries or is_late:
                when = f"within {seconds:g} s" if is_late else f"tries: {tries}"
                raise FetchError(f"{url}: {error} ({when}). Check the connection, or try again later.") from None
            client.pause(wait)


@contextmanager
def open_response(client: Client, url: str, headers: dict[str, str], deadline: float) -> Iterator[httpx2.Response]:
    """Send a request. Yield the server's response, its body not yet read.

    Raises:
        FetchError: the address is wrong, or the server refuses.
        RetryableError: another try may succeed. This includes a connection that breaks inside the block.
        StoppedError: the build was stopped.
    """
    try:
        response = _send(client, url, headers, deadline)
        try:
            _check_status(url, response)
            client.watch.start(deadline, "the file took too long", slowest=SLOWEST)
            yield response
        finally:
            response.close()
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise FetchError(f"{url}: {_short(error)}. Check the address.") from None
    except httpx2.ConnectTimeout:
        raise RetryableError(f"no connection within {CONNECT_SECONDS:g} s") from None
    except httpx2.ReadTimeout as error:
        raise RetryableError(_short(error)) from None
    except httpx2.TransportError as error:
        raise RetryableError(f"the connection broke ({_short(error)})") from None


def _send(client: Client, url: str, headers: dict[str, str], deadline: float) -> httpx2.Response:
    """Return the response to a request, after redirects. (httpx2 would read their bodies, however large they are.)"""
    head_deadline = time.monotonic() + HEAD_SECONDS
    client.watch.start(min(deadline, head_deadline), f"no response within {HEAD_SECONDS:g} s")
    try:
        request = client.http.build_request("GET", url, headers=headers)
        for _ in range(REDIRECTS + 1):
            response = client.http.send(request, stream=True)
            if response.next_request is None:
                return response
            response.close()
            if request.url.scheme == "https" != response.next_request.url.scheme:
                raise FetchError(f"{url}: the server redirects from https to an unsafe address. Check the address.")
            request = response.next_request
    except (ValueError, OverflowError) as error:  # a host name or a port that the system can't even look up
        raise FetchError(f"{url}: {_short(error)}. Check the address.") from None
    raise FetchError(f"{url}: more than {REDIRECTS} redirects. Check the address.")


def _short(error: Exception) -> str:
    """Return an error's text without what the server may have put into it: control characters, megabytes."""
    text = "".join(character if character.isprintable() else " " for character in str(error)[:LONGEST_TEXT])
    return f"{text} …" if len(str(error)) > LONGEST_TEXT else text or type(error).__name__


def _check_status(url: str, response: httpx2.Response) -> None:
    status, headers = response.status_code, response.headers
    problem = f"the server answered {status} {response.reason_phrase[:LONGEST_TEXT]}".rstrip()
    if status >= 500 or status in RETRYABLE:
        wait = headers.get("Retry-After", "")  # it may also be a date, which we ignore
        raise RetryableError(problem, wait=float(wait) if re.fullmatch("[0-9]{1,9}", wait) else 0.0)
    if status not in (200, 206, 416):
        raise FetchError(f"{url}: {problem}. Check the address, and whether the file is still offered there.")
    if status != 416 and headers.get("Content-Type", "").lower().startswith("text/html"):
        raise RetryableError("the server sent a web page instead of the file")
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        raise RetryableError("the server sent the file compressed, though we asked for it uncompressed")


def position_of(response: httpx2.Response) -> tuple[int, Version]:
    """Return where in the file the body begins, and the version of the file.

    The position is -1 if the response doesn't state it consistently.

    Raises:
        RetryableError: the response states two different lengths, or a length that is no number.
    """
    headers = response.headers
    length = _length(headers["Content-Length"]) if "Content-Length" in headers else None
    start = 0 if response.status_code == 200 else -1
    match = re.fullmatch(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)", headers.get("Content-Range", ""))
    if response.status_code == 206 and match:
        start, last, total = int(match[1]), int(match[2]), None if match[3] == "*" else int(match[3])
        if length not in (None, last - start + 1):
            raise RetryableError("the server sent a wrong Content-Length")
        if last < start or (total is not None and last >= total):
            raise RetryableError("the server sent a Content-Range that is impossible")
        length = total
    return start, Version(_validator(headers.get("ETag", "")), _validator(headers.get("Last-Modified", "")), length)


def _length(text: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", text):
        raise RetryableError(f"the server sent a Content-Length that is no usable number: {text[:30]!r}")
    return int(text)


def _validator(text: str) -> str:
    """Return an ETag or a date, or an empty text if we could not send it back."""
    return text if text.isascii() and text.isprintable() and len(text) <= LONGEST_TEXT else ""
