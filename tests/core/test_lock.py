import os
import signal
import subprocess
import sys

import pytest

from coursekit.core.errors import ConfigError
from coursekit.core.lock import alone_in

HOLD = "import sys, time; from pathlib import Path; from coursekit.core.lock import alone_in\n"
HOLD += "from coursekit.core.files import new_file\nfolder = Path(sys.argv[1])\n"
HOLD += "with alone_in(folder, 'training'), new_file(folder / 'last.pt') as file:\n"
HOLD += "    file.touch(); print('held', flush=True); time.sleep(60)"


def test_a_second_one_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE) as first:
        assert first.stdout.readline().strip() == b"held"
        with (
            pytest.raises(ConfigError, match=r"another training is writing here right now\. Wait"),
            alone_in(tmp_path, "training"),
        ):
            pass
        assert len(list(tmp_path.iterdir())) == 1  # what the first one is writing stays
        first.send_signal(signal.SIGKILL)
        first.wait()
    with alone_in(tmp_path, "training"):
        assert list(tmp_path.iterdir()) == []


def test_an_empty_new_folder_is_removed_and_a_used_one_stays(tmp_path):
    with alone_in(tmp_path / "new", "training"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()
    with alone_in(tmp_path / "new", "training"):
        (tmp_path / "new" / "file").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_worker_that_outlives_its_training_holds_no_lock(tmp_path):
    with alone_in(tmp_path / "run", "training"):
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with alone_in(tmp_path / "run", "training"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
