"""The process inside the sandbox: import torch once, then try one answer after the other, each in a fork.

Nothing here knows what is expected. An answer may take its own process apart; all it gets is a wrong or missing outcome
of its own. Requests come on standard input, replies go to standard output; an answer has neither.

The next answer may be another intern's, and its fork gets a copy of our memory. So nothing of an answer ever stays
here: its own fork reads its request, and what it sends is in pages that are given back before the next fork.
"""

import dataclasses
import gc
import os
import pickle
import select
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path
from typing import Any

from coursekit.grading.confine import CPU_SECONDS, at_rest, begin, confine, kill_all, swept
from coursekit.grading.reference_use import note_use
from coursekit.lessons.checking.message_bytes import framed, pack

WALL_SECONDS = 15.0
MOST = 2 << 20  # bytes of a reply: four times the largest right one, that of pool_levels
REQUEST = struct.Struct(">Q?")  # its length, and whether it uses timm; the request follows
REPLY = struct.Struct(">8s?Q")  # how the trial ended, whether the sandbox ends with it, and the length of what follows


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
    replies = os.dup(1)
    os.dup2(2, 1)
    before = at_rest()
    reply(replies, "ready", b"")
    can_fork = runner.can_fork() and hasattr(os, "pidfd_open")
    while head := read_all(0, REQUEST.size):
        size, uses_timm = REQUEST.unpack(head)
        if uses_timm:
            import timm  # noqa: F401
        ended, content = tried(size, processes) if can_fork else tried_here(size)
        is_last = not can_fork or (is_sealed and not swept(before))  # the next answer must not see what is left over
        reply(replies, ended, content, is_last)
        del content  # now, since it would be in the next fork


def most_bytes(request: int) -> int:
    """Return how many bytes an answer may send for a request of that many: hidden cases may be large."""
    return max(MOST, 4 * request)


def reply(stream: int, ended: str, content: bytes | bytearray | memoryview, is_last: bool = False) -> None:
    """Send how the trial ended, what the answer's process sent, and whether the next answer needs a new sandbox."""
    write_all(stream, REPLY.pack(ended.encode(), is_last, len(content)))
    write_all(stream, content)


def read_all(stream: int, size: int) -> bytes:
    """Return the next bytes of a stream; none if it ends before."""
    content = bytearray()
    while len(content) < size:
        part = os.read(stream, size - len(content))
        if not part:
            return b""
        content += part
    return bytes(content)


def tried_here(size: int) -> tuple[str, bytearray]:
    """Try an answer without a fork, where there is none. The only limit is processor time."""
    content = bytearray()
    serve(read_all(0, size), content.extend)
    return "done", content


def tried(size: int, processes: int) -> tuple[str, memoryview]:
    """Try an answer in a forked process with limits, which reads the request, and gather what it sends.

    Returns:
        "done", "late" (out of time) or "flood" (too much was sent), and the bytes.
    """
    out, into = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(out)
        try:
            request = read_all(0, size)
            confine(into, processes)
            renew_thread_pool()
            serve(request, partial(write_all, into))
        finally:
            os._exit(0)
    os.close(into)
    try:
        return gathered(out, process, most_bytes(size))
    finally:
        os.close(out)
        kill_all(process)


def renew_thread_pool() -> None:
    """Let torch replace the thread pool that a fork can't inherit.

    Otherwise the threads of the first backward pass do it, at the same time, and sometimes that aborts the process.
    """
    import torch

    torch.set_num_threads(1)


def gathered(out: int, process: int, most: int) -> tuple[str, memoryview]:
    """Return what the process sends until it ends. Its own children may hold the pipe; we don't wait for them."""
    space, size = memoryview(mmap(-1, most + 1, flags=MAP_PRIVATE | MAP_ANONYMOUS)), 0
    ended, until, poll = os.pidfd_open(process), time.monotonic() + WALL_SECONDS, select.poll()
    os.set_blocking(out, False)
    for handle, events in ((0, 0), (out, select.POLLIN), (ended, select.POLLIN)):
        poll.register(handle, events)
    try:
        while True:
            ready = dict(poll.poll(1000 * max(0, until - time.monotonic())))
            if 0 in ready:  # nobody can write to our input any more: the grader has ended
                sys.exit()
            if not ready or time.monotonic() > until:
                return "late", space[:size]
            try:  # whatever is ready: it may have written and ended while poll looked
                part = os.readv(out, [space[size:]])
            except BlockingIOError:
                if ended in ready:
                    return "done", space[:size]
                continue
            size += part
            if not part:
                return "done", space[:size]
            if size > most:
                return "flood", space[:0]
    finally:
        os.close(ended)


def serve(request: bytes, write: Callable[[bytes], Any]) -> None:
    """Try an answer on the arguments of some cases, and write what it does."""
    from coursekit.lessons.checking.inside_process import try_here
    from coursekit.lessons.exercise import Case
    from coursekit.lessons.exercises import EXERCISES
    from coursekit.lessons.workbook.workbook import PACKAGE, Workbook

    name, code, cases = pickle.loads(request)
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


def write_all(into: int, content: bytes | bytearray | memoryview) -> None:
    """Write all of the content: os.write may write only part of it."""
    view = memoryview(content)
    while view:
        view = view[os.write(into, view) :]


if __name__ == "__main__":
    main()
