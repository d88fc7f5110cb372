"""How many submissions are graded at a time, if the instructor doesn't say."""

from contextlib import suppress
from pathlib import Path

from coursekit.data.workers import cores

MEMORY = 1 << 30  # bytes that a sandbox takes, unless an answer uses all that it may
MOST = 8  # answers are compared one at a time
MEMINFO = Path("/proc/meminfo")


def default_jobs() -> int:
    """Return one for each core, or fewer if there is less memory than they need."""
    return max(1, min(MOST, cores(), _available() // MEMORY))


def _available() -> int:
    """Return the bytes of memory that new processes can have; enough for all where the system doesn't say."""
    with suppress(OSError, ValueError, IndexError):
        for line in MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return MOST * MEMORY
