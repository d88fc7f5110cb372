"""Work in threads that no one has to wait for: Ctrl-C ends a build whatever its threads are waiting for."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from coursekit.data.subsets.watched_sockets import StoppedError

PATIENCE = 1.0  # seconds for threads to end after a stop
T = TypeVar("T")
R = TypeVar("R")


def in_threads(
    work: Callable[[T], R], items: Sequence[T], threads: int, stop: threading.Event
) -> Generator[R, None, None]:
    """Yield `work(item)` for each item, in the order in which they finish.

    If `work` fails, or the generator is closed early, `stop` is set. `work` should then raise StoppedError soon. A
    thread that still looks up the address of a server can't notice; it is a daemon, so the process ends without it.

    Raises:
        Exception: the first that `work` raised.
    """
    todo: queue.SimpleQueue[T] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[R | None, BaseException | None]] = queue.SimpleQueue()
    for item in items:
        todo.put(item)
    workers = [
        threading.Thread(target=_worker, args=(work, todo, done, stop), daemon=True)
        for _ in range(min(threads, len(items)))
    ]
    try:
        for worker in workers:
            worker.start()
        for _ in items:
            result, error = done.get()
            if error is not None:
                raise error
            yield result  # type: ignore[misc]
    except BaseException:
        stop.set()
        _join(workers)
        raise


def _worker(
    work: Callable[[T], R],
    todo: "queue.SimpleQueue[T]",
    done: "queue.SimpleQueue[tuple[R | None, BaseException | None]]",
    stop: threading.Event,
) -> None:
    while not stop.is_set():
        try:
            item = todo.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((work(item), None))
        except StoppedError:
            return
        except BaseException as error:
            done.put((None, error))


def _join(workers: list[threading.Thread]) -> None:
    end = time.monotonic() + PATIENCE
    for worker in workers:
        if worker.ident is not None:  # it was started
            worker.join(max(0.0, end - time.monotonic()))
