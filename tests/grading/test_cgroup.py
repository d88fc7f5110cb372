import os

import pytest

from coursekit.grading import cgroup
from coursekit.grading.cgroup import new_group


@pytest.fixture
def own(monkeypatch):
    """Say which group we are in, by version: `own(second="user/terminal")`."""

    def say(first=None, second=None):
        monkeypatch.setattr(cgroup, "_own", lambda mark: second if mark == "0::" else first)

    return say


def _made(folder, subtree=None):
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").touch()
    if subtree is not None:
        (folder / "cgroup.subtree_control").write_text(subtree)


def test_the_closest_group_that_hands_memory_down_is_divided(own, tmp_path):
    own(second="user/app/terminal")
    _made(tmp_path / "user", "cpu memory pids\n")
    _made(tmp_path / "user" / "app", "memory\n")
    _made(tmp_path / "user" / "app" / "terminal", "")
    group = new_group(1 << 30, tmp_path)
    assert group.folder.parent == tmp_path / "user" / "app"
    assert (group.folder / "memory.max").read_text() == str(1 << 30)
    assert not (group.folder / "memory.swap.max").exists()  # a kernel without swap
    assert str(group.folder / "cgroup.procs") in group.entering()


def test_of_the_first_version_our_own_is_divided(own, tmp_path):
    own(first="jobs/7", second="")
    _made(tmp_path / "memory" / "jobs" / "7")
    group = new_group(1 << 30, tmp_path)
    assert group.folder.parent == tmp_path / "memory" / "jobs" / "7"
    assert (group.folder / "memory.limit_in_bytes").read_text() == str(1 << 30)


def test_how_many_were_killed(own, tmp_path):
    own(first="")
    _made(tmp_path / "memory")
    group = new_group(1 << 30, tmp_path)
    assert group.killed() == 0
    (group.folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    assert group.killed() == 3


@pytest.mark.parametrize("first", [None, "gone"])
def test_there_may_be_none(own, first, tmp_path):
    own(first=first, second="user")
    _made(tmp_path / "user", "cpu pids\n")  # nobody gave us the limit on memory
    assert new_group(1 << 30, tmp_path) is None


def test_what_a_killed_grade_left_is_removed(own, tmp_path):
    own(first="")
    _made(tmp_path / "memory")
    left, running = tmp_path / "memory" / "coursekit-999999999-0", tmp_path / "memory" / f"coursekit-{os.getpid()}-x"
    left.mkdir()
    running.mkdir()
    new_group(1 << 30, tmp_path)
    assert running.exists()
    assert not left.exists()
