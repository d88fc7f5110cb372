import tempfile

from coursekit.grading.confine import at_rest, swept


def test_files_of_an_answer_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "ours").write_text("")
    before = at_rest()
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    assert swept(before)
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_a_folder_that_an_answer_closed_is_not_used_again(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = at_rest()
    tmp_path.chmod(0o500)
    assert not swept(before)
    tmp_path.chmod(0o700)
    assert swept(before)
