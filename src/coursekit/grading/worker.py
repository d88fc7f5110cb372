"""Inside the sandbox: imports torch once, then tries one answer after the other, each in a fork.

Nothing here knows what is expected. An answer may take its own process to pieces, and the worst that comes of it is a
wrong or missing outcome of its own. Requests come on standard input, replies go to standard output; an answer has
neither.
"""

import contextlib
import ctypes
import dataclasses
import functools
import os
import pickle
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from coursekit.grading.codec import LENGTH, framed, pack

CPU_SECONDS, WALL_SECONDS = 3.0, 15.0  # a check has 1.2: whoever passed on a faster machine passes here
MEMORY, FILE, PROCESSES = 3 << 29, 64 << 20, 24  # bytes more than torch maps at rest; of a file; at a time
REPLY = 40 << 20  # bytes
Serve = Callable[[Callable[[bytes], Any]], None]


def main() -> None:
    """Give up root, import, say so, and serve until nobody asks."""
    is_sealed, user, processes = sys.argv[1] == "sealed", int(sys.argv[2]), int(sys.argv[3])
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, it is this that goes, not the grader
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)  # a limit of processes holds for no root, not in a namespace either
    if is_sealed:
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: what we fork can't read or write our memory
    import torch

    from coursekit.lessons.checking import runner as child

    torch.set_num_threads(1)
    child.CPU_SECONDS = CPU_SECONDS
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    before = set(Path(tempfile.gettempdir()).iterdir())
    reply(replies, "ready", b"")
    while request := receive(sys.stdin.buffer):
        serve, can_fork = ready_to_serve(*pickle.loads(request)), child.can_fork() and hasattr(os, "pidfd_open")
        ended, came = tried(serve, processes) if can_fork else ("done", tried_here(serve))
        is_last = not can_fork or (is_sealed and not swept(before))  # what is left over, the next answer must not meet
        reply(replies, ended, came, is_last)


def reply(stream: Any, ended: str, came: bytes, is_last: bool = False) -> None:
    """Send how it went, what the answer's process sent, and whether the next one wants a new sandbox."""
    stream.write(framed(msgspec.msgpack.encode({"ended": ended, "came": came, "is_last": is_last})))
    stream.flush()


def receive(stream: Any) -> bytes:
    """The next request; nothing at the end."""
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def tried_here(serve: Serve) -> bytes:
    """Without a fork, where there is none: with no limits but that of processor time."""
    parts: list[bytes] = []
    serve(parts.append)
    return b"".join(parts)


def tried(serve: Serve, processes: int) -> tuple[str, bytes]:
    """Serve in a fork with limits, and gather what it sends.

    Returns:
        "done", "late" or "flood", and the bytes.
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
        return gathered(out, process)
    finally:
        os.close(out)
        kill_all(process)


def gathered(out: int, process: int) -> tuple[str, bytes]:
    """What comes until the process ends. Others that it began may hold the pipe: nobody waits for them."""
    ended, content, until = os.pidfd_open(process), bytearray(), time.monotonic() + WALL_SECONDS
    try:
        while True:
            ready, _, _ = select.select([out, ended], [], [], max(0, until - time.monotonic()))
            if not ready:
                return "late", bytes(content)
            if out in ready:
                part = os.read(out, 1 << 20)
                content += part
                if not part:
                    return "done", bytes(content)
                if len(content) > REPLY:
                    return "flood", b""
            elif ended in ready:
                return "done", bytes(content)
    finally:
        os.close(ended)


def kill_all(process: int) -> None:
    """The fork, and whatever it has begun. In the sandbox that is all but ourselves."""
    if is_alone():
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    until = time.monotonic() + 5
    while is_alone() and len(others()) and time.monotonic() < until:
        time.sleep(0.01)  # until process 1 has buried them: they count among those that may run


def is_alone() -> bool:
    """Whether this is a process namespace of our own, and no root: only there may all processes be killed."""
    return sys.argv[1:2] == ["sealed"] and os.getpid() < 5 and os.getuid() != 0


def others() -> list[str]:
    """Processes here besides ourselves and the sandbox's first."""
    names = [path.name for path in Path("/proc").iterdir()]
    return [one for one in names if one.isdigit() and int(one) not in (1, os.getpid())]


def confine(into: int, processes: int) -> None:
    """In the fork: limits, and no way to our input and output."""
    import resource

    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for one in (0, 1, 2):
        os.dup2(nothing, one)
    os.closerange(3, into)
    os.closerange(into + 1, 1024)
    limits = [
        (resource.RLIMIT_AS, mapped() + MEMORY),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CPU, int(CPU_SECONDS) + 2),
        (resource.RLIMIT_CORE, 0),
    ]
    for which, limit in limits:
        resource.setrlimit(which, (limit, limit))
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def mapped() -> int:
    """Bytes of address space in use. torch alone maps 3.7 GB, most of which it never touches."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def ready_to_serve(name: str, code: str, cases: list[tuple[Any, ...]]) -> Serve:
    """How to try an answer on the arguments of some cases, in the fork."""
    from coursekit.lessons.checking import runner as child
    from coursekit.lessons.exercise import Case
    from coursekit.lessons.exercises import EXERCISES
    from coursekit.lessons.workbook import workbook

    def serve(write: Callable[[bytes], Any]) -> None:
        child.inside = True
        tempfile.tempdir = folder = tempfile.mkdtemp()
        os.environ["COURSEKIT_WORKBOOK"] = str(Path(folder) / "my_detector")
        os.chdir(folder)
        workbook.begin()
        workbook.file_of(name).write_text(code, encoding="utf-8")
        exercise = dataclasses.replace(EXERCISES[name], cases=lambda _: iter([Case("", args) for args in cases]))
        used = note_use(name)
        child.try_here(exercise, lambda message: write(framed(pack(message | ({"lent": True} if used else {})))))
        os.chdir(Path(folder).parent)
        shutil.rmtree(folder, ignore_errors=True)

    return serve


def write_all(into: int, content: bytes) -> None:
    """All of it: os.write may take a part."""
    view = memoryview(content)
    while view:
        view = view[os.write(into, view) :]


def note_use(name: str) -> list[bool]:
    """Gets an entry when the course's own answer is called, by whatever name it was come by.

    It catches those who look the reference up by a trick. It lies in the answer's own process, so it is no wall.
    """
    from coursekit.lessons.exercises import EXERCISES

    used: list[bool] = []
    reference: Any = EXERCISES[name].reference
    is_class = isinstance(reference, type)
    first = reference.__init__ if is_class else reference

    @functools.wraps(first)
    def noted(*args: Any, **kwargs: Any) -> Any:
        used.append(True)
        return first(*args, **kwargs)

    if is_class:
        reference.__init__ = noted
        return used
    EXERCISES[name] = dataclasses.replace(EXERCISES[name], reference=noted)
    checks = "coursekit.lessons.exercises."  # a check may compare with the reference; that is no use of it
    names = [key for key in sys.modules if key.split(".")[0] == "coursekit" and not key.startswith(checks)]
    for module in [sys.modules[key] for key in names]:
        for key in [key for key, value in vars(module).items() if value is reference]:
            setattr(module, key, noted)
    return used


def swept(before: set[Path]) -> bool:
    """Whether the temporary folder is again as it was at the beginning: nothing for the next answer to find."""
    folder = Path(tempfile.gettempdir())
    for path in set(folder.iterdir()) - before:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return set(folder.iterdir()) <= before


if __name__ == "__main__":
    main()
