from coursekit.grading.problems import SENTENCES, Problems
from coursekit.grading.readable import readable, readable_lines


def test_what_moves_the_cursor_or_turns_the_text_around_is_shown_as_a_sign():
    assert readable("a\x1b[2Jb\u202ec\ud800d\x00\x9b") == "a�[2Jb�c�d��"
    assert readable(" a\tb\r\nc\u2028d\u00a0e\u3000f ") == "a b c d e f"
    assert readable("Żółć 李 💻 é") == "Żółć 李 💻 é"
    assert readable_lines("a\x1b\n  b\r") == "a�\n  b "


def test_it_is_short():
    assert readable("x" * 1000, 10) == "xxxxxxxxx…"
    assert len(readable_lines("x\n" * 5000)) == 2000
    assert readable("\n" * 10**6 + "x") == ""


def test_a_few_problems_are_told_one_by_one_and_many_together():
    problems = Problems()
    for number in range(3):
        problems.add(f"{number}.py", "it is a link.")
    assert problems.sentences() == [f"{number}.py: it is a link." for number in range(3)]
    for number in range(60_000):
        problems.add(f"../{number}\x1b", "its path leads out of the zip")
    assert len(problems.sentences()) == 4
    assert problems.sentences()[3].startswith("60,000 files, such as ../0�, ../1�, ../2�: its path leads out")


def test_reasons_are_few_whatever_they_say():
    problems = Problems()
    for number in range(60_000):
        problems.add("", f"reason {number} \x1b")
    assert len(problems.sentences()) <= SENTENCES * 3 + 1
    assert all(sentence.isprintable() for sentence in problems.sentences())
