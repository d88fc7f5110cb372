import shutil
from collections import namedtuple

import pytest
import torch

from coursekit.data import load, workers
from coursekit.data.loader import make_loader
from coursekit.data.workers import choose_workers, workers_that_fit

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("device", "cores", "batches", "processes", "expected"),
    [
        ("cpu", 64, 1000, 1, 0),
        ("cuda", 16, 1000, 1, 8),
        ("cuda", 4, 1000, 1, 3),
        ("cuda", 1, 1000, 1, 0),
        ("cuda", 16, 15, 1, 1),  # too few batches for more
        ("cuda", 16, 7, 1, 0),
        ("cuda", 16, 1000, 4, 3),
        ("cuda", 4, 1000, 8, 0),
    ],
)
def test_auto_takes_what_the_machine_has(monkeypatch, device, cores, batches, processes, expected):
    monkeypatch.setattr(workers, "cores", lambda: cores)
    assert choose_workers(torch.device(device), batches, processes) == expected


@pytest.fixture
def free(monkeypatch, tmp_path):
    """Return a function that sets the free shared memory in bytes."""

    def set_free(size):
        monkeypatch.setattr(workers, "SHARED_MEMORY", tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(size, 0, size))

    return set_free


def test_workers_without_shared_memory_are_not_started(free):
    free(64 * 2**20)
    assert workers_that_fit(4, 14 * 2**20) == 4
    with pytest.warns(UserWarning, match=r"5 workers need 75 MiB .* has 64 MiB free: 3 are used.*--shm-size"):
        assert workers_that_fit(5, 15 * 2**20) == 3


def test_a_loader_reads_the_same_with_too_little_shared_memory(free):
    few = load("mini", "val").head(8)
    alone = [image for images, _ in make_loader(few, 4).epoch(0) for image in images]
    free(1000)
    with pytest.warns(UserWarning, match="0 are used"):
        loader = make_loader(few, 4, workers=2)
    assert loader.workers == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(alone, (image for images, _ in loader.epoch(0) for image in images), strict=True)
    )


def test_where_there_is_no_such_folder_workers_are_started(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "SHARED_MEMORY", tmp_path / "absent")
    assert workers_that_fit(4, 2**40) == 4
