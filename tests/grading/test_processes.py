import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coursekit.grading.processes import cpu_seconds, descendants, files, memory

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux has /proc")
FORKS = r"""
import os, sys
kept = bytearray(b"x") * (100 << 20)
for _ in range(3):
    if os.fork() == 0:
        break
os.write(1, b"ready\n")
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def four():
    """A process with 100 MB, and three forks that share them."""
    process = subprocess.Popen([sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for _ in range(4):
        assert process.stdout.readline() == "ready\n"
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


def test_what_is_shared_is_counted_once(four):
    pids = [four.pid, *descendants(four.pid)]
    assert len(pids) == 4
    assert memory(pids, 1 << 40) > 400 << 20  # a bound is enough
    assert 100 << 20 < memory(pids, 200 << 20) < 200 << 20


def test_what_has_ended_uses_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert descendants(process.pid) == []
    assert memory([process.pid], 0) == cpu_seconds([process.pid]) == files(process.pid, "/tmp") == 0


def test_processor_time():
    before = cpu_seconds([os.getpid()])
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0.05 < cpu_seconds([os.getpid()]) - before < 2


def test_files_are_counted():
    assert files(os.getpid(), "/tmp") > 0
