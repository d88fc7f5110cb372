"""What the processes of a sandbox use, as seen from outside, and their end."""

import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

INODE = 1024  # bytes of kernel memory that a file takes at least, however short it is


def descendants(pid: int) -> list[int]:
    """Return the ids of the processes that a process started, and those that they started. None where /proc is missing.

    A process whose parent has ended belongs to the first process of its namespace, so none of a sandbox is left out.
    """
    found, parents = list[int](), [pid]
    while parents:
        for path in Path(f"/proc/{parents.pop()}/task").glob("*/children"):
            with suppress(OSError):  # it has ended
                children = [int(child) for child in path.read_text(encoding="utf-8").split()]
                found += children
                parents += children
    return found


def memory(pids: list[int], most: int) -> int:
    """Return the bytes that processes use: a bound if that is less than `most`, else measured, which takes longer."""
    rough = sum(_kilobytes(pid, "status", ("VmRSS:", "VmSwap:", "VmPTE:")) for pid in pids) << 10
    if rough <= most:
        return rough
    # What several processes share, as all share what they inherited, is counted once.
    return sum(_kilobytes(pid, "smaps_rollup", ("Pss:", "SwapPss:")) for pid in pids) << 10


def files(pid: int, folder: str) -> int:
    """Return the bytes of memory that the files in a process's temporary folder take."""
    try:
        space = os.statvfs(f"/proc/{pid}/root{folder}")
    except OSError:
        return 0
    return (space.f_blocks - space.f_bfree) * space.f_frsize + (space.f_files - space.f_ffree) * INODE


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of processes and of those they waited for."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):  # it has ended
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def end(process: subprocess.Popen[bytes], is_sealed: bool) -> None:
    """Kill a sandbox with everything in it. This may be called from another thread, and more than once."""
    if is_sealed and process.poll() is None:
        for pid in descendants(process.pid)[:1]:  # the first inside: the kernel ends all others with it
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # bubblewrap ends by itself, after it has collected the first one
            process.wait(5)
    process.kill()


def _kilobytes(pid: int, file: str, keys: tuple[str, ...]) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(keys))
    return 0
