"""The sandbox that answers run in: a namespace made by bubblewrap, in which little can be read and nothing reached.

An answer can read Python, its packages and this library. There is no network, no other submission, no hidden case
except those being tried, and no expected value. It can write to a small temporary folder in memory only.
"""

import os
import pickle
import shutil
import site
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import msgspec

import coursekit
from coursekit.core.errors import ConfigError
from coursekit.grading import worker
from coursekit.grading.codec import LENGTH, ForgedError, framed, frames, unpack
from coursekit.lessons.checking.trial import Trial

START_SECONDS = 180.0  # to import torch on a busy machine
TEMPORARY = 256 << 20  # bytes
FIRST_USER, USERS = 40_000, 20_000  # user ids that root switches to; nobody else's, since processes are counted by user
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": "/tmp", "USER": "intern", "LOGNAME": "intern", "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0", "MPLBACKEND": "agg", "PYTHONPATH": str(Path(coursekit.__file__).parents[1]),
}  # fmt: skip
INSTALL = (
    "Answers are other people's code, so they run in a sandbox made by bubblewrap, which needs Linux: "
    "`apt install bubblewrap`, or `dnf install bubblewrap`; on Windows, use WSL 2. "
    "With --unsafe, answers run without a sandbox: each can read, change and send away whatever you can."
)


@dataclass
class Tried:
    """What an answer did, and whether it called the reference or used anything that ships with the exercises."""

    trial: Trial
    used_reference: bool = False


@dataclass
class Sandbox:
    """The sandbox of a submission. It starts when it is first needed, and again after an answer has crashed it.

    Attributes:
        slot: number of the job, from 0. Sandboxes that run at the same time have different users.
        is_sealed: whether answers are confined. If not, they run as you.
    """

    slot: int = 0
    is_sealed: bool = True
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def try_answer(self, name: str, code: str, cases: list[tuple[Any, ...]]) -> Tried:
        """Try the code of an answer on the arguments of some cases.

        Raises:
            ConfigError: the sandbox doesn't start.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(framed(pickle.dumps((name, code, cases))))
            process.stdin.flush()
            reply = _receive(process, worker.WALL_SECONDS + 15)
        except BrokenPipeError:
            reply = None
        if reply is None or reply.get("is_last"):
            self.close()
        return Tried(Trial(ended="died")) if reply is None else _trial(reply)

    def kill(self) -> None:
        """Kill the sandbox with everything in it. This may be called from another thread."""
        if process := self._process:
            process.kill()

    def close(self) -> None:
        """Kill the sandbox with everything in it, and wait for its end."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as errors:
            process = self._process = subprocess.Popen(
                command(self.slot) if self.is_sealed else without_sandbox(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd="/" if self.is_sealed else None,
                env=None if self.is_sealed else os.environ | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,  # we handle Ctrl-C ourselves
            )
            if _receive(process, START_SECONDS) is None:
                self.close()
                errors.seek(0)
                lines = errors.read()[-500:].decode(errors="replace").strip().splitlines()
                raise ConfigError(
                    f"The sandbox doesn't start ({lines[-1] if lines else 'no error message'}). {INSTALL}"
                )
            return process


def _receive(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any] | None:
    """Return a reply; None if there is none in time, or it makes no sense."""
    assert process.stdout is not None
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        head = process.stdout.read(LENGTH.size)
        length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else None
        if length is None or length > worker.REPLY + (2 << 20):
            return None
        reply = msgspec.msgpack.decode(process.stdout.read(length))
        return reply if isinstance(reply, dict) and isinstance(reply.get("content"), bytes) else None
    except (msgspec.DecodeError, RecursionError):
        return None
    finally:
        timer.cancel()


def _trial(reply: dict[str, Any]) -> Tried:
    """Return a reply's outcomes, up to the first that makes no sense."""
    tried = Tried(Trial(ended="too slow" if reply.get("ended") == "late" else "died"))
    if reply.get("ended") == "flood":
        tried.trial.problem = f"it returned more than {worker.REPLY >> 20} MB"
    try:
        for content in frames(reply["content"]):
            message = unpack(content)
            if not isinstance(message, dict):
                tried.trial.outcomes.append(message)
                continue
            tried.trial.ended = message["ended"] if message["ended"] in ("well", "empty", "too slow") else "died"
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
    probe = subprocess.run([*_walls(0), sys.executable, "-c", "0"], capture_output=True, cwd="/", check=False)
    if probe.returncode:
        lines = probe.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigError(
            f"bubblewrap can't make a sandbox here ({lines[-1] if lines else probe.returncode}). If the system "
            f"forbids user namespaces, ask an administrator to allow them for bwrap, or grade as root. {INSTALL}"
        )


def command(slot: int) -> list[str]:
    """Return the command that starts a sealed worker."""
    user, processes = (_user(slot), worker.PROCESSES) if _is_root() else (0, worker.PROCESSES + _running())
    return [*_walls(slot), sys.executable, "-P", "-m", worker.__name__, "sealed", str(user), str(processes)]


def without_sandbox() -> list[str]:
    """Return the command that starts a worker that runs as you, with your files and your network."""
    return [sys.executable, "-P", "-m", worker.__name__, "open", "0", "0"]


def _walls(slot: int) -> list[str]:
    return [
        "bwrap", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        *(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if _is_root() else ["--unshare-user"]),
        "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv",
        *(part for name, value in ENVIRONMENT.items() for part in ("--setenv", name, value)),
        "--perms", "1777", "--size", str(TEMPORARY), "--tmpfs", "/tmp",  # first: the Python environment may be below it
        *_readable(),
        "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev",
        "--remount-ro", "/", "--chdir", "/",
    ]  # fmt: skip


def _readable() -> list[str]:
    """Return what can be read inside: system libraries, Python, its packages, and this library without its tests."""
    parts = []
    for name in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
        if Path(name).is_symlink():
            parts += ["--symlink", str(Path(name).readlink()), name]
        elif Path(name).exists():
            parts += ["--ro-bind", name, name]
    parts += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    user_site = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    bound: list[Path] = [Path("/usr")]
    for place in map(Path, (sys.base_prefix, sys.prefix, *user_site, str(Path(coursekit.__file__).parent))):
        if place.exists() and not any(place.is_relative_to(folder) for folder in bound):
            for above in reversed(place.parents[:-1]):
                parts += ["--dir", str(above)]
            parts += ["--ro-bind", str(place), str(place)]
            bound.append(place)
    return parts


def _is_root() -> bool:
    return hasattr(os, "getuid") and os.getuid() == 0


def _user(slot: int) -> int:
    return FIRST_USER + (64 * os.getpid() + slot) % USERS


def _running() -> int:
    """Return how many threads this user has. Kernels before 5.14 count those in the sandbox along with them."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            count += len(list((folder / "task").iterdir())) if folder.stat().st_uid == os.getuid() else 0
        except OSError:
            continue  # it has ended
    return count
