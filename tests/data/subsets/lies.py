"""Lies of a web server: responses, byte for byte, that no honest server sends."""

import gzip
import itertools
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

from tests.data.subsets.http_server import Fault, Request

Sent = Iterable[bytes | float]  # a number is a pause in seconds
ENDLESS = 1 << 14  # pieces; the client should have left long before the last


def response(status: int, headers: list[str], body: bytes = b"") -> bytes:
    """Return a response with exactly these header lines."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def with_headers(*changed: str, status: int | None = None) -> Callable[[Request], Sent]:
    """Send the honest body. Each header in `changed` replaces the honest one; one without a value only drops it."""

    def send(request: Request) -> Sent:
        part, honest = honest_part(request)
        kept = [name for name in honest if name not in {line.split(":")[0] for line in changed}]
        lines = [f"{name}: {honest[name]}" for name in kept] + [line for line in changed if not line.endswith(":")]
        yield response(status or (206 if "Content-Range" in honest else 200), lines, part)

    return send


def honest_part(request: Request) -> tuple[bytes, dict[str, str]]:
    """Return the requested part of the file and its true headers."""
    size, first = len(request.body), request.first or 0
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size - first), "ETag": '"1"'}
    if request.first is not None:
        headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
    return request.body[first:], headers


def redirect(to: str) -> Callable[[Request], Sent]:
    return lambda request: [response(302, [f"Location: {to.replace('URL', request.url)}", "Content-Length: 0"])]


def drip(head: bytes) -> Callable[[Request], Sent]:
    """Send a byte every 50 ms: never a pause that is long enough for a timeout."""
    return lambda _: itertools.chain.from_iterable((bytes([byte]), 0.05) for byte in head + b"x" * 2000)


def endless(head: bytes, piece: bytes) -> Callable[[Request], Sent]:
    return lambda _: itertools.chain([head], itertools.repeat(piece, ENDLESS))


def body_of(text: Callable[[bytes], bytes], *headers: str) -> Callable[[Request], Sent]:
    """Send a false body with a true length."""

    def send(request: Request) -> Iterator[bytes]:
        body = text(request.body)
        yield response(200, [f"Content-Length: {len(body)}", *headers], body)

    return send


def chunked(text: bytes) -> Callable[[Request], Sent]:
    return lambda _: [response(200, ["Transfer-Encoding: chunked"], text)]


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = bytes(1 << 16)
LIES: dict[str, Callable[[Request], Sent]] = {
    "length of 5,000 digits": with_headers("Content-Length: " + "9" * 5000),
    "length of 15 digits": with_headers("Content-Length: " + "9" * 15),
    "negative length": with_headers("Content-Length: -5"),
    "length in words": with_headers("Content-Length: many"),
    "length in hexadecimal": with_headers("Content-Length: 0x10"),
    "length with a plus": with_headers("Content-Length: +100"),
    "superscript length": with_headers("Content-Length: \xb2"),
    "empty length": with_headers("Content-Length: "),
    "two lengths": with_headers("Content-Length: 5", "Content-Length: 6"),
    "length too large": with_headers("Content-Length: 99999"),
    "range of 5,000 digits": with_headers(f"Content-Range: bytes 0-{'9' * 5000}/{'9' * 5000}"),
    "range with a total of 5,000 digits": with_headers(f"Content-Range: bytes 0-5/{'1' * 5000}"),
    "range in other units": with_headers("Content-Range: lines 0-5/10"),
    "range in words": with_headers("Content-Range: bytes all/everything"),
    "range backwards": with_headers("Content-Range: bytes 9-2/10", "Content-Length:"),
    "range beyond the end": with_headers("Content-Range: bytes 0-99/50", "Content-Length: 100"),
    "range starts elsewhere": with_headers("Content-Range: bytes 7000000-7000009/7000010", "Content-Length: 10"),
    "range of another total": with_headers("Content-Range: bytes 0-9/99999", "Content-Length: 10"),
    "negative range": with_headers("Content-Range: bytes -5-5/10"),
    "206 without a range": with_headers("Content-Range:", status=206),
    "206 in many parts": with_headers("Content-Range:", "Content-Type: multipart/byteranges; boundary=x", status=206),
    "416": lambda request: [response(416, ["Content-Range: bytes */0", "Content-Length: 0"])],
    "gzip bomb": body_of(lambda _: gzip.compress(bytes(10_000_000)), "Content-Encoding: gzip"),
    "unknown encoding": with_headers("Content-Encoding: magic"),
    "encoded twice": with_headers("Content-Encoding: identity, gzip"),
    "web page with status 200": body_of(lambda _: b"<html>Log in", "Content-Type: text/html; charset=x"),
    "web page as an image": body_of(lambda _: b"<html>Log in</html>", "Content-Type: image/jpeg"),
    "nothing": body_of(lambda _: b""),
    "zeros of the true length": body_of(lambda body: bytes(len(body))),
    "half of the file": body_of(lambda body: body[: len(body) // 2]),
    "half of the file until the connection closes": lambda request: [
        b"HTTP/1.0 200 OK\r\n\r\n",
        request.body[: len(request.body) // 2],
    ],
    "shorter than promised": with_headers("Content-Range:", "Content-Length: 70000", status=200),
    "endless body": endless(response(200, []), PIECE),
    "endless body in chunks": endless(CHUNKED, b"10000\r\n" + PIECE + b"\r\n"),
    "endless part": endless(
        response(206, ["Content-Range: bytes 0-9/10", "Transfer-Encoding: chunked"]), b"1\r\nx\r\n"
    ),
    "chunk of negative size": chunked(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk of 5,000 digits": chunked(b"f" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size in words": chunked(b"many\r\nhello\r\n0\r\n\r\n"),
    "chunks without an end": chunked(b"5\r\nhello\r\n"),
    "endless extension of a chunk": endless(CHUNKED + b"5;", b"x" * 1000),
    "endless trailers": endless(CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
    "HTTP/0.9": lambda request: [request.body],
    "no HTTP at all": lambda request: [b"SSH-2.0-OpenSSH_9.6\r\n" * 50],
    "unknown version": lambda request: [b"HTTP/9.9 200 OK\r\n\r\n", request.body],
    "status in words": lambda request: [b"HTTP/1.1 fine OK\r\n\r\n", request.body],
    "status 999": lambda request: [b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"],
    "status 000": lambda request: [b"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n"],
    "reason of 50 KB": lambda request: [b"HTTP/1.1 503 " + b"x" * 50_000 + b"\r\nContent-Length: 0\r\n\r\n"],
    "switching protocols": lambda request: [b"HTTP/1.1 101 Odd\r\nUpgrade: x\r\n\r\n" + bytes(100)],
    "304": lambda request: [b"HTTP/1.1 304 Not Modified\r\n\r\n"],
    "204": lambda request: [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "header of 1 MB": with_headers("X: " + "x" * 1_000_000),
    "100,000 headers": with_headers(*[f"X-{n}: y" for n in range(100_000)]),
    "headers without an end": endless(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 1000),
    "endless interim responses": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 500),
    "header without a colon": lambda request: [b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", request.body],
    "null bytes in a header": lambda request: [b"HTTP/1.1 200 OK\r\nX: \0\0\r\n\r\n", request.body],
    "ETag that can't be sent back": with_headers("ETag: \xff\xfe", "Content-Length: 99999", "Content-Range:"),
    "another ETag each time": lambda request: [
        response(200, [f"ETag: {id(request)}", f"Content-Length: {len(request.body)}"], request.body[:50])
    ],
    "redirect to itself": redirect("URLval2017/0.jpg"),
    "redirect to a file": redirect("file:///etc/passwd"),
    "redirect to FTP": redirect("ftp://127.0.0.1/a.jpg"),
    "redirect to data": redirect("data:image/jpeg;base64,AAAA"),
    "redirect to nowhere": redirect(""),
    "redirect to nonsense": redirect("http://[::1"),
    "redirect to port 99999": redirect("http://127.0.0.1:99999/"),
    "redirect to a label that is too long": redirect(f"http://{'a' * 100}.invalid/"),
    "redirect to a host without a name": redirect("http:///a.jpg"),
    "redirect to a closed port": redirect("http://127.0.0.1:1/"),
    "redirect with an endless body": endless(response(302, ["Location: /a"]), PIECE),
    "redirect with a gzip bomb": lambda request: [
        response(302, ["Location: /nowhere", "Content-Encoding: gzip"], gzip.compress(bytes(10_000_000)))
    ],
    "one byte at a time: head": drip(b"HTTP/1.1 200 OK\r\nX: "),
    "one byte at a time: body": drip(response(200, ["Content-Length: 50000"])),
    "one byte at a time: chunk": drip(CHUNKED + b"5;"),
    "nothing for ever": lambda request: [60.0],
    "redirects one byte at a time": drip(response(302, ["Location: /a", "Content-Length: 1000"])),
    "connection closed at once": lambda request: [],
}  # fmt: skip


def lie(name: str) -> Fault:
    return Fault(lie=LIES[name])
