import os
import threading
import time

import pytest

from coursekit.data.second_process import beside, can_fork

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no forks")


def test_the_task_runs_in_another_process():
    with beside(lambda pipe: pipe.write(b"%d" % os.getpid())) as pipe:
        assert int(pipe.read()) != os.getpid()


def test_a_failed_task_says_nothing(capfd):
    with beside(lambda pipe: 1 / 0) as pipe:
        assert pipe.read() == b""
    assert capfd.readouterr() == ("", "")


def test_the_task_ends_with_the_block():
    def task(pipe):
        pipe.write(b"%d\n" % os.getpid())
        pipe.flush()
        time.sleep(60)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), beside(task) as pipe:
        process = int(pipe.readline())
        raise KeyboardInterrupt
    assert time.monotonic() - start < 30
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_it_works_from_a_thread():
    content = []

    def run():
        with beside(lambda pipe: pipe.write(b"done")) as pipe:
            content.append(pipe.read())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert content == [b"done"]


def test_without_more_processes_the_pipe_is_empty(monkeypatch):
    def refuse():
        raise OSError

    monkeypatch.setattr(os, "fork", refuse)
    with beside(lambda pipe: pipe.write(b"done")) as pipe:
        assert pipe.read() == b""


def test_one_core_has_no_second_process(monkeypatch):
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert not can_fork()
