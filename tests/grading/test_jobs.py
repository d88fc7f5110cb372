import pytest

from coursekit.grading import jobs
from coursekit.grading.jobs import default_jobs


@pytest.mark.parametrize(
    ("cores", "meminfo", "expected"),
    [
        (4, "MemTotal: 9 kB\nMemAvailable:   33554432 kB\n", 4),
        (4, "MemAvailable: 3145728 kB\n", 3),
        (4, "MemAvailable: 100 kB\n", 1),
        (64, "MemAvailable: 335544320 kB\n", 8),
        (4, "MemTotal: 100 kB\n", 4),
        (2, None, 2),
        (2, "MemAvailable:\n", 2),
    ],
)
def test_one_for_each_core_as_far_as_memory_goes(tmp_path, monkeypatch, cores, meminfo, expected):
    monkeypatch.setattr(jobs, "cores", lambda: cores)
    monkeypatch.setattr(jobs, "MEMINFO", tmp_path / "meminfo")
    if meminfo is not None:
        (tmp_path / "meminfo").write_text(meminfo)
    assert default_jobs() == expected
