"""Builds that are stopped, killed, or run out of disk: the subset that was there stays usable, and nothing is left."""

import errno
import os
import resource
import shutil
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from coursekit.core.errors import CourseError, DataError
from coursekit.core.make_once import locked
from coursekit.data import load
from coursekit.data.load_by_name import find_folder
from coursekit.data.subsets import http_client
from coursekit.data.subsets.build import build_subset
from coursekit.data.subsets.footprint import subset_folder
from coursekit.data.subsets.manifest import read_manifest
from coursekit.data.subsets.unfinished_builds import JOURNAL, work_folder
from coursekit.data.verify import verify
from tests.data.subsets.conftest import COUNT, RECIPE, build_from, bytes_of, without_addresses
from tests.data.subsets.http_server import Fault, serve, status
from tests.data.subsets.lies import lie, redirect
from tests.forked import run_forked, start_forked

IMAGES = [f"val2017/{n}.jpg" for n in range(COUNT)]
ANNOTATIONS = "annotations/instances_val2017.json"
PAUSE, STALL_SECONDS = http_client.Client.pause, http_client.STALL_SECONDS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http_client.Client, "pause", lambda *_: None)
    monkeypatch.setattr(http_client, "STALL_SECONDS", 0.3)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def complete(source, tmp_path_factory):
    """The files of a build without any fault."""
    with pytest.MonkeyPatch.context() as patch, serve(source) as server:
        patch.setenv("COURSEKIT_CACHE", str(tmp_path_factory.mktemp("whole")))
        return without_addresses(bytes_of(build_from(server)[0]))


@pytest.fixture
def partial(source):
    """The folder of a built subset that lacks three images, because the server did not have them."""
    names = [line.split("/")[1] for line in sorted(_chosen(source))][:3]
    with serve(source, {f"val2017/{name}": status(404) for name in names}) as server:
        folder, manifest = build_from(server)
    assert len(manifest.missing) == 3
    return folder


def _chosen(source):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_CACHE", str(Path(os.environ["COURSEKIT_CACHE"]).with_name("other")))
        folder, manifest = build_subset(RECIPE, annotations=str(source), images=str(source))
        shutil.rmtree(folder)
    return [entry.file for entry in manifest.files]


