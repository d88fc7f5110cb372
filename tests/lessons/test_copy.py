from coursekit.files import shipped
from coursekit.lessons.copy import copy_lessons


def test_lessons_are_copied_and_never_written_over(tmp_path):
    copied, kept = copy_lessons(tmp_path / "work")
    assert {path.name for path in copied} == {path.name for path in shipped("course").glob("*.ipynb")}
    assert kept == []
    mine = copied[0]
    mine.write_text("my own work")
    copied, kept = copy_lessons(tmp_path / "work")
    assert copied == []
    assert mine in kept
    assert mine.read_text() == "my own work"
