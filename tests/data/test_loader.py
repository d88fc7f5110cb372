import json
import multiprocessing
import subprocess
import sys

import pytest
import torch

from coursekit.core.errors import ConfigError, DataError
from coursekit.data import load
from coursekit.data.batch_order import ShapeBatches
from coursekit.data.loader import make_loader
from tests.data.layout_folders import write_json


def _read(loader, epoch=0):
    return [
        (image, target)
        for images, targets in loader.epoch(epoch)
        for image, target in zip(images, targets, strict=True)
    ]


def _same(first, second):
    return all(
        torch.equal(a, b) and s["image_id"] == t["image_id"] and torch.equal(s["boxes"], t["boxes"])
        for (a, s), (b, t) in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def mini():
    return load("mini", "val")


@pytest.fixture
def damaged():
    with pytest.warns(UserWarning, match="left out"):
        return load("damaged", "train")


def test_batches_contain_every_image_once_and_one_shape_each(mini):
    batches = list(ShapeBatches(mini, 8, seed=1, shuffle=True))
    assert sorted(index for batch in batches for _, index in batch) == list(range(120))
    for batch in batches:
        assert len({mini.size(index)[0] > mini.size(index)[1] for _, index in batch}) == 1
    assert len(ShapeBatches(mini, 8, seed=1, shuffle=True)) == len(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_epoch_is_reproducible_with_any_number_of_workers(mini, workers):
    few = mini.head(20)
    first = _read(make_loader(few, 4, seed=3), epoch=2)
    assert _same(first, _read(make_loader(few, 4, seed=3, workers=workers), epoch=2))
    loader = make_loader(few, 4, seed=3, workers=workers)
    other = _read(loader, epoch=1)
    assert not _same(first, other)
    assert _same(first, _read(loader, epoch=2))  # persistent workers learn about the new epoch


def test_evaluation_reads_every_image_once_in_order(mini):
    samples = _read(make_loader(mini, 7, train=False))
    assert [target["image_id"] for _, target in samples] == mini.image_ids
    assert all(torch.equal(image, mini[index][0]) for index, (image, _) in enumerate(samples[:5]))


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_replaced_counted_and_named(damaged, workers):
    loader = make_loader(damaged, 4, workers=workers, most_unreadable=0.5)
    samples = _read(loader)
    assert len(samples) == len(damaged)
    expected = {"cut_at_half.jpg", "cut_by_2_bytes.jpg", "empty.jpg", "html_page.jpg", "bomb_20000x20000.jpg"}
    assert expected <= set(loader.unreadable) <= expected | {"zeroed_in_the_middle.jpg"}
    report = loader.report()
    assert report.startswith(f"{len(loader.unreadable)} of 34 images could not be read: ")
    assert "cut_at_half.jpg: the image is damaged" in report
    assert "1 boxes without width or height were left out" in report


def test_evaluation_leaves_unreadable_images_out(damaged):
    loader = make_loader(damaged, 4, train=False, most_unreadable=0.5)
    assert len(_read(loader)) == len(damaged) - len(loader.unreadable)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_absent_image_is_replaced_counted_and_named(tmp_path, workers):
    names = [f"{number}.png" for number in range(24)]
    write_json(tmp_path / "train.json", names, tmp_path / "images")
    (tmp_path / "images" / "5.png").unlink()
    with pytest.warns(UserWarning, match=r"5\.png: the image is missing \(1 of 24"):
        dataset = load(tmp_path, "train")
    loader = make_loader(dataset, 4, workers=workers)
    assert len(_read(loader)) == 24
    assert loader.report().startswith("1 of 24 images could not be read: ")
    assert "5.png: the image is missing" in loader.report()
    assert len(_read(make_loader(dataset, 4, train=False))) == 23


def test_too_many_unreadable_images_stop_the_loader(damaged):
    with pytest.raises(DataError, match=r"(?s)more than 10% of the images.*could not be read.*data verify damaged"):
        _read(make_loader(damaged, 4))


def test_report_is_empty_if_nothing_is_wrong(mini):
    loader = make_loader(mini.head(8), 4)
    _read(loader)
    assert loader.report() == ""


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 4, "workers": -1}])
def test_invalid_numbers_are_refused(mini, options):
    with pytest.raises(ConfigError, match="batch size must be at least 1"):
        make_loader(mini, **options)


MEMORY = """
import numpy as np, torch
from pathlib import Path
from tests.data.subsets.test_select import _index
from coursekit.data.dataset import CocoDataset
from coursekit.data.loader import make_loader

def private():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private"))

class Targets(CocoDataset):
    def read(self, index, out):  # no files: this test is about the records
        memory = private() if index % 250 == 249 else 0
        return torch.zeros(3, 2, 2, dtype=torch.uint8), self.target(index) | {"image_id": memory}

index = _index(25_000, 200_000, 80)
dataset = Targets("x", index, np.arange(5_000), Path())
seen = [t["image_id"] for _, targets in make_loader(dataset, 50, train=False, workers=1).epoch(0) for t in targets]
print([memory for memory in seen if memory])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads memory of a process from /proc, which only Linux has")
def test_memory_of_a_worker_does_not_grow():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120)
    seen = json.loads(done.stdout)  # private memory in kB, at every 250th of 5,000 samples
    steps = sorted(later - earlier for earlier, later in zip(seen, seen[1:], strict=False))
    assert sum(steps[:-1]) < 4_000, seen  # garbage collection of the parent may cause one jump, but no steady growth


def test_batches_kept_by_the_caller_are_not_overwritten(mini):
    kept = list(make_loader(mini.head(48), 2, workers=1).epoch(0))  # more batches than slots
    alone = list(make_loader(mini.head(48), 2).epoch(0))
    assert all(
        torch.equal(a, b)
        for (first, _), (other, _) in zip(kept, alone, strict=True)
        for a, b in zip(first, other, strict=True)
    )


def test_leaving_an_epoch_early_changes_nothing(mini):
    loader = make_loader(mini.head(48), 2, workers=2)
    for _ in zip(range(3), loader.epoch(0), strict=False):
        pass
    assert _same(_read(loader, 1), _read(make_loader(mini.head(48), 2), 1))


STARTED = """
import multiprocessing, sys, torch
from coursekit.data import load
from coursekit.data.loader import make_loader

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    few = load("mini", "train").head(12)
    alone, ahead = (list(make_loader(few, 4, workers=workers).epoch(0)) for workers in (0, 1))
    assert len(alone) == len(ahead) > 2
    for (images, targets), (others, their_targets) in zip(alone, ahead):
        assert all(torch.equal(a, b) for a, b in zip(images, others, strict=True))
        assert [t["image_id"] for t in targets] == [t["image_id"] for t in their_targets]
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])  # Windows and macOS; Linux since Python 3.14
def test_workers_that_are_not_forked_read_the_same(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    script = tmp_path / "started.py"  # the new process imports it again
    script.write_text(STARTED, encoding="utf-8")
    done = subprocess.run([sys.executable, script, method], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