def _build_for_real(annotations: str, images: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As in a real build, not as `cache` sets them.
    http_client.Client.pause, http_client.STALL_SECONDS = PAUSE, STALL_SECONDS
    build_subset(RECIPE, annotations=annotations, images=images, jobs=3)


def _start(url, log, work=_build_for_real):
    return start_forked(log, work, f"{url}{ANNOTATIONS.replace('val2017', '{split}')}", url)


def _assert_nothing_hidden(cache):
    assert [path for path in cache.rglob(".*") if path.name != ".gitignore"] == []


def _assert_stops_at_once(process, log):
    assert process.is_alive(), log.read_text()
    os.kill(process.pid, signal.SIGINT)
    process.join(2)
    assert process.exitcode is not None, "still running 2 s after Ctrl-C"
    assert "KeyboardInterrupt" in log.read_text()


STALLS = {
    "nothing for ever": lie("nothing for ever"),
    "one byte at a time: head": lie("one byte at a time: head"),
    "one byte at a time: body": lie("one byte at a time: body"),
    "one byte at a time: chunk": lie("one byte at a time: chunk"),
    "slow redirects": None,  # made in the test, so that each leads to a file that is redirected, too
    "asks to wait": status(503, retry_after=60),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["images", "annotations"])
@pytest.mark.parametrize("name", STALLS)
def test_ctrl_c_ends_a_build_whatever_the_server_does(name, where, source, cache, tmp_path):
    paths = IMAGES if where == "images" else [ANNOTATIONS]
    stall = STALLS[name] or Fault(lie=lambda request: [0.3, *redirect(f"URL{paths[0]}")(request)])
    with serve(source, dict.fromkeys(paths, stall)) as server:
        process = _start(server.url, tmp_path / "log")
        while process.is_alive() and not any(server.requests[path] for path in paths):
            time.sleep(0.01)
        time.sleep(0.3)
        _assert_stops_at_once(process, tmp_path / "log")
    with serve(source) as server:
        build_from(server)
    _assert_nothing_hidden(cache)


@pytest.mark.slow
def test_ctrl_c_ends_a_build_that_gets_no_connection(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # fill the queue of connections, so that the next one hangs
            each.setblocking(False)
            each.connect_ex(address)
        process = _start(f"http://127.0.0.1:{address[1]}/", tmp_path / "log")
        time.sleep(0.7)
        _assert_stops_at_once(process, tmp_path / "log")


def _build_without_names(annotations: str, images: str) -> None:
    socket.getaddrinfo = lambda *_, **__: time.sleep(60)
    _build_for_real(annotations, images)


@pytest.mark.slow
def test_ctrl_c_ends_a_build_that_waits_for_the_address_of_a_server(source, tmp_path):
    process = start_forked(tmp_path / "log", _build_without_names, str(source), "http://nowhere.invalid/")
    time.sleep(0.7)
    _assert_stops_at_once(process, tmp_path / "log")


def test_a_stopped_build_leaves_the_older_subset(partial, source):
    before = bytes_of(partial)
    with serve(source, dict.fromkeys(IMAGES, status(503))) as server, pytest.MonkeyPatch.context() as patch:

        def interrupt(*_):
            raise KeyboardInterrupt

        patch.setattr("coursekit.data.subsets.build.write_annotations", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_from(server)
    assert bytes_of(partial) == before
    assert verify(partial) == []


def test_a_failed_build_leaves_the_older_subset(partial, source):
    before = bytes_of(partial)
    with serve(source, {ANNOTATIONS: status(404)}) as server, pytest.raises(CourseError, match="answered 404"):
        build_from(server)
    assert bytes_of(partial) == before


def test_a_repeated_build_fetches_only_what_is_missing(partial, source, complete, cache):
    with serve(source) as server:
        folder, manifest = build_from(server)
        assert sum(server.requests[path] for path in IMAGES) == 3
    assert folder == partial
    assert manifest.missing == []
    assert without_addresses(bytes_of(folder)) == complete
    _assert_nothing_hidden(cache)


def test_a_repeated_build_repairs_files_that_were_lost(source, complete):
    with serve(source) as server:
        folder, manifest = build_from(server)
        (folder / manifest.files[0].file).unlink()
        (folder / manifest.files[1].file).write_bytes(b"cut")
        (folder / "annotations" / "instances_val2017.json").unlink()
        build_from(server)
    assert without_addresses(bytes_of(folder)) == complete


def _build_slowly(annotations: str, images: str) -> None:
    """Build with pauses between the last steps, so that kills hit them, too."""
    replace, rename, unlink = Path.replace, Path.rename, Path.unlink

    def slowed(real):
        def step(self, *args, **kwargs):
            time.sleep(0.01)
            return real(self, *args, **kwargs)

        return step

    Path.replace, Path.rename, Path.unlink = slowed(replace), slowed(rename), slowed(unlink)
    _build_for_real(annotations, images)


def _killed_builds(seed, kills, source, folder, cache, log, complete):
    """Kill builds over an older subset at random moments. It must be usable after each, and the last one completes."""
    rng = np.random.default_rng(seed)
    with serve(source, bytes_per_second=500_000) as server:
        for number in range(kills):
            process = _start(server.url, log, _build_slowly)
            time.sleep(float(rng.random()) * 0.6)
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL if number % 2 else signal.SIGINT)
            process.join(30)
            assert process.exitcode is not None, log.read_text()
            _assert_usable(folder)
        build_from(server)
    assert without_addresses(bytes_of(folder)) == complete
    assert verify(folder) == []
    _assert_nothing_hidden(cache)


def _assert_usable(folder):
    splits = [load(folder, split) for split in ("train", "val")]
    assert sum(map(len, splits)) >= 13
    assert all(max(image.shape) == 40 for split in splits for image, _ in split)
    assert all((folder / entry.file).stat().st_size == entry.bytes for entry in read_manifest(folder).files)


@pytest.mark.slow
def test_three_kills_over_an_older_subset(source, partial, cache, tmp_path, complete):
    _killed_builds(0, 3, source, partial, cache, tmp_path / "log", complete)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_thirty_kills_over_an_older_subset(seed, source, partial, cache, tmp_path, complete):
    _killed_builds(seed, 4, source, partial, cache, tmp_path / "log", complete)


def _fill_disk(monkeypatch, after):
    """Let the disk be full after some writes."""
    calls = []

    def filling(real, half):
        def write(self, *args, **kwargs):
            calls.append(self)
            if len(calls) > after:
                real(self, half)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
            return real(self, *args, **kwargs)

        return write

    monkeypatch.setattr(Path, "write_bytes", filling(Path.write_bytes, b"half"))
    monkeypatch.setattr(Path, "write_text", filling(Path.write_text, "half"))


@pytest.mark.parametrize("after", [0, 5, 16, 17, 18])
def test_a_full_disk_is_one_sentence_at_every_write(after, partial, source, complete, cache, monkeypatch):
    shutil.rmtree(partial)
    with serve(source) as server:
        with pytest.MonkeyPatch.context() as patch:
            _fill_disk(patch, after)
            with pytest.raises(CourseError, match=r"the disk is full|No space left"):
                build_from(server, jobs=1)
        assert not partial.exists()
        assert not [path for path in cache.rglob("*") if path.is_file() and b"half" in path.read_bytes()[:4]]
        build_from(server)
    assert without_addresses(bytes_of(partial)) == complete
    _assert_nothing_hidden(cache)


def _build_with_small_files(annotations: str, images: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    try:
        build_subset(RECIPE, annotations=annotations, images=images)
    except DataError as error:
        print(f"said: {error}", flush=True)
        raise SystemExit(2) from None


@pytest.mark.slow
def test_a_limit_of_the_system_is_one_sentence(source, tmp_path):
    assert run_forked(tmp_path / "log", _build_with_small_files, str(source), str(source)) == 2
    assert "can't be written (File too large)" in (tmp_path / "log").read_text()


def test_an_unfinished_build_says_what_it_is(source, cache, tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(
        'name = "tiny"\nsource = "coco"\nseed = 1\nimages = { train = 8, val = 8 }\nlong_side = 40\n'
        'split_of = { train = "val2017", val = "val2017" }\n'
    )
    with pytest.raises(DataError, match="not built on this machine yet"):
        find_folder(file)
    with serve(source) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("coursekit.data.subsets.build.write_annotations", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_from(server)
    with pytest.raises(DataError, match=r"tiny.toml: only partly built, 16 images so far. Finish it: coursekit data"):
        load(file, "val")
    for use in (lambda work: load(work, "val"), verify):
        with pytest.raises(DataError, match="a build that hasn't finished, 16 images so far"):
            use(work_folder(subset_folder(RECIPE)))
    with serve(source) as server:
        assert not (build_from(server)[0] / JOURNAL).exists()


def test_two_builds_of_one_recipe_at_once(source):
    with serve(source) as server:
        with locked(subset_folder(RECIPE), wait=False), pytest.raises(CourseError, match="another process is building"):
            build_from(server)
        build_from(server)


def test_annotations_that_are_no_annotations_are_not_kept(source, cache):
    with serve(
        source, {ANNOTATIONS: [lie("web page as an image"), lie("half of the file until the connection closes")]}
    ) as server:
        for _ in range(2):
            with pytest.raises(CourseError, match="not an annotation file of COCO"):
                build_from(server)
        build_from(server)
    _assert_nothing_hidden(cache)
