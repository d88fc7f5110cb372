"""Messages of bytes from one process to another through a pipe, each with its length in front.

They are read in a thread, so that waiting for one can end, also in the middle of a message, and on every system.
"""

from queue import Empty, Queue
from threading import Thread
from typing import IO

from coursekit.lessons.checking.message_bytes import LENGTH, framed

LARGEST = 2**30  # bytes: more is no message


def send(stream: IO[bytes], content: bytes) -> None:
    """Write a message."""
    stream.write(framed(content))
    stream.flush()


class Messages:
    """The messages that arrive in a stream.

    Attributes:
        is_open: whether the receiver still expects some.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.is_open = True
        self.queue: Queue[bytes | None] = Queue()
        Thread(target=self._read, args=(stream,), daemon=True).start()

    def next(self, seconds: float | None) -> bytes | None:
        """Return the next message; None if the stream has ended or makes no sense.

        Raises:
            TimeoutError: there was none for so many seconds.
        """
        try:
            return self.queue.get(timeout=seconds)
        except Empty:
            raise TimeoutError from None

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while content := _message(stream):
                self.queue.put(content)
        self.queue.put(None)


def _message(stream: IO[bytes]) -> bytes | None:
    try:
        head = stream.read(LENGTH.size)
        length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else LARGEST + 1
        if length > LARGEST:
            return None
        content = stream.read(length)
    except (OSError, ValueError, MemoryError):
        return None
    return content if len(content) == length else None
