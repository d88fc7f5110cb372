"""The process inside the sandbox: import torch once, then try one answer after the other, each in a fork.

Nothing here knows what is expected. An answer may take its own process apart; all it gets is a wrong or missing outcome
of its own. Requests come on standard input, replies go to standard output; an answer has neither.
"""

import dataclasses
import gc
import os
import pickle
import re
import select
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from coursekit.grading.codec import LENGTH, framed, pack
from coursekit.grading.confine import CPU_SECONDS, begin, confine, kill_all, swept
from coursekit.grading.reference_use import note_use

WALL_SECONDS = 15.0
REPLY = 2 << 20  # bytes: four times the largest right one, that of pool_levels
USES_TIMM = re.compile("timm|backbone")
Serve = Callable[[Callable[[bytes], Any]], None]


def main() -> None:
    """Drop root, import, report that it is ready, and serve requests until the input ends."""
    is_sealed, user, processes = sys.argv[1] == "sealed", int(sys.argv[2]), int(sys.argv[3])
    if is_sealed:
        begin(user)
    import torch

    from coursekit.lessons.checking import runner
    from coursekit.lessons.exercises import EXERCISES

    torch.set_num_threads(1)
    list(EXERCISES.values())  # imports them all, once
    gc.freeze()  # a collection in a fork would write to each of these objects, and so copy all of their memory
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    before = set(Path(tempfile.gettempdir()).iterdir())
    reply(replies, "ready", b"")
    while request := receive(sys.stdin.buffer):
        name, code, cases = pickle.loads(request)
        if USES_TIMM.search(code):
            import timm  # noqa: F401  a second of processor time, which would be the answer's
        serve, can_fork = ready_to_serve(name, code, cases), runner.can_fork() and hasattr(os, "pidfd_open")
        most = most_bytes(len(request))
        ended, content = tried(serve, processes, most) if can_fork else ("done", tried_here(serve))
        is_last = not can_fork or (is_sealed and not swept(before))  # the next answer must not see what is left over
        reply(replies, ended, content, is_last)


def most_bytes(request: int) -> int:
    """Return how many bytes an answer may send for a request of that many: hidden cases may be large."""
    return max(REPLY, 4 * request)


def reply(stream: Any, ended: str, content: bytes, is_last: bool = False) -> None:
    """Send how the trial ended, what the answer's process sent, and whether the next answer needs a new sandbox."""
    stream.write(framed(msgspec.msgpack.encode({"ended": ended, "content": content, "is_last": is_last})))
    stream.flush()


def receive(stream: Any) -> bytes:
    """Return the next request; empty at the end of the input."""
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def tried_here(serve: Serve) -> bytes:
    """Try an answer without a fork, where there is none. The only limit is processor time."""
    parts: list[bytes] = []
    serve(parts.append)
    return b"".join(parts)


def tried(serve: Serve, processes: int, most: int) -> tuple[str, bytes]:
    """Try an answer in a forked process with limits, and gather what it sends.

    Returns:
        "done", "late" (out of time) or "flood" (too much was sent), and the bytes.
    """
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(out)
        try:
            confine(into, processes)
            serve(partial(write_all, into))
        finally:
            os._exit(0)
    os.close(into)
    try:
        return gathered(out, process, most)
    finally:
        os.close(out)
        kill_all(process)


def gathered(out: int, process: int, most: int) -> tuple[str, bytes]:
    """Return what the process sends until it ends. Its own children may hold the pipe; we don't wait for them."""
    ended, content, until = os.pidfd_open(process), bytearray(), time.monotonic() + WALL_SECONDS
    try:
        while True:
            ready, _, _ = select.select([0, out, ended], [], [], max(0, until - time.monotonic()))
            if 0 in ready:  # no request comes before our reply: the grader has ended
                sys.exit()
            if not ready or time.monotonic() > until:
                return "late", bytes(content)
            if out in ready:
                part = os.read(out, 1 << 20)
                content += part
                if not part:
                    return "done", bytes(content)
                if len(content) > most:
                    return "flood", b""
            elif ended in ready:
                return "done", bytes(content)
    finally:
        os.close(ended)


def ready_to_serve(name: str, code: str, cases: list[tuple[Any, ...]]) -> Serve:
    """Return a function that tries an answer on the arguments of some cases, to be called in the fork."""
    from coursekit.lessons.checking.inside_process import try_here
    from coursekit.lessons.exercise import Case
    from coursekit.lessons.exercises import EXERCISES
    from coursekit.lessons.workbook.workbook import PACKAGE, Workbook

    def serve(write: Callable[[bytes], Any]) -> None:
        tempfile.tempdir = folder = tempfile.mkdtemp()
        os.chdir(folder)
        workbook = Workbook(Path(folder) / PACKAGE, in_trial=True)
        workbook.begin()
        workbook.file_of(name).write_text(code, encoding="utf-8")
        exercise = dataclasses.replace(EXERCISES[name], cases=lambda _: iter([Case("", args) for args in cases]))
        used = note_use(name)

        def send(message: dict[str, Any]) -> None:
            write(framed(pack(message | ({"lent": True} if used else {}))))

        try_here(workbook, exercise, send, CPU_SECONDS)
        os.chdir(Path(folder).parent)
        shutil.rmtree(folder, ignore_errors=True)

    return serve


def write_all(into: int, content: bytes) -> None:
    """Write all of the content: os.write may write only part of it."""
    view = memoryview(content)
    while view:
        view = view[os.write(into, view) :]


if __name__ == "__main__":
    main()
