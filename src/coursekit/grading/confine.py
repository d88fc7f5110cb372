"""What confines an answer inside the sandbox: limits on its process, and an end to everything that it leaves behind."""

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

CPU_SECONDS = 3.0  # a check has 2: an answer that passed on a faster machine passes here
MEMORY, FILE, PROCESSES = 3 << 29, 64 << 20, 24  # bytes beyond what torch maps at rest; bytes of a file; at a time
DESCRIPTORS = 64  # what is in pipes and sockets is memory, too, and counts for no process
DUMPABLE = 4  # PR_SET_DUMPABLE


def begin(user: int) -> None:
    """Make this process one that answers can't touch: the first of its namespace, and not root.

    No process of a namespace can kill or stop its first one, unless that handles the signal.

    Args:
        user: id of the user to become; 0 to stay the same.
    """
    with contextlib.suppress(OSError):  # if memory runs out, this process is killed, not the grader
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)  # a limit on processes doesn't apply to root, not even in a namespace
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(DUMPABLE, 0, 0, 0, 0)  # our forks can't read or write our memory, nor open our files


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
        (resource.RLIMIT_CORE, 1),  # with 0, the kernel still hands a core to the system's crash reporter
        (resource.RLIMIT_NOFILE, DESCRIPTORS),
    ]
    for which, limit in limits:
        resource.setrlimit(which, (limit, limit))
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


def mapped() -> int:
    """Return the bytes of address space in use. torch alone maps 3.7 GB, most of which it never touches."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * os.sysconf("SC_PAGE_SIZE")


def kill_all(process: int) -> None:
    """Kill the fork, and every process it started. In the sandbox, that is every process except this one."""
    if is_alone():
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()  # what has lost its parent is the first process's child
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def is_alone() -> bool:
    """Return whether we are the first of a sandbox's process namespace: only then may all processes be killed."""
    return sys.argv[1:2] == ["sealed"] and os.getpid() == 1


def at_rest() -> tuple[int, set[Path]]:
    """Return the temporary folder's permissions, and what is in it."""
    folder = Path(tempfile.gettempdir())
    return folder.stat().st_mode, set(folder.iterdir())


def swept(before: tuple[int, set[Path]]) -> bool:
    """Empty the temporary folder, and return whether it is as it was before: nothing is left for the next answer."""
    permissions, files = before
    with contextlib.suppress(OSError):
        for path in at_rest()[1] - files:
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        now = at_rest()
        return now[0] == permissions and now[1] <= files
    return False
