import os
from stat import S_IMODE

import numpy as np
import pytest
from safetensors.numpy import save_file

from coursekit.core.errors import ConfigError, DataError
from coursekit.core.files import check_inside, make_folder, new_file, new_folder, remove_partial_files


def test_a_file_appears_complete_or_not_at_all(tmp_path):
    target = tmp_path / "a.json"
    with new_file(target) as path:
        path.write_text("first")
        assert not target.exists()
    with pytest.raises(OSError, match="disk full"), new_file(target) as path:
        path.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_appears_complete_or_not_at_all(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "built") as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "built") as folder:
        (folder / "whole").touch()
    assert (tmp_path / "built" / "whole").exists()


def test_the_second_process_leaves_the_folder_of_the_first_alone(tmp_path):
    with new_folder(tmp_path / "built") as folder:
        (folder / "mine").touch()
        (tmp_path / "built").mkdir()
        (tmp_path / "built" / "theirs").touch()
    assert [path.name for path in (tmp_path / "built").iterdir()] == ["theirs"]


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file.*can't be written"):
        make_folder(tmp_path / "file" / "below")


def test_a_new_file_is_not_written_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "a.json").symlink_to(tmp_path / "mine")
    names = set()
    for _ in range(3):
        with new_file(tmp_path / "a.json") as path:
            names.add(path.name)
            path.write_text("new")
    assert len(names) == 3  # no name that a folder from somebody else could foresee
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "a.json").is_symlink()


def test_a_link_out_of_a_folder_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "inside").touch()
    (tmp_path / "run" / "link").symlink_to("inside")
    (tmp_path / "run" / "notes.md").symlink_to(tmp_path / "secret")
    (tmp_path / "run" / "loop").symlink_to("loop")
    check_inside(tmp_path / "run" / "link", tmp_path / "run")
    check_inside(tmp_path / "run" / "missing", tmp_path / "run")
    with pytest.raises(DataError, match="leads out of"):
        check_inside(tmp_path / "run" / "notes.md", tmp_path / "run")


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path):
    target = tmp_path / f"{'猫' * 80}.png"
    with new_file(target) as path:
        path.touch()
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    ours = [".partial-0123abcd-last.pt", ".partial-0123abcd-config.json", ".4242-last.pt", ".0123abcd-best.pt"]
    theirs = [".2024-notes.txt", ".partial-notes.txt", "last.pt", ".git-last.pt", ".20240101-plan.md"]
    for name in ours + theirs:
        (tmp_path / name).touch()
    remove_partial_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(theirs)


@pytest.fixture(params=[0o022, 0o027, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such permissions")
def test_files_and_folders_have_the_permissions_that_the_umask_leaves(tmp_path, umask):
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o600)
    for name in ("new", "old"):
        with new_file(tmp_path / name) as path:
            path.write_text("new")
    with new_file(tmp_path / "model.safetensors") as path:
        save_file({"weight": np.zeros(3)}, path)  # makes a file of its own, which only its owner may read
    with new_folder(tmp_path / "built") as folder:
        (folder / "inside").touch()
    made = {path.name: S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    files = dict.fromkeys(("new", "old", "model.safetensors", "inside"), 0o666 & ~umask)
    assert made == files | {"built": 0o777 & ~umask}
