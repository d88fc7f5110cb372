"""The sandbox that answers run in: a namespace made by bubblewrap, in which little can be read and nothing reached.

An answer can read Python, its packages and this library. There is no network, no other submission, no hidden case
except those being tried, and no expected value. It can write to a small temporary folder in memory only.
"""

import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import IO, Any, NamedTuple

from coursekit.core.errors import ConfigError
from coursekit.grading import seccomp, watch, worker
from coursekit.grading.cgroup import Group, new_group
from coursekit.grading.processes import end
from coursekit.grading.walls import sealed, unsealed, walls
from coursekit.grading.watch import Watch
from coursekit.lessons.checking.inside_process import Trial
from coursekit.lessons.checking.message_bytes import ForgedError, messages

START_SECONDS = 180.0  # to import torch on a busy machine
USES_TIMM = re.compile("timm|backbone")  # importing it takes a second of processor time, which would be the answer's
ATTEMPTS = 2  # to start a sandbox: memory may be short for a moment
INSTALL = (
    "Answers are other people's code, so they run in a sandbox made by bubblewrap, which needs Linux: "
    "`apt install bubblewrap`, or `dnf install bubblewrap`; on Windows, use WSL 2. "
    "With --unsafe, answers run without a sandbox: each can read, change and send away whatever you can."
)


class StartError(ConfigError):
    """Raised when a sandbox doesn't start."""


@dataclass
class Tried:
    """What an answer did, and whether it called the reference or used anything that ships with the exercises."""

    trial: Trial
    used_reference: bool = False


class _Reply(NamedTuple):
    """What the worker replies: how the trial ended, whether the sandbox ends with it, and what the answer sent."""

    ended: str
    is_last: bool
    content: bytes


@dataclass
class Sandbox:
    """A sandbox for one answer at a time. It starts when it is first needed, and again after an answer has crashed it.

    No answer finds anything of the ones before it: each runs in a process of its own, which alone reads its request.

    Attributes:
        is_sealed: whether answers are confined. If not, they run as you.
        stop: when it's set, which another thread may do, the sandbox ends.
    """

    is_sealed: bool = True
    stop: Event = field(default_factory=Event)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _group: Group | None = field(default=None, repr=False)

    def try_answer(self, name: str, code: str, cases: list[tuple[Any, ...]]) -> Tried:
        """Try the code of an answer on the arguments of some cases.

        Raises:
            StartError: the sandbox doesn't start.
        """
        process = self._process or self._start()
        request = pickle.dumps((name, code, cases))
        head = worker.REQUEST.pack(len(request), bool(USES_TIMM.search(code)))
        most, killed = worker.most_bytes(len(request)), self._group.killed() if self._group else 0
        with Watch(process, worker.WALL_SECONDS + 15, self.stop, self.is_sealed, self.is_sealed) as watching:
            reply = _answered(process, head + request, most)
        reason = watching.reason
        if self._group and self._group.killed() > killed:
            reason = watch.TOO_MUCH_MEMORY
        if reply is None or reply.is_last or reason:
            self.close()
        tried = _tried(reply, len(cases), most) if reply else Tried(Trial(ended="died"))
        tried.trial.problem = reason or tried.trial.problem
        return tried

    def close(self) -> None:
        """Kill the sandbox with everything in it, and wait for its end."""
        process, self._process = self._process, None
        if process:
            end(process, self.is_sealed)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()
        if self._group:
            self._group.close()
        self._group = None

    def _start(self) -> subprocess.Popen[bytes]:
        problem = ""
        for _ in range(ATTEMPTS):
            with tempfile.TemporaryFile() as errors:
                process = self._process = self._sealed(errors) if self.is_sealed else self._unsealed(errors)
                with Watch(process, START_SECONDS, self.stop, self.is_sealed, is_limited=False):
                    reply = _answered(process, b"", 0)
                if reply:
                    return process
                self.close()
                problem = _last_line(errors)
            if self.stop.is_set():
                break
        raise StartError(f"The sandbox doesn't start ({problem}). {INSTALL}")

    def _sealed(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        self._group = new_group(watch.MEMORY)
        with _filter() as handle:
            command = [*(self._group.entering() if self._group else []), *sealed(handle)]
            # Our environment may hold passwords, and bubblewrap needs none of it.
            return _popen(command, errors, cwd="/", env={}, pass_fds=[handle])

    def _unsealed(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        return _popen(unsealed(), errors, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _popen(command: list[str], errors: IO[bytes], **options: Any) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    options["start_new_session"] = True  # we handle Ctrl-C ourselves
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, **options)


@contextmanager
def _filter() -> Iterator[int]:
    """Give the filter for system calls as a file to read, and close it afterwards."""
    with tempfile.TemporaryFile() as file:
        file.write(seccomp.program())
        file.seek(0)
        yield file.fileno()


def _answered(process: subprocess.Popen[bytes], request: bytes, most: int) -> _Reply | None:
    """Send a request and return the reply; None if there is none, or it makes no sense."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        process.stdin.flush()
        ended, is_last, size = worker.REPLY.unpack(process.stdout.read(worker.REPLY.size))
        content = process.stdout.read(size) if size <= most else b""
        return _Reply(ended.rstrip(b"\0").decode(), is_last, content) if len(content) == size else None
    except (OSError, struct.error):  # it has ended
        return None


def _tried(reply: _Reply, cases: int, most: int) -> Tried:
    """Return a reply's outcomes, up to the first that makes no sense."""
    tried = Tried(Trial(ended="too slow" if reply.ended == "late" else "died"))
    if reply.ended == "flood":
        tried.trial.problem = f"it returned more than {most >> 20} MB"
    try:
        for message in islice(messages(reply.content), cases + 1):
            if not isinstance(message, dict):
                tried.trial.outcomes.append(message)
                continue
            tried.trial.ended = message["ended"] if message["ended"] in ("well", "too slow") else "died"
            tried.trial.problem, tried.trial.printed = message["problem"] or None, message["printed"]
            tried.used_reference = "lent" in message
            break
    except ForgedError:
        tried.trial.ended = "died"
    return tried


def require(is_sealed: bool) -> None:
    """Check that a sandbox can be made.

    Raises:
        ConfigError: it can't, and what to do.
    """
    if not is_sealed:
        return
    if sys.platform != "linux" or shutil.which("bwrap") is None:
        raise ConfigError(INSTALL)
    with _filter() as handle:
        command = [*walls(handle), sys.executable, "-c", "0"]
        probe = subprocess.run(command, capture_output=True, cwd="/", env={}, pass_fds=[handle], check=False)
    if probe.returncode:
        lines = probe.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigError(
            f"bubblewrap can't make a sandbox here ({lines[-1] if lines else probe.returncode}). If the system "
            f"forbids user namespaces, ask an administrator to allow them for bwrap, or grade as root. {INSTALL}"
        )


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read()[-500:].decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no error message"
