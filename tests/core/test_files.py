import pytest

from coursekit.core.errors import ConfigError
from coursekit.core.files import make_folder, new_file, new_folder


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
