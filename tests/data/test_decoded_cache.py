import errno
import pickle

import pytest
import torch

from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.data.loader import make_loader
from tests.data.layout_folders import write_json


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_same_samples_without_decoding(coco_folder, monkeypatch):
    plain = load(coco_folder, "train")
    cached = plain.with_pixels()
    before = [plain[index] for index in range(3)]
    monkeypatch.setattr("coursekit.data.dataset.read_image", lambda *_: pytest.fail("decoded again"))
    for index, (image, target) in enumerate(before):
        assert torch.equal(cached[index][0], image)
        assert torch.equal(cached[index][1]["boxes"], target["boxes"])
    assert torch.equal(cached.head(2)[1][0], before[1][0])
    assert len(pickle.dumps(cached.pixels)) < 5_000  # workers get a path, not the pixels


def test_unreadable_image_still_raises(coco_folder):
    (coco_folder / "train2017" / "1.jpg").write_bytes(b"x")
    cached = load(coco_folder, "train").with_pixels()
    with pytest.raises(DataError, match=r"1\.jpg: the image is damaged"):
        cached[1]
    assert torch.equal(cached[2][0], load(coco_folder, "train")[2][0])
    loader = make_loader(cached, 2, most_unreadable=0.5)
    assert sum(len(images) for images, _ in loader.epoch(0)) == 3


def test_changed_image_is_decoded_again(coco_folder, cache):
    load(coco_folder, "train").with_pixels()
    load(coco_folder, "train").with_pixels()
    assert len(list(cache.glob("pixels-*"))) == 1
    path = coco_folder / "train2017" / "1.jpg"
    path.write_bytes((coco_folder / "train2017" / "2.jpg").read_bytes())
    changed = load(coco_folder, "train").with_pixels()
    assert torch.equal(changed[1][0], changed[2][0])


def test_an_absent_image_is_left_out_and_decoded_once_it_is_there(tmp_path, cache):
    names = [f"{number}.png" for number in range(24)]
    write_json(tmp_path / "train.json", names, tmp_path / "images")
    moved = (tmp_path / "images" / "5.png").rename(tmp_path / "5.png")
    with pytest.warns(UserWarning, match="the image is missing"):
        cached = load(tmp_path, "train").with_pixels()
    with pytest.raises(DataError, match=r"5\.png: the image is missing"):
        cached[5]
    assert cached[6][0].shape == (3, 12, 16)
    moved.rename(tmp_path / "images" / "5.png")
    assert load(tmp_path, "train").with_pixels()[5][0].shape == (3, 12, 16)


def test_leftovers_of_killed_processes_are_removed(coco_folder, cache):
    folder = load(coco_folder, "train").with_pixels().pixels.folder
    (cache / f".{folder.name}-abc").mkdir()
    (cache / f".{folder.name}.lock").touch()
    load(coco_folder, "train").with_pixels()
    assert list(cache.iterdir()) == [folder]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(coco_folder, cache, monkeypatch):
    def full(folder, *_):
        (folder / "pixels.bin").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("coursekit.data.decoded_cache._write", full)
    with pytest.raises(DataError, match=r"pixels-\w+: can't be written \(the disk is full\)\. Free some space"):
        load(coco_folder, "train").with_pixels()
    assert list(cache.iterdir()) == []
