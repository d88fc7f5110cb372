"""Build a subset, compared with a plain download of the same files.

Both fetch COCO's validation photographs from a local web server in a process of its own, limited to 100 Mbit/s over
all connections. Ours: `build_subset`, which also decodes every image, compares its size with the record, keeps hashes
and a journal, and writes annotations and a manifest; once it keeps the original files, once it stores them with a long
side of 320 pixels. Theirs: httpx2 in as many threads, bytes straight to disk.

The ways take turns, and the median of each counts. The rate is in downloaded bytes per second, from the first call to
the last file.

    python benchmarks/bench_builder.py [--coco DIR]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parents[1]
BYTES_PER_SECOND = 12.5e6  # 100 Mbit/s
JOBS = 8
REPEATS = 5
AIM = 0.9
WAYS: dict[str, Callable[[Path, str, Path], None]] = {
    "plain download": lambda coco, url, folder: download(coco, url, folder),
    "builder, originals": lambda coco, url, folder: build(coco, url, folder, 0),
    "builder, long side 320": lambda coco, url, folder: build(coco, url, folder, 320),
}


def main() -> None:
    """Measure all ways and compare them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--coco", type=Path, default=ROOT.parent / "shared" / "coco")
    coco = parser.parse_args().coco
    if not (coco / "val2017").is_dir():
        sys.exit(f"{coco}: no photographs there. Name a folder laid out as COCO is: --coco DIR")
    size, count = sum(file.stat().st_size for file in photographs(coco)), len(photographs(coco))
    print(f"{count} photographs, {size / 1e6:.1f} MB, at most {BYTES_PER_SECOND / 1e6:g} MB/s, {JOBS} at a time")
    os.environ["TQDM_DISABLE"] = "1"
    with served(coco) as url:
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(1 + REPEATS):  # the first is a warm-up
            for way, run in WAYS.items():
                seconds[way].append(timed(run, coco, url))
    rates = {way: size / 1e6 / statistics.median(values[1:]) for way, values in seconds.items()}
    print(f"{'':24} {'MB/s':>6}   seconds of each run")
    for way, rate in rates.items():
        print(f"{way:24} {rate:6.2f}   {', '.join(f'{value:.2f}' for value in seconds[way][1:])}")
    plain, original, small = rates.values()
    print(f"{original / plain:.1%} of the plain download's rate; {small / plain:.1%} when resizing (aim {AIM:.0%})")


def photographs(coco: Path) -> list[Path]:
    """Return the files to fetch."""
    return sorted((coco / "val2017").glob("*.jpg"))


def timed(run: Callable[[Path, str, Path], None], coco: Path, url: str) -> float:
    """Return the seconds that one way takes, into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run(coco, url, Path(folder))
        return time.perf_counter() - start


def download(coco: Path, url: str, folder: Path) -> None:
    """Download without any checks: their way."""
    with httpx2.Client() as client, ThreadPoolExecutor(JOBS) as pool:

        def get(file: Path) -> None:
            (folder / file.name).write_bytes(client.get(f"{url}val2017/{file.name}").content)

        list(pool.map(get, photographs(coco)))


def build(coco: Path, url: str, folder: Path, long_side: int) -> None:
    """Build a subset: our way."""
    from coursekit.data.subsets.build import build_subset
    from coursekit.data.subsets.recipe import Recipe

    os.environ["COURSEKIT_CACHE"] = str(folder)
    recipe = Recipe("bench", "coco", seed=0, images={"val": 0}, long_side=long_side)
    _, manifest = build_subset(recipe, annotations=str(coco / "annotations"), images=url, jobs=JOBS)
    if len(manifest.files) != len(photographs(coco)):
        sys.exit(f"The builder has {len(manifest.files)} files, {len(manifest.missing)} are missing.")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Yield the address of a throttled server in another process."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve_until_stopped, args=(folder, there))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("stop")
        process.join()


def serve_until_stopped(folder: Path, caller: Connection) -> None:
    """Serve until the caller sends a message."""
    sys.path.insert(0, str(ROOT))
    from tests.data.subsets.http_server import serve

    with serve(folder, bytes_per_second=BYTES_PER_SECOND) as server:
        caller.send(server.url)
        caller.recv()


if __name__ == "__main__":
    main()
