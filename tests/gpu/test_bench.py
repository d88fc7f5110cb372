"""The script that measures on a GPU runs on a CPU, too, in its smallest form."""

import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_gpu

    yield bench_gpu
    for name in ("bench_gpu", "bench_detector"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("section", ["nms", "recovery", *(pytest.param(n, marks=pytest.mark.slow) for n in
                                     ("speed", "launches", "memory", "goal"))])  # fmt: skip
def test_a_section_runs_on_a_cpu(bench, section):
    rows = bench.run_section(section, torch.device("cpu"), quick=True)
    assert rows
    assert not any("failed" in row for row in rows), rows


def test_a_section_that_fails_says_why_and_the_others_go_on(bench, monkeypatch):
    def broken(device, quick):
        yield {"size": 1}
        raise ValueError("no such card")

    monkeypatch.setitem(bench.SECTIONS, "speed", broken)
    rows = bench.run_section("speed", torch.device("cpu"), quick=True)
    assert rows[0] == {"size": 1}
    assert "no such card" in rows[1]["failed"]


def test_results_replace_those_below_the_mark(bench, tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text(f"# On a GPU\n\n{bench.MARK}\n\n**Not yet measured.**\n", encoding="utf-8")
    rows = [{"size": 320, "times": 3.1}, {"size": 640}, {"failed": "ValueError: no\n"}]
    for _ in range(2):
        bench.write(page, {"speed": rows}, "Card 4000")
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# On a GPU\n\n{bench.MARK}\n\nMeasured on Card 4000, ")
    assert text.count("## Speed\n\n| size | times |\n| --- | --- |\n| 320 | 3.1 |\n| 640 | – |\n") == 1
    assert text.endswith("```text\nValueError: no\n```\n")


def test_the_page_has_the_mark(bench):
    assert bench.MARK in bench.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["--device", "cpu", "--write"], ["--device", "cpu", "--quick", "--write"]])
def test_results_of_a_cpu_are_never_written(bench, monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", *arguments])
    with pytest.raises(SystemExit):
        bench.main()
    assert "--write is for full results from a GPU" in capsys.readouterr().err
