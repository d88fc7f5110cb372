"""The second time, a large annotation file isn't read, and the result is the same."""

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from coursekit.data import index, index_cache
from coursekit.data.index import CocoIndex


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Keep the index of every file, however small or recent; return the folder."""
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "LEAST_SIZE", 0)
    monkeypatch.setattr(index_cache, "SETTLED_SECONDS", -1)
    return tmp_path / "cache" / "indexes"


@pytest.fixture
def path(coco_folder):
    return coco_folder / "annotations" / "instances_train2017.json"


def _edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _load(path: Path):
    """Return the fields of the index, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fields = vars(CocoIndex.load(path))
    plain = {
        name: (value.dtype, value.shape, value.tolist()) if isinstance(value, np.ndarray) else value
        for name, value in fields.items()
    }
    return plain, [str(warning.message) for warning in caught]


def _is_read(path: Path, monkeypatch) -> bool:
    """Load a file, and return whether it was read."""
    calls = []
    with monkeypatch.context() as context:
        context.setattr(index, "read_records", lambda *args, **kw: calls.append(args) or read_records(*args, **kw))
        _load(path)
    return bool(calls)


read_records = index.read_records

CHANGES = {
    "sound": lambda content: None,
    "no annotations": lambda content: content.update(annotations=[]),
    "names in other scripts": lambda content: (
        content["images"][0].update(file_name="フォト 1.jpg", coco_url="http://é/\ud800\n\0"),
        content["categories"][0].update(name="çà"),
    ),
    "faults and remarks": lambda content: (
        content["annotations"][0].update(bbox=None),
        content["annotations"][1].update(area=None),
        content["images"][2].update(id="photo", width=None),
        content["annotations"].append({"image_id": "photo", "category_id": 1}),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_second_time_gives_the_same_index_and_warnings(kept, path, monkeypatch, name):
    _edit(path, CHANGES[name])
    first = _load(path)
    assert len(list(kept.iterdir())) == 1
    assert not _is_read(path, monkeypatch)
    assert _load(path) == first
    assert (name == "faults and remarks") == bool(first[1])


def test_warnings_name_the_path_of_this_time(kept, path, monkeypatch):
    _edit(path, CHANGES["faults and remarks"])
    _load(path)
    monkeypatch.chdir(path.parent)
    fields, messages = _load(Path(path.name))
    assert fields["path"] == Path(path.name)
    assert all(message.startswith(f"{path.name}: ") for message in messages)
    assert len(list(kept.iterdir())) == 1


def test_a_change_of_the_file_is_noticed(kept, path, monkeypatch):
    _load(path)
    state = path.stat()
    _edit(path, lambda content: content["annotations"][2].update(bbox=[1, 0, 40, 40]))  # as long as before
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert _is_read(path, monkeypatch)
    assert [1, 0, 40, 40] in _load(path)[0]["boxes"][2]


def test_another_file_in_its_place_is_noticed(kept, path, monkeypatch):
    _load(path)
    path.unlink()
    shutil.copy2(path.with_name("instances_val2017.json"), path)
    assert _is_read(path, monkeypatch)
    assert len(_load(path)[0]["image_ids"][2]) == 2


def _flip(position):
    return lambda content: content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


DAMAGES = {
    **{f"byte {position}": _flip(position) for position in (0, 100, 700, -100, -21, -20, -12, -8, -1)},
    "cut short": lambda content: content[:-9],
    "longer": lambda content: content + b"\0",
    "another format": lambda content: content.replace(b'{"format":1', b'{"format":9'),
    "empty": lambda content: b"",
    "foreign": lambda content: b"cos\nsystem\n(S'exit 1'\ntR.",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_index_is_ignored_and_replaced(kept, path, monkeypatch, name):
    first = _load(path)
    (file,) = kept.iterdir()
    file.write_bytes(DAMAGES[name](file.read_bytes()))
    assert _is_read(path, monkeypatch)
    assert not _is_read(path, monkeypatch)
    assert _load(path) == first


def test_an_index_of_another_format_is_ignored(kept, path, monkeypatch):
    _load(path)
    monkeypatch.setattr(index_cache, "FORMAT", 0)
    assert _is_read(path, monkeypatch)


def test_other_columns_are_ignored(kept, path, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(index_cache, "COLUMNS", ("boxes",))
        _load(path)
    assert _is_read(path, monkeypatch)


def test_a_cache_that_cannot_be_written_to_is_no_error(kept, path):
    kept.parent.write_text("a file")
    assert _load(path)[1] == []
    assert _load(path)[1] == []


def test_a_full_disk_is_no_error(kept, path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_cache, "_write", fail)
    assert _load(path)[1] == []
    assert list(kept.iterdir()) == []


def test_what_cannot_be_kept_is_no_error(kept, path):
    _edit(path, lambda content: content["images"][2].update(id="\ud83d", width=None))
    assert len(_load(path)[1]) == 1
    assert list(kept.iterdir()) == []


def test_small_files_and_recent_ones_are_not_kept(kept, path, monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(index_cache, "LEAST_SIZE", path.stat().st_size + 1)
        _load(path)
    monkeypatch.setattr(index_cache, "SETTLED_SECONDS", 60)
    _load(path)
    assert not kept.exists()


def test_a_file_that_changes_while_it_is_read_is_not_kept(kept, path, monkeypatch):
    def change(*args, **options):
        records = read_records(*args, **options)
        path.write_text(path.read_text() + " ")
        return records

    monkeypatch.setattr(index, "read_records", change)
    _load(path)
    assert not kept.exists()


def test_the_least_recently_used_are_removed(kept, path, monkeypatch):
    files = [path.with_name(f"{number}.json") for number in range(4)]
    for number, file in enumerate(files):
        shutil.copy(path, file)
        _load(file)
        for place in kept.iterdir():  # an hour passes
            state = place.stat()
            os.utime(place, ns=(state.st_atime_ns, state.st_mtime_ns - 3600 * 10**9))
        if number == 2:
            _load(files[0])
            monkeypatch.setattr(index_cache, "MOST_BYTES", 3 * state.st_size)
    assert [_is_read(file, monkeypatch) for file in (files[0], files[2], files[3])] == [False] * 3
    assert _is_read(files[1], monkeypatch)


def test_a_changed_array_does_not_change_what_is_kept(kept, path):
    first = _load(path)
    again = CocoIndex.load(path)
    again.boxes[:] = 0
    assert _load(path) == first


def test_outlines_are_not_kept(kept, path):
    CocoIndex.load(path, segmentation=True)
    assert not kept.exists()
    assert CocoIndex.load(path, segmentation=True).segmentations is not None
