"""A control group for a sandbox, where we may make one: then the kernel itself limits the memory of all its processes.

Without one, `watch` adds up what the processes use. That is enough except for what happens between two looks, and for
memory that belongs to no process.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
_numbers = count()


@dataclass(frozen=True)
class Group:
    """A control group with a limit on memory.

    Attributes:
        folder: where the kernel shows it.
        events: name of the file in which the kernel counts the processes that it killed for their memory.
    """

    folder: Path
    events: str

    def entering(self) -> list[str]:
        """Return the beginning of a command, which enters the group before it becomes the rest."""
        return ["/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', str(self.folder / "cgroup.procs")]

    def killed(self) -> int:
        """Return how many processes were killed for their memory."""
        with suppress(OSError, ValueError):
            lines = (line.split() for line in (self.folder / self.events).read_text(encoding="utf-8").splitlines())
            return sum(int(line[1]) for line in lines if line[0] == "oom_kill")
        return 0

    def close(self) -> None:
        """Remove the group. Its processes have ended, which the kernel may notice a little later."""
        for _ in range(100):
            with suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.01)


def new_group(memory: int, top: Path = TOP) -> Group | None:
    """Make a control group whose processes may use `memory` bytes together; None if we aren't allowed to."""
    name = f"coursekit-{os.getpid()}-{next(_numbers)}"
    if folder := _delegated(top):
        group, limits = Group(folder / name, "memory.events"), {"memory.max": memory, "memory.swap.max": 0}
    elif folder := _first_version(top):
        group = Group(folder / name, "memory.oom_control")
        limits = {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory}
    else:
        return None
    return group if _is_made(group, limits) else None


def _is_made(group: Group, limits: dict[str, int]) -> bool:
    _remove_left_over(group.folder.parent)
    try:
        group.folder.mkdir()
    except OSError:
        return False
    with suppress(OSError):
        for path in [group.folder / name for name in limits]:
            if path.exists() or "sw" not in path.name:  # a kernel without swap has no limit for it
                path.write_text(str(limits[path.name]), encoding="utf-8")
        return True
    group.close()
    return False


def _remove_left_over(parent: Path) -> None:
    """Remove the empty groups of a `grade` that was killed."""
    for folder in parent.glob("coursekit-*"):
        if not Path("/proc", folder.name.split("-")[1]).exists():
            with suppress(OSError):
                folder.rmdir()


def _delegated(top: Path) -> Path | None:
    """Return the closest group above us that hands the limit on memory down and is ours to divide (version 2)."""
    own = _own("0::")
    if own is None:
        return None
    for folder in ((top / own), *(top / own).parents):
        if not folder.is_relative_to(top):
            break
        with suppress(OSError):
            hands_down = "memory" in (folder / "cgroup.subtree_control").read_text(encoding="utf-8").split()
            if hands_down and os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
                return folder
    return None


def _first_version(top: Path) -> Path | None:
    """Return our group among those that limit memory (version 1), if it's ours to divide."""
    own = _own(":memory:")
    folder = top / "memory" / own if own is not None else None
    return folder if folder and folder.is_dir() and os.access(folder, os.W_OK) else None


def _own(mark: str) -> str | None:
    """Return the path of the group that we are in, below the top."""
    with suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
        return next((line.partition(mark)[2].lstrip("/") for line in lines if mark in line), None)
    return None
