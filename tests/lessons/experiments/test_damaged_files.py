import json

import pytest
import torch

from coursekit.core.errors import DataError
from coursekit.data.load_by_name import find_folder
from coursekit.data.synthetic.damaged import DAMAGED_BOXES, DAMAGED_FILES, READABLE
from coursekit.from_scratch.loader import CocoDataset, clean_boxes, collate
from coursekit.lessons.experiments.damaged_files import (
    Skipping,
    count_until_error,
    load_all,
    shortened,
    unusable_boxes,
)


class Some:
    """Samples, of which some can't be read."""

    def __init__(self, *readable):
        self.readable = readable

    def __len__(self):
        return len(self.readable)

    def __getitem__(self, index):
        if not self.readable[index]:
            raise DataError(f"/data/{index}.jpg: can't be read")
        return torch.full((3, 32, 32), index, dtype=torch.uint8), {"image_id": index}


def test_the_next_readable_sample_takes_the_place_and_says_so():
    image, target = Skipping(Some(True, False, False, True))[1]
    assert image[0, 0, 0] == 3
    assert target == {"image_id": 3, "skipped": ["/data/1.jpg: can't be read", "/data/2.jpg: can't be read"]}
    assert Skipping(Some(True, False))[1][1]["image_id"] == 0
    with pytest.raises(DataError, match="None of the images"):
        Skipping(Some(False, False))[0]


def test_all_are_loaded_and_the_skipped_are_named(capsys):
    load_all(Skipping(Some(True, False, True, True, False)), collate, batch_size=2)
    assert capsys.readouterr().out.splitlines() == [
        "5 samples; 2 of 5 files skipped:", "  1.jpg: can't be read", "  4.jpg: can't be read"
    ]  # fmt: skip


def test_counting_ends_at_the_first_error(capsys):
    count_until_error(Some(True, True, False, True))
    assert capsys.readouterr().out == "2 of 4 samples, then DataError: /data/2.jpg: can't be read\n"
    count_until_error(Some(True, True))
    assert capsys.readouterr().out == "all 2 samples\n"


def test_the_damaged_set_is_skipped_and_its_boxes_are_explained(capsys):
    folder = find_folder("damaged")
    file = folder / "annotations" / "instances_train2017.json"
    load_all(Skipping(CocoDataset(file, folder / "train2017")), collate, batch_size=8)
    lines = capsys.readouterr().out.splitlines()
    unreadable = len(DAMAGED_FILES) - len(READABLE) - 1  # the hole in a file can't be seen
    assert lines[0].endswith(f"; {unreadable} of 34 files skipped:")
    assert len(lines) == 1 + unreadable
    unusable_boxes(json.loads(file.read_text()), clean_boxes)
    *rows, summary = capsys.readouterr().out.splitlines()
    assert len(rows) == len(DAMAGED_BOXES)
    for words in (
        "negative width or height",
        "no width or height",
        "outside its image",
        "not a number",
        "its image is not in the file",
    ):
        assert any(words in row for row in rows), words
    total, usable = (int(word) for word in summary.split() if word.isdigit())
    assert total - usable == len(DAMAGED_BOXES)


def test_a_report_is_cut_at_a_word():
    assert shortened("it could be anything", 12) == "it could …"
    assert shortened("short", 5) == "short"
