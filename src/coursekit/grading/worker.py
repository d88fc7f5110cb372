"""The process inside the sandbox: import torch once, then try one answer after the other, each in a fork.

Nothing here knows what is expected. An answer may take its own process apart; all it gets is a wrong or missing outcome
of its own. Requests come on standard input, replies go to standard output; an answer has neither.
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
from types import ModuleType
from typing import Any

import msgspec

from coursekit.grading.codec import LENGTH, framed, pack

CPU_SECONDS, WALL_SECONDS = 3.0, 15.0  # a check has 1.2: an answer that passed on a faster machine passes here
MEMORY, FILE, PROCESSES = 3 << 29, 64 << 20, 24  # bytes beyond what torch maps at rest; bytes of a file; at a time
REPLY = 40 << 20  # bytes
Serve = Callable[[Callable[[bytes], Any]], None]


def main() -> None:
    """Drop root, import, report that it is ready, and serve requests until the input ends."""
    is_sealed, user, processes = sys.argv[1] == "sealed", int(sys.argv[2]), int(sys.argv[3])
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(
            "1000"
        )  # if memory runs out, this process is killed, not the grader
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)  # a limit on processes doesn't apply to root, not even in a namespace
    if is_sealed:
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE: our forks can't read or write our memory
    import torch

    from coursekit.lessons.checking import runner
    from coursekit.lessons.exercises import EXERCISES

    torch.set_num_threads(1)
    list(EXERCISES.values())  # imports them all, once
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    before = set(Path(tempfile.gettempdir()).iterdir())
    reply(replies, "ready", b"")
    while request := receive(sys.stdin.buffer):
        serve, can_fork = ready_to_serve(*pickle.loads(request)), runner.can_fork() and hasattr(os, "pidfd_open")
        ended, content = tried(serve, processes) if can_fork else ("done", tried_here(serve))
        is_last = not can_fork or (is_sealed and not swept(before))  # the next answer must not see what is left over
        reply(replies, ended, content, is_last)


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


def tried(serve: Serve, processes: int) -> tuple[str, bytes]:
    """Try an answer in a fork with limits, and gather what it sends.

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
    """Return what the process sends until it ends. Its own children may hold the pipe; we don't wait for them."""
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
    """Kill the fork, and every process it started. In the sandbox, that is every process except this one."""
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
        time.sleep(0.01)  # until process 1 has reaped them: they count toward the limit on processes


def is_alone() -> bool:
    """Return whether we are alone in a process namespace and not root: only then may all processes be killed."""
    return sys.argv[1:2] == ["sealed"] and os.getpid() < 5 and os.getuid() != 0


def others() -> list[str]:
    """Return the ids of the processes here, except this one and the sandbox's first."""
    names = [path.name for path in Path("/proc").iterdir()]
    return [name for name in names if name.isdigit() and int(name) not in (1, os.getpid())]


def confine(into: int, processes: int) -> None:
    """Set limits in the fork, and cut it off from our input and output."""
    import resource

    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nothing, handle)
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
    """Return the bytes of address space in use. torch alone maps 3.7 GB, most of which it never touches."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def ready_to_serve(name: str, code: str, cases: list[tuple[Any, ...]]) -> Serve:
    """Return a function that tries an answer on the arguments of some cases, to be called in the fork."""
    from coursekit.lessons.checking.trial import try_here
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


def note_use(name: str) -> list[bool]:
    """Record every call of the reference solution, however it was obtained, and every use of what the exercises ship.

    This catches answers that look the solution up by a trick. It runs in the answer's own process, so it can be evaded.

    Returns:
        A list that gets an entry at each use.
    """
    from coursekit.lessons.checking.borrowed import SHIPPED
    from coursekit.lessons.exercises import EXERCISES

    used: list[bool] = []
    exercise, own = EXERCISES[name], sys.modules[f"{SHIPPED}.{name}"]
    noted = _noted(exercise.reference, used)
    shipped = {key for key in sys.modules if key.startswith(f"{SHIPPED}.")}
    for module in [sys.modules[key] for key in sys.modules if key.split(".")[0] == "coursekit" and key not in shipped]:
        for key in [key for key, value in vars(module).items() if value is exercise.reference]:
            setattr(module, key, noted)
    for key in shipped:
        sys.modules[key].__class__ = _watched(used)
    right = tuple(_noted(answer, used) for answer in exercise.right)
    vars(own)["EXERCISE"] = dataclasses.replace(exercise, reference=noted, right=right)
    return used


def _noted(answer: Any, used: list[bool]) -> Any:
    """Return an answer that records its calls. A class stays the same and records that it is instantiated."""
    first = answer.__init__ if isinstance(answer, type) else answer  # type: ignore[misc]

    @functools.wraps(first)
    def call(*args: Any, **kwargs: Any) -> Any:
        used.append(True)
        return first(*args, **kwargs)

    if not isinstance(answer, type):
        return call
    answer.__init__ = call  # type: ignore[misc]
    return answer


def _watched(used: list[bool]) -> type[ModuleType]:
    """Return a kind of module that records when anything is taken from it. Its own functions use it unnoticed."""

    class Watched(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("__") and name != "EXERCISE":
                used.append(True)
            return super().__getattribute__(name)

    return Watched


def swept(before: set[Path]) -> bool:
    """Empty the temporary folder, and return whether it is as it was before: nothing is left for the next answer."""
    folder = Path(tempfile.gettempdir())
    for path in set(folder.iterdir()) - before:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return set(folder.iterdir()) <= before


if __name__ == "__main__":
    main()
