"""The command that starts a worker behind bubblewrap's walls: what it can read and write, and as whom it runs."""

import os
import shutil
import site
import subprocess
import sys
from functools import cache
from itertools import count
from pathlib import Path

import coursekit
from coursekit.grading import confine, worker

TEMPORARY, TEMPORARY_BYTES = Path("/tmp"), 256 << 20  # the only folder that can be written to
FIRST_USER, USERS = 40_000, 20_000  # user ids that root switches to; nobody else's, since processes are counted by user
DEVICES = ("null", "random", "urandom")  # not zero: memory that is mapped from it belongs to no process
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin", "HOME": str(TEMPORARY), "USER": "intern", "LOGNAME": "intern", "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0", "MPLBACKEND": "agg", "PYTHONPATH": str(Path(coursekit.__file__).parents[1]),
}  # fmt: skip
_started = count()


def sealed(seccomp: int) -> list[str]:
    """Return the command that starts a sealed worker, as a user of its own if we are root.

    Args:
        seccomp: file descriptor of the filter for system calls.
    """
    user = FIRST_USER + (256 * os.getpid() + next(_started)) % USERS if _is_root() else 0
    processes = confine.PROCESSES + (0 if user or _counts_by_namespace() else _running())
    return [*walls(seccomp), sys.executable, "-P", "-m", worker.__name__, "sealed", str(user), str(processes)]


def unsealed() -> list[str]:
    """Return the command that starts a worker that runs as you, with your files and your network."""
    return [sys.executable, "-P", "-m", worker.__name__, "open", "0", "0"]


def walls(seccomp: int) -> list[str]:
    """Return the beginning of a command whose rest runs in new namespaces.

    What runs there is its namespace's process 1, which no other in it can kill. It isn't bubblewrap itself, which an
    answer of the same user could take apart.
    """
    return [
        shutil.which("bwrap") or "bwrap",
        "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1",
        *(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if _is_root() else _user_namespace()),
        "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv", "--seccomp", str(seccomp),
        *(part for name, value in ENVIRONMENT.items() for part in ("--setenv", name, value)),
        "--setenv", "PYTHONUSERBASE", site.getuserbase(),
        "--perms", "1777", "--size", str(TEMPORARY_BYTES), "--tmpfs", str(TEMPORARY),
        *_readable(),  # afterwards: the Python environment may be below the temporary folder
        "--proc", "/proc", "--tmpfs", "/dev",
        *(part for name in DEVICES for part in ("--dev-bind", f"/dev/{name}", f"/dev/{name}")), "--remount-ro", "/dev",
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
    bound, closed = [Path("/usr")], list[str]()
    for place in map(Path, (sys.base_prefix, sys.prefix, *user_site, str(Path(coursekit.__file__).parent))):
        if place.exists() and not any(place.is_relative_to(folder) for folder in bound):
            for above in reversed(place.parents[:-1]):
                is_top = above.parent == TEMPORARY and str(above) not in closed
                parts += ["--tmpfs" if is_top else "--dir", str(above)]
                closed += [str(above)] if is_top else []
            parts += ["--ro-bind", str(place), str(place)]
            bound.append(place)
    # A folder between the temporary one and Python would be as writable as the temporary one.
    return parts + [part for folder in closed for part in ("--remount-ro", folder)]


def _is_root() -> bool:
    return hasattr(os, "getuid") and os.getuid() == 0


@cache
def _user_namespace() -> list[str]:
    """Return the options for a new user namespace, in which there can be no others if bubblewrap knows how (0.8)."""
    known = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False).stdout
    return ["--unshare-user", *(["--disable-userns"] if "--disable-userns" in known else [])]


def _counts_by_namespace() -> bool:
    """Return whether the limit on processes counts those in the sandbox only, which kernels do from 5.14 on."""
    version = [part for part in os.uname().release.replace("-", ".").split(".") if part.isdigit()][:2]
    return list(map(int, version)) >= [5, 14]


def _running() -> int:
    """Return how many threads this user has. Older kernels count those in the sandbox along with them."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            count += len(list((folder / "task").iterdir())) if folder.stat().st_uid == os.getuid() else 0
        except OSError:
            continue  # it has ended
    return count
