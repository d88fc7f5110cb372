"""Builds with a server that misbehaves, and builds that get killed."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from coursekit.core.errors import CourseError, DataError
from coursekit.data import load
from coursekit.data.subsets import fetch_images, http_client
from coursekit.data.subsets.build import build_subset
from coursekit.data.subsets.footprint import estimate, subset_folder
from coursekit.data.subsets.manifest import read_manifest
from coursekit.data.subsets.recipe import Recipe, read_recipe
from coursekit.data.subsets.stored_images import scaled
from coursekit.data.verify import verify
from tests.data.subsets.conftest import COUNT, RECIPE, build_from, bytes_of, without_addresses
from tests.data.subsets.http_server import no_ranges, reset, serve, short, stall, status, web_page
from tests.forked import start_forked

PAUSE, STALL_SECONDS = http_client.Client.pause, http_client.STALL_SECONDS


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http_client.Client, "pause", lambda *_: None)
    monkeypatch.setattr(http_client, "STALL_SECONDS", 0.3)


@pytest.fixture
def complete(source, tmp_path, monkeypatch):
    """The files of a build without any fault."""
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "whole"))
    with serve(source) as server:
        folder, _ = build_from(server)
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    return without_addresses(bytes_of(folder))


def test_only_selected_images_are_downloaded_and_resized_with_their_boxes(source):
    with serve(source) as server:
        folder, manifest = build_from(server)
        assert sum(path.startswith("val2017/") for path in server.requests) == 16
    assert len(manifest.files) == 16
    assert manifest.missing == []
    train, val = load(folder, "train"), load(folder, "val")
    assert not set(train.image_ids) & set(val.image_ids)
    for dataset in (train, val):
        for image, target in (dataset[index] for index in range(8)):
            assert max(image.shape) == 40
            scale = 40 / (80 if image.shape[2] > image.shape[1] else 90)
            assert target["boxes"][0].tolist() == pytest.approx([4 * scale, 6 * scale, 24 * scale, 36 * scale], abs=0.3)
    assert verify(folder) == []


def test_built_subset_is_loaded_by_its_recipe_file(source, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nsource = "coco"\nseed = 1\nimages = { val = 5 }\nsplit_of = { val = "val2017" }\n')
    with pytest.raises(DataError, match=r"not built on this machine yet.*coursekit data build .*mine\.toml"):
        load(file, "val")
    build_subset(read_recipe(file), annotations=str(source), images=str(source))
    assert len(load(file, "val")) == 5
    with pytest.raises(DataError, match=r"other\.toml: can't be read"):
        load("other.toml", "val")


def test_second_build_fetches_nothing(source):
    with serve(source) as server:
        folder, _ = build_from(server)
        before = server.requests.total()
        assert build_from(server)[0] == folder
        assert server.requests.total() == before


def test_build_from_a_folder(source, complete):
    folder, _ = build_subset(RECIPE, annotations=str(source / "annotations"), images=str(source))
    assert without_addresses(bytes_of(folder)) == complete


FAULTS = {
    "503": [status(503), status(503)],
    "429": [status(429, retry_after=1)],
    "reset": [reset(after=100)],
    "stall": [stall(after=100)],
    "short": [short(after=500)],
    "html": [web_page()],
    "no ranges": no_ranges(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_temporary_faults_leave_no_trace(source, complete, name):
    plan = {f"val2017/{n}.jpg": FAULTS[name] for n in range(COUNT)}
    with serve(source, faults=plan) as server:
        folder, manifest = build_from(server)
    assert manifest.missing == []
    assert without_addresses(bytes_of(folder)) == complete


@pytest.mark.parametrize("fault", [status(404), web_page(), short(after=300), status(503)])
def test_missing_image_is_listed_and_the_rest_is_consistent(source, fault):
    with serve(source) as server:
        chosen = build_from(server)[1].files[3].file.split("/")
    with serve(source, faults={f"val2017/{chosen[1]}": fault}) as server:
        recipe = Recipe(**{name: getattr(RECIPE, name) for name in RECIPE.__struct_fields__} | {"name": "again"})
        folder, manifest = build_from(server, recipe)
        assert [image.file for image in manifest.missing] == ["/".join(chosen)]
        assert manifest.missing[0].reason
        assert len(load(folder, "train")) + len(load(folder, "val")) == 15
        assert verify(folder) == []
    with serve(source) as server:
        folder, manifest = build_subset(
            recipe, annotations=server.url + "annotations/instances_{split}.json", images=server.url
        )
        assert manifest.missing == []
        assert sum(path.startswith("val2017/") for path in server.requests) == 1  # only the missing one was tried again


def test_damaged_original_is_listed_with_the_reason(source, tmp_path):
    import shutil

    copy = shutil.copytree(source, tmp_path / "copy")
    for n in range(COUNT):
        path = copy / "val2017" / f"{n}.jpg"
        path.write_bytes(path.read_bytes()[:-2] if n % 2 else path.read_bytes())
    with serve(copy) as server:
        folder, manifest = build_from(server)
    assert 0 < len(manifest.missing) < 16
    assert all("not the image that its record describes" in image.reason for image in manifest.missing)
    assert len(load(folder, "train")) + len(load(folder, "val")) == len(manifest.files)


def test_no_image_at_all_is_an_error(source):
    with serve(source, faults={f"val2017/{n}.jpg": status(404) for n in range(COUNT)}) as server:
        with pytest.raises(DataError, match="none of the 16 images"):
            build_from(server)
        assert not subset_folder(RECIPE).exists()


def test_records_cannot_make_us_read_local_files(source, tmp_path):
    content = json.loads((source / "annotations" / "instances_val2017.json").read_text())
    for image in content["images"]:
        image["coco_url"] = str(source / "val2017" / image["file_name"])
    path = tmp_path / "instances_val2017.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="none of the 16 images"):
        build_subset(RECIPE, annotations=str(path))


def test_file_names_cannot_leave_the_folder(source, tmp_path):
    content = json.loads((source / "annotations" / "instances_val2017.json").read_text())
    for image in content["images"][:4]:
        image["file_name"] = f"../../../escaped-{image['id']}.jpg"
    path = tmp_path / "instances_val2017.json"
    path.write_text(json.dumps(content))
    with serve(source) as server, pytest.warns(UserWarning, match="leads out of the image folder"):
        folder, _ = build_subset(RECIPE, annotations=str(path), images=server.url)
    assert not list(tmp_path.rglob("escaped*"))
    assert len(list(folder.rglob("*.jpg"))) == 16


def test_sources_are_not_mixed(source):
    with serve(source) as server:
        build_from(server)
    with pytest.raises(CourseError, match="already built"):
        build_subset(RECIPE, annotations=str(source / "annotations"), images=str(source))


def test_verify_finds_damaged_changed_missing_and_extra_files(source):
    with serve(source) as server:
        folder, manifest = build_from(server)
    files = [folder / entry.file for entry in manifest.files]
    files[0].write_bytes(files[0].read_bytes()[:-2])
    files[1].write_bytes(files[2].read_bytes())
    files[3].unlink()
    (folder / "train2017" / "new.jpg").write_bytes(b"x")
    records = folder / "annotations" / "instances_val2017.json"
    records.write_text(records.read_text().replace("person", "people"))
    problems = "\n".join(verify(folder))
    assert f"{manifest.files[0].file}: damaged" in problems
    assert f"{manifest.files[1].file}: changed" in problems
    assert f"{manifest.files[3].file}: missing" in problems
    assert "train2017/new.jpg: extra" in problems
    assert "annotations/instances_val2017.json: changed" in problems
    assert len(problems.splitlines()) == 5


def test_sizes_and_estimates():
    assert scaled((480, 640), 320) == (240, 320)
    assert scaled((50, 100), 320) == (50, 100)
    assert scaled((480, 640), 0) == (480, 640)
    assert scaled((1, 1000), 50) == (1, 50)
    assert estimate(RECIPE)["files"] == 16
    everything = Recipe("all", "coco", 1, {"train": 0, "val": 0}, long_side=320)
    assert estimate(everything)["files"] == 123_287
    assert 18e9 < estimate(everything)["download_bytes"] < 22e9


def _build_in_a_process(annotations: str, images: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    http_client.Client.pause, http_client.STALL_SECONDS = (
        PAUSE,
        STALL_SECONDS,
    )  # as in a real build, not as `quick` sets them
    build_subset(RECIPE, annotations=annotations, images=images, jobs=3)


def _start(server, log):
    return start_forked(log, _build_in_a_process, server.url + "annotations/instances_{split}.json", server.url)


def _kill_at_random(source: Path, log: Path, kills: int, seed: int) -> Path:
    """Start a build, kill it after a random number of images, start it again. Let the last one finish."""
    rng = np.random.default_rng(seed)
    with serve(source, bytes_per_second=60_000) as server:
        for _ in range(kills):
            process = _start(server, log)
            enough = server.requests.total() + int(rng.integers(1, 6))
            while process.is_alive() and server.requests.total() < enough:
                time.sleep(0.005)
            time.sleep(float(rng.random()) * 0.05)
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL if rng.random() < 0.7 else signal.SIGINT)
            process.join(60)
            assert process.exitcode is not None, log.read_text()
    if subset_folder(RECIPE).exists():  # it finished before it was killed; another address would be refused
        return subset_folder(RECIPE)
    with serve(source) as server:
        process = _start(server, log)
        process.join(60)
        assert process.exitcode == 0, log.read_text()
    return subset_folder(RECIPE)


@pytest.mark.slow
def test_killed_builds_end_with_the_samebytes_of(source, complete, tmp_path):
    folder = _kill_at_random(source, tmp_path / "log", kills=3, seed=0)
    assert without_addresses(bytes_of(folder)) == complete
    assert not list(folder.parent.glob(".*"))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_kills(source, complete, tmp_path, seed):
    folder = _kill_at_random(source, tmp_path / "log", kills=10, seed=seed)
    assert without_addresses(bytes_of(folder)) == complete


def test_full_disk_is_reported_and_the_build_continues_later(source, complete, monkeypatch):
    import errno

    real, written = fetch_images.new_file, []

    def filling(path):
        written.append(path)
        if len(written) > 5 and path.suffix == ".jpg":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path)

    monkeypatch.setattr(fetch_images, "new_file", filling)
    with serve(source) as server:
        with pytest.raises(DataError, match=r"the disk is full.*continues where it stopped"):
            build_from(server, jobs=1)
        monkeypatch.setattr(fetch_images, "new_file", real)
        folder, _ = build_from(server)
    assert without_addresses(bytes_of(folder)) == complete
    assert threading.active_count() < 20
    assert read_manifest(folder) is not None
