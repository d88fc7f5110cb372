"""Watch a sandbox from outside, and end it when all its processes together use too much.

The limits inside are for each process. An answer may start several, and fill files, so somebody has to add it all up.
"""

import subprocess
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic
from types import TracebackType

from coursekit.grading.processes import cpu_seconds, descendants, end, files, memory

EVERY = 0.05  # seconds between two looks
MEMORY = 9 << 28  # bytes of all processes and files: what one process may take, and the sandbox's own 0.4 GB
CPU_SECONDS = 6.0  # of all processes: one may take half of it, and others need the processors too
TOO_MUCH_MEMORY = f"it used more than {MEMORY / (1 << 30):g} GB of memory"
TOO_MUCH_TIME = f"its processes used more than {CPU_SECONDS:g} s of processor time"


@dataclass
class Watch:
    """A thread that watches a sandbox while we wait for its reply: `with Watch(process, 30, stop) as watch`.

    Attributes:
        process: the sandbox.
        seconds: until when it has to reply.
        stop: when it's set, the sandbox ends.
        is_sealed: whether it is a sandbox at all.
        is_limited: whether what it uses is limited: not while it starts, nor if it isn't sealed.
        reason: why the sandbox was ended, if it's for what it used.
    """

    process: subprocess.Popen[bytes]
    seconds: float
    stop: Event
    is_sealed: bool = True
    is_limited: bool = True
    reason: str | None = None
    _done: Event = field(default_factory=Event)

    def __enter__(self) -> "Watch":
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        until, before = monotonic() + self.seconds, cpu_seconds(descendants(self.process.pid))
        while not self._done.wait(EVERY):
            self.reason = self._excess(before) if self.is_limited else None
            if self.reason or self.stop.is_set() or monotonic() > until:
                end(self.process, self.is_sealed)
                return

    def _excess(self, before: float) -> str | None:
        pids = descendants(self.process.pid)
        if memory(pids, MEMORY) + (files(pids[0], "/tmp") if pids else 0) > MEMORY:
            return TOO_MUCH_MEMORY
        return TOO_MUCH_TIME if cpu_seconds(pids) - before > CPU_SECONDS else None
