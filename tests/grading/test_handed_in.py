import random
import zipfile

import pytest

from coursekit.grading import handed_in, submission
from coursekit.grading.submission import read
from tests.grading.hostile_files import ANSWER, BOX, READ, ZIPS, special_files, zipped


@pytest.mark.parametrize("kind", ZIPS)
def test_a_bad_zip_becomes_a_few_sentences(tmp_path, kind):
    (tmp_path / "a.zip").write_bytes(ZIPS[kind]())
    found = read(tmp_path / "a.zip", "a")
    assert found.answers == ({"box_iou": BOX} if kind in READ else {})
    assert kind in READ - {"controls_in_a_name"} or found.problems
    assert len(found.problems) <= 4
    assert all(problem.isprintable() and len(problem) < 400 for problem in found.problems)


@pytest.mark.parametrize("kind", ["bzip2", "lzma"])
def test_only_what_is_unpacked_piece_by_piece_is_unpacked(tmp_path, kind):
    (tmp_path / "a.zip").write_bytes(ZIPS[kind]())
    assert "compressed in an unusual way" in read(tmp_path / "a.zip", "a").problems[0]


def test_a_name_with_a_password_or_two_contents(tmp_path):
    (tmp_path / "a.zip").write_bytes(ZIPS["encrypted"]())
    assert read(tmp_path / "a.zip", "a").problems == [f"{ANSWER}: {handed_in.ENCRYPTED}."]
    (tmp_path / "a.zip").write_bytes(ZIPS["twice"]())
    assert read(tmp_path / "a.zip", "a").answers == {"box_iou": BOX}


def test_many_bad_names_are_one_sentence(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped([(ANSWER, BOX), *((f"../{number}", "") for number in range(2000))]))
    found = read(tmp_path / "a.zip", "a")
    assert found.answers == {"box_iou": BOX}
    assert len(found.problems) == 1
    assert found.problems[0].startswith("2,000 files, such as ../0, ../1, ../10: its path leads out of the zip")


def test_a_long_table_of_contents_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "LISTING_BYTES", 10_000)
    (tmp_path / "a.zip").write_bytes(zipped([(ANSWER, BOX * 10_000)]))
    assert (
        read(tmp_path / "a.zip", "a").answers or "too long for an answer" in read(tmp_path / "a.zip", "a").problems[0]
    )
    (tmp_path / "a.zip").write_bytes(zipped([(ANSWER, BOX), *((f"data/{number}", "") for number in range(300))]))
    assert read(tmp_path / "a.zip", "a").problems == ["a.zip: it has too many files, and was not read."]


def test_what_is_too_large_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(submission, "FILE_BYTES", 1 << 16)
    (tmp_path / "a.zip").write_bytes(zipped([("a.ipynb", b"0" * (1 << 20))]))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was opened"))
    assert "Clear the outputs" in read(tmp_path / "a.zip", "a").problems[0]


def test_links_pipes_and_sockets_end_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    special_files(tmp_path)
    for path in set(tmp_path.iterdir()) - {tmp_path / "folder.zip"}:
        (problem,) = read(path, "a").problems
        assert "link" in problem or "not a file" in problem or "No such device" in problem
    assert "no exercise was found" in read(tmp_path / "folder.zip", "a").problems[0]


def test_capitals_in_suffixes(tmp_path):
    (tmp_path / "my_detector").mkdir()
    (tmp_path / "my_detector" / "box_iou.PY").write_text(BOX)
    (tmp_path / "A.IPYNB").write_text('{"cells": [{"cell_type": "code", "source": "%%exercise nms\\nx"}]}')
    (tmp_path / "Progress.JSON").write_text('{"exercises": {"nms": {"hints": 2}}}')
    found = read(tmp_path, "a")
    assert found.answers == {"box_iou": BOX, "nms": "x"}
    assert found.records["nms"].hints == 2
    assert read(tmp_path / "A.IPYNB", "a").answers == {"nms": "x"}
    (tmp_path / "B.ZIP").write_bytes(zipped((("MY.IPYNB", (tmp_path / "A.IPYNB").read_bytes()),)))
    assert read(tmp_path / "B.ZIP", "a").answers == {"nms": "x"}


@pytest.mark.slow
def test_zips_changed_at_random(tmp_path):
    rng, path = random.Random(0), tmp_path / "a.zip"
    progress = '{"exercises": {"nms": {"hints": 2}}}'
    members = [(ANSWER, BOX), ("a.ipynb", '{"cells": []}'), ("progress.json", progress), ("ü.py", "")]
    bases = [zipped(members, method) for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)]
    for _ in range(500):
        content = bytearray(rng.choice(bases))
        for _ in range(rng.choice((1, 2, 8))):
            start = rng.randrange(len(content))
            content[start : start + rng.choice((1, 4, 20))] = rng.choice(
                (b"", b"\xff", b"\0\0\0\x80", rng.randbytes(4))
            )
            content = content or bytearray(b"PK")
        path.write_bytes(content)
        found = read(path, "a")
        assert len(found.problems) < 20
        assert all(problem.isprintable() for problem in found.problems)
