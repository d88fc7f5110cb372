import json

import numpy as np
import pytest
from pycocotools import mask as masks
from pycocotools.coco import COCO

from coursekit.data import load
from coursekit.data.subsets.recipe import Recipe
from coursekit.data.synthetic.render import build_scenes, outlines, run_lengths

SMALL = Recipe("small", "scenes", 3, {"train": 3, "val": 2}, classes=["dog", "car"], scenes_with_a_crowd={"train": 1})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path))
    return tmp_path


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


def test_existing_folder_is_not_redrawn(cache, monkeypatch):
    folder = build_scenes(SMALL)
    monkeypatch.setattr("coursekit.data.synthetic.render.draw_split", lambda *_: pytest.fail("drawn twice"))
    assert build_scenes(SMALL) == folder


def test_interrupted_build_leaves_nothing(cache, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("coursekit.data.synthetic.render.write_split", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_scenes(SMALL)
    assert list(cache.iterdir()) == []


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
