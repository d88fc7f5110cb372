import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as masks
from pycocotools.coco import COCO

from coursekit.core.errors import DataError
from coursekit.data import load
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.synthetic import write_coco_folder
from coursekit.data.synthetic.write_coco_folder import build_scenes, outlines, run_lengths
from tests.forked import start_forked

SMALL = Recipe("small", "scenes", 3, {"train": 3, "val": 2}, classes=["dog", "car"], scenes_with_a_crowd={"train": 1})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    return tmp_path


encoded = write_coco_folder._encoded


def _bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_pycocotools_and_load_read_the_folder(cache):
    folder = build_scenes(SMALL)
    coco = COCO(str(folder / "annotations" / "instances_train2017.json"))
    for annotation in coco.anns.values():
        drawn = coco.annToMask(annotation)
        assert abs(int(drawn.sum()) - annotation["area"]) <= max(12, 0.15 * annotation["area"])
    dataset = load(folder, "train")
    assert dataset[0][0].shape[0] == 3
    assert dataset.category_ids == [3, 18]
    assert sum(len(dataset[index][1]["crowd_boxes"]) for index in range(3)) == 1


def test_rebuilding_gives_the_same_bytes(cache, monkeypatch):
    first = _bytes_of(build_scenes(SMALL))
    monkeypatch.setenv("COURSEKIT_CACHE", str(cache / "elsewhere"))
    assert _bytes_of(build_scenes(SMALL)) == first


@pytest.mark.parametrize("forks", [True, False], ids=["the second process dies", "one core"])
def test_one_process_draws_the_same(cache, monkeypatch, forks):
    first, here = _bytes_of(build_scenes(SMALL)), os.getpid()
    monkeypatch.setenv("COURSEKIT_CACHE", str(cache / "elsewhere"))
    monkeypatch.setattr(write_coco_folder, "can_fork", lambda: forks)
    monkeypatch.setattr(write_coco_folder, "_encoded", lambda scene: encoded(scene) if os.getpid() == here else 1 / 0)
    assert _bytes_of(build_scenes(SMALL)) == first


def test_existing_folder_is_not_redrawn(cache, monkeypatch):
    folder = build_scenes(SMALL)
    monkeypatch.setattr("coursekit.data.synthetic.write_coco_folder.draw_split", lambda *_: pytest.fail("drawn twice"))
    assert build_scenes(SMALL) == folder


def test_interrupted_build_leaves_nothing(cache, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("coursekit.data.synthetic.write_coco_folder.write_split", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_scenes(SMALL)
    assert list(cache.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(cache, monkeypatch):
    written = []

    def full(path, data):
        written.append(path)
        path.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DataError, match="the disk is full.*Free some space, then run the same command again"):
            build_scenes(SMALL)
    assert written
    assert list(cache.iterdir()) == []
    build_scenes(SMALL)


def _draw_slowly(cache: str) -> None:
    os.environ["COURSEKIT_CACHE"] = cache
    signal.signal(signal.SIGINT, signal.default_int_handler)
    encoded = write_coco_folder._encoded
    write_coco_folder._encoded = lambda scene: (time.sleep(1), encoded(scene))[1]
    build_scenes(SMALL)


@pytest.mark.slow
def test_killed_drawing_is_never_taken_as_complete(cache):
    made, pattern = cache / "made", ".small-*/train2017/*.jpg"
    for kind in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        before = set(made.glob(pattern))
        process = start_forked(cache / "log", _draw_slowly, str(made))
        while process.is_alive() and set(made.glob(pattern)) == before:
            time.sleep(0.01)
        os.kill(process.pid, kind)
        process.join(20)
        assert [path.name for path in made.iterdir() if not path.name.startswith(".")] == []
        assert (set(made.glob(pattern)) == before) == (kind == signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_CACHE", str(made))
        assert [build_scenes(SMALL)] == list(made.iterdir())


def test_leftovers_of_killed_drawings_are_removed(cache):
    folder = build_scenes(SMALL)
    shutil.rmtree(folder)
    (cache / f".{folder.name}-abc").mkdir()
    (cache / f".{folder.name}.lock").touch()
    build_scenes(SMALL)
    assert list(cache.iterdir()) == [folder]


def test_run_lengths_decode_with_pycocotools():
    mask = np.random.default_rng(0).random((7, 5)) > 0.5
    rle = masks.frPyObjects(run_lengths(mask), 7, 5)
    assert (masks.decode(rle) == mask).all()
    mask[0, 0] = True
    assert (masks.decode(masks.frPyObjects(run_lengths(mask), 7, 5)) == mask).all()


def test_outlines_enclose_the_mask():
    mask = np.zeros((20, 30), bool)
    mask[4:12, 6:25] = True
    polygon = np.array(outlines(mask)[0]).reshape(-1, 2)
    assert polygon.min(0).tolist() == pytest.approx([6, 4], abs=0.6)
    assert polygon.max(0).tolist() == pytest.approx([25, 12], abs=0.6)


def test_splits_share_no_image_ids(cache):
    folder = build_scenes(SMALL)
    ids = [
        {
            image["id"]
            for image in json.loads((folder / "annotations" / f"instances_{split}2017.json").read_text())["images"]
        }
        for split in ("train", "val")
    ]
    assert not ids[0] & ids[1]
