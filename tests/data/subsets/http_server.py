"""A local web server that serves a folder and misbehaves on request.

    with serve(folder, faults={"a.jpg": [status(503), reset(after=100)], "b.jpg": status(404)}) as server:
        httpx2.get(server.url + "a.jpg")

The plan of a path is a list with one entry per request, or a single fault for all requests. None, or the end of the
list, means no fault. Instead of a dict of plans you can pass a function of path and attempt (from 0).
"""

import os
import re
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote, urlsplit

PIECE = 1 << 14  # bytes sent at a time


@dataclass(frozen=True)
class Request:
    """What a lie can know: the file that was asked for, from which byte on, and the address of the server."""

    body: bytes
    first: int | None  # None: the whole file
    url: str


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer. The functions below make the usual ones."""

    status: int | None = None  # answer with this status and no file
    headers: Mapping[str, str] = field(default_factory=dict)
    web_page: bool = False  # 200 with a web page instead of the file
    ranges: bool = True  # False: ignore Range
    shift: int = 0  # send a part that begins this many bytes too late (negative: too early)
    extra_length: int = 0  # add to Content-Length
    after: int | None = None  # send this many bytes of the body, then ...
    then: str = "close"  # ... "close", "reset" or "stall"
    lie: "Callable[[Request], Iterable[bytes | float]] | None" = None  # send exactly this, see `lies.py`


def status(code: int, retry_after: int | str | None = None) -> Fault:
    return Fault(status=code, headers={} if retry_after is None else {"Retry-After": str(retry_after)})


def reset(after: int = 0) -> Fault:
    """Reset the connection after this many bytes of the body."""
    return Fault(after=after, then="reset")


def stall(after: int = 0) -> Fault:
    """Send nothing more after this many bytes of the body; with 0, not even a header."""
    return Fault(after=after, then="stall")


def short(after: int = 0) -> Fault:
    """Close the connection after this many bytes of the body."""
    return Fault(after=after)


def wrong_length(extra: int) -> Fault:
    """Send a Content-Length that is too large (then close the connection) or too small (then keep it open)."""
    return Fault(extra_length=extra, after=1 << 62 if extra > 0 else None)


def web_page() -> Fault:
    return Fault(web_page=True)


def no_ranges() -> Fault:
    return Fault(ranges=False)


def wrong_range(shift: int = 1) -> Fault:
    return Fault(shift=shift)


Plan = Sequence[Fault | None] | Fault
Faults = Mapping[str, Plan] | Callable[[str, int], Fault | None]


class Server(ThreadingHTTPServer):
    """See `serve`. Counts by path: `requests`, `sent` (bytes of bodies), `ranges` (the Range headers in order)."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, faults: Faults, bytes_per_second: float | None, validators: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.faults, self.validators = folder, faults, validators
        self.bytes_per_second = bytes_per_second
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.requests: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.ranges: defaultdict[str, list[str | None]] = defaultdict(list)
        self.headers: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
        self.connections = 0
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._free_at = 0.0

    def arrived(self, path: str, headers: Mapping[str, str]) -> Fault:
        """Count a request, and return what goes wrong with it."""
        with self._lock:
            attempt = self.requests[path]
            self.requests[path] += 1
            self.ranges[path].append(headers.get("Range"))
            self.headers[path].append(dict(headers))
        return self._planned(path, attempt) or Fault()

    def _planned(self, path: str, attempt: int) -> Fault | None:
        if callable(self.faults):
            return self.faults(path, attempt)
        plan = self.faults.get(path, [])
        if isinstance(plan, Fault):
            return plan
        return plan[attempt] if attempt < len(plan) else None

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    def leaving(self, path: str, count: int) -> None:
        """Count bytes of a body, and delay them for the throttle, which all connections share."""
        with self._lock:
            self.sent[path] += count
            if not self.bytes_per_second:
                return
            self._free_at = max(self._free_at, time.monotonic()) + count / self.bytes_per_second
            wait = self._free_at - time.monotonic()
        time.sleep(max(wait, 0))

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client left; the tests see what matters


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connected()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        fault = self.server.arrived(path, self.headers)
        file = (self.server.folder / path).resolve()
        if fault.status:
            self._answer_page(fault.status, f"<p>{fault.status}", fault.headers)
        elif fault.web_page:
            self._answer_page(200, "<p>Please log in.", {})
        elif not file.is_relative_to(self.server.folder.resolve()) or not file.is_file():
            self._answer_page(404, "<p>No such file.", {})
        elif fault.lie:
            self._lie(fault.lie, file)
        elif fault.then == "stall" and fault.after == 0:
            self._end("stall")
        else:
            self._answer_file(path, file, fault)

    def _lie(self, lie: "Callable[[Request], Iterable[bytes | float]]", file: Path) -> None:
        """Send what the lie yields; a number is a pause in seconds."""
        self.close_connection = True
        match = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        request = Request(file.read_bytes(), int(match[1]) if match else None, self.server.url)
        for piece in lie(request):
            if self.server.closing.is_set():
                return
            if isinstance(piece, bytes):
                self.wfile.write(piece)
            else:
                self.server.closing.wait(piece)

    def _answer_page(self, code: int, text: str, headers: Mapping[str, str]) -> None:
        self._answer_head(code, {"Content-Type": "text/html", "Content-Length": str(len(text)), **headers})
        self.wfile.write(text.encode())

    def _answer_file(self, path: str, file: Path, fault: Fault) -> None:
        size = file.stat().st_size
        headers = self._file_headers(file, fault)
        span = self._span(size, headers) if fault.ranges else None
        if span and span[0] >= size:
            self._answer_head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        first, stop = span or (0, size)
        if span and fault.shift:
            first = max(0, min(first + fault.shift, stop - 1))
        if span:
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{size}"
        headers["Content-Length"] = str(max(stop - first + fault.extra_length, 0))
        self._answer_head(206 if span else 200, headers)
        self._send(path, file, first, stop if fault.after is None else min(first + fault.after, stop))
        if fault.after is not None:
            self._end(fault.then)

    def _file_headers(self, file: Path, fault: Fault) -> dict[str, str]:
        stat = file.stat()
        headers = {"Content-Type": guess_type(file.name)[0] or "application/octet-stream"}
        if fault.ranges:
            headers["Accept-Ranges"] = "bytes"
        if self.server.validators:
            headers["ETag"] = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
            headers["Last-Modified"] = formatdate(stat.st_mtime, usegmt=True)
        return headers

    def _span(self, size: int, headers: Mapping[str, str]) -> tuple[int, int] | None:
        """Return the requested part as [first, stop); None for the whole file."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if not match or (condition and condition not in (headers.get("ETag"), headers.get("Last-Modified"))):
            return None
        first, last = match.groups()
        if not first:
            return (max(size - int(last), 0), size) if last else None
        return int(first), min(int(last) + 1, size) if last else size

    def _answer_head(self, code: int, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, path: str, file: Path, first: int, stop: int) -> None:
        with file.open("rb") as content:
            content.seek(first)
            while first < stop and (piece := content.read(min(PIECE, stop - first))):
                self.server.leaving(path, len(piece))
                self.wfile.write(piece)
                first += len(piece)

    def _end(self, how: str) -> None:
        self.close_connection = True
        if how == "stall":
            self.server.closing.wait(60)
        if how == "reset":
            # Closing a socket without lingering sends RST. The reader keeps the socket open, so close it first.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serve(
    folder: Path, faults: Faults | None = None, *, bytes_per_second: float | None = None, validators: bool = True
) -> Iterator[Server]:
    """Serve `folder` at `server.url`, which ends with a slash, until the block ends.

    Args:
        faults: by path below the folder, such as "val2017/1.jpg". See the top of this file.
        bytes_per_second: the limit of all connections together.
        validators: send ETag and Last-Modified.
    """
    server = Server(folder, faults or {}, bytes_per_second, validators)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def set_time(file: Path, seconds: int) -> None:
    """Set the modification time of a file, so that its ETag and Last-Modified change."""
    os.utime(file, (seconds, seconds))
