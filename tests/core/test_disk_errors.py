import errno
from pathlib import Path

import pytest

from coursekit.core.disk_errors import DiskError, disk_errors
from coursekit.core.errors import DataError
from coursekit.core.files import new_file, new_folder, write_text

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_sentence_that_names_the_file(tmp_path):
    with pytest.raises(DataError) as failed, new_file(tmp_path / "a.json") as partial:
        partial.write_text("half")
        raise FULL
    file = tmp_path / "a.json"
    assert str(failed.value) == (
        f"{file}: can't be written (the disk is full). Free some space, then run the same command again."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_written_folder(tmp_path):
    with (
        pytest.raises(DiskError, match=r"built: can't be written \(the disk is full\)"),
        new_folder(tmp_path / "built"),
    ):
        raise FULL
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_if_there_is_no_room_for_the_new_one(tmp_path, monkeypatch):
    write_text(tmp_path / "a.md", "old ✓")

    def full(path, content):
        path.open("wb").write(content[:2])
        raise FULL

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskError):
        write_text(tmp_path / "a.md", "new")
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["old ✓"]


def test_an_error_of_the_block_that_is_not_about_room_passes(tmp_path):
    with pytest.raises(ConnectionError), new_file(tmp_path / "a.json"):
        raise ConnectionError("reset")


def test_an_outer_note_is_added_to_the_inner_sentence(tmp_path):
    with (
        pytest.raises(DiskError, match=r"a\.json: .*run the same command again: it continues"),
        disk_errors(tmp_path, "it continues where it stopped"),
        new_file(tmp_path / "a.json"),
    ):
        raise FULL


def test_other_errors_of_the_system_say_something_else_to_do(tmp_path):
    with pytest.raises(DiskError, match=r"\(Permission denied\)\. Check its permissions"), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
