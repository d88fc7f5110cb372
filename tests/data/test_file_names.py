import unicodedata

import pytest

from coursekit.data.file_names import clean_name, locate, name_fault


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("camera1/a.png", "camera1/a.png"),
        ("camera1\\day 2\\a.png", "camera1/day 2/a.png"),
        ("./a.png", "a.png"),
        (".\\a.png", "a.png"),
        ("a//b/./c.png", "a/b/c.png"),
        ("x/../a.png", "a.png"),
        ("..a.jpg", "..a.jpg"),
        ("Screenshot 9.41.00\u202fAM.png", "Screenshot 9.41.00\u202fAM.png"),
        ("a\u00a0b.jpg", "a\u00a0b.jpg"),
        ("\u3000b.jpg", "\u3000b.jpg"),
        ("日本語 é.jpg", "日本語 é.jpg"),
        ("12:30.jpg", "12:30.jpg"),
        ("42", "42"),
    ],
)
def test_names_below_the_image_folder_are_used(name, expected):
    assert name_fault(name) == ""
    assert clean_name(name) == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        (".", "names a folder"),
        ("a/", "names a folder"),
        ("a/.. /b", "names a folder"),
        ("..", "leads out of the image folder"),
        ("../a.jpg", "leads out of the image folder"),
        ("a/../../b.jpg", "leads out of the image folder"),
        ("a\\..\\..\\b.jpg", "leads out of the image folder"),
        ("/data/a.jpg", "is an absolute path"),
        ("\\data\\a.jpg", "is an absolute path"),
        ("C:\\data\\a.jpg", "begins with a drive letter"),
        ("C:a.jpg", "begins with a drive letter"),
        ("\\\\server\\data\\a.jpg", "is a network path"),
        ("//server/data/a.jpg", "is a network path"),
        ("https://x.org/a.jpg", "is an address"),
        ("file:///data/a.jpg", "is an address"),
        ("a\0.jpg", "control character"),
        ("a\nb.jpg", "line break"),
        ("a\u2028b.jpg", "line break"),
        ("\ud800.jpg", "isn't valid Unicode"),
    ],
)
def test_other_names_are_refused_for_the_true_reason(name, reason):
    assert reason in name_fault(name)


def _files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("IMG.JPG", "img.jpg"),
        ("Camera/a.png", "camera/A.PNG"),
        (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
        (unicodedata.normalize("NFD", "é.png"), unicodedata.normalize("NFC", "é.png")),
        ("my%20image.png", "my image.png"),
        ("my image.png", "my%20image.png"),
        ("9 AM.png", "9\u202fAM.png"),
        ("a.png ", "a.png"),
        ("camera1/a.png", "camera1\\a.png"),
    ],
)
def test_a_file_whose_name_is_written_in_another_way_is_found(tmp_path, name, file):
    _files(tmp_path, file, "other.png")
    located = locate(tmp_path, ["other.png", name])
    assert located.absent == {}
    assert (tmp_path / located.names[1]).is_file()


@pytest.mark.parametrize(
    ("name", "files", "hint"),
    [
        ("a.jpg", ["a.png"], "'a.png' is there"),
        ("a", ["a.png"], "'a.png' is there"),
        ("a.png", ["deep/er/a.png"], "'deep/er/a.png' is there"),
        ("deep/a.png", ["a.png"], "'a.png' is there"),
        ("A.PNG", ["a.png", "A.png"], "'A.png' and 'a.png' are there"),
        ("b.png", ["a.png"], ""),
    ],
)
def test_for_an_absent_file_a_similar_one_is_named(tmp_path, name, files, hint):
    _files(tmp_path, *files)
    located = locate(tmp_path, [name])
    assert located.absent == {name: hint}
    assert located.names == [name]


def test_folders_dead_links_and_impossible_names_are_no_files(tmp_path):
    _files(tmp_path, "folder/a.png")
    (tmp_path / "dead.png").symlink_to(tmp_path / "nothing.png")
    (tmp_path / "live.png").symlink_to(tmp_path / "folder" / "a.png")
    names = ["folder", "dead.png", "a" * 300 + ".png", "live.png"]
    assert set(locate(tmp_path, names).absent) == set(names[:3])
    assert set(locate(tmp_path / "nowhere", names).absent) == set(names)
