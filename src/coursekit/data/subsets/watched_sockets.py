"""Sockets whose waiting ends: at a deadline, if the server is too slow, and as soon as the user stops the build.

The timeout of a socket ends only a wait without a single byte. A server that sends one byte a second never reaches it.
"""

import math
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

LOOK_SECONDS = 0.2  # between looks at the clock and at `stop`
SLOWEST = 500  # bytes per second


class StoppedError(Exception):
    """The build was stopped while this thread waited for a server."""


class Watch(threading.local):
    """How long the current thread waits for a server. Each thread has its own values.

    Args:
        stop: ends all waiting.
        window: seconds after which the speed is checked.
    """

    def __init__(self, stop: threading.Event, window: float) -> None:
        self.stop, self.window = stop, window
        self.start(math.inf, "")

    def start(self, deadline: float, reason: str, *, slowest: int = 0) -> None:
        """Begin to wait, until `deadline` (of time.monotonic) at most, for at least `slowest` bytes per second."""
        self.deadline, self.reason, self.slowest = deadline, reason, slowest
        self.window_end, self.arrived = time.monotonic() + self.window, 0

    def check(self, count: int = 0) -> None:
        """Count bytes that arrived, and decide whether to wait for more.

        Raises:
            StoppedError: the build was stopped.
            httpcore2.ReadTimeout: the deadline has passed, or the server is too slow.
        """
        if self.stop.is_set():
            raise StoppedError
        now = time.monotonic()
        if now > self.deadline:
            raise httpcore2.ReadTimeout(self.reason)
        self.arrived += count
        if now > self.window_end:
            if self.arrived < self.slowest * self.window:
                raise httpcore2.ReadTimeout(f"fewer than {self.slowest} bytes per second for {self.window:g} s")
            self.window_end, self.arrived = now + self.window, 0


def watch_sockets(client: httpx2.Client, watch: Watch) -> None:
    """Make all connections of a client obey `watch`.

    httpx2 has no public way to do this that keeps the proxies of the environment, so we reach into its pools.
    """
    transports: list[Any] = [client._transport, *client._mounts.values()]
    for transport in transports:
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _Backend(pool._network_backend, watch)


class _Backend(httpcore2.NetworkBackend):
    def __init__(self, backend: httpcore2.NetworkBackend, watch: Watch) -> None:
        self.backend, self.watch = backend, watch

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        self.watch.check()
        return _Stream(self.backend.connect_tcp(host, port, timeout, local_address, socket_options), self.watch)


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream, watch: Watch) -> None:
        self.stream, self.watch = stream, watch

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        seconds = math.inf if timeout is None else timeout
        end = time.monotonic() + seconds
        while True:
            self.watch.check()
            try:
                data = self.stream.read(max_bytes, min(LOOK_SECONDS, seconds))
            except httpcore2.ReadTimeout:
                if time.monotonic() >= end:
                    raise httpcore2.ReadTimeout(f"no data for {seconds:g} s") from None
            else:
                self.watch.check(len(data))
                return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, timeout)

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, timeout), self.watch)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)
