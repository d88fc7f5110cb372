import random
import zipfile

import httpx2
import pytest

from coursekit import __version__
from coursekit.data.subsets import fetch_zip_member as zip_member
from coursekit.data.subsets import http_client
from coursekit.data.subsets.fetch_file import fetch, fetch_file
from coursekit.data.subsets.fetch_zip_member import fetch_zip_member
from coursekit.data.subsets.http_client import FetchError, make_client
from tests.data.subsets.http_server import (
    Fault,
    no_ranges,
    reset,
    serve,
    set_time,
    short,
    stall,
    status,
    web_page,
    wrong_length,
    wrong_range,
)

SIZE = 300_000
TEMPORARY = {
    "503": status(503),
    "429": status(429, retry_after=7),
    "reset": reset(),
    "reset within": reset(after=SIZE // 3),
    "stall": stall(),
    "stall within": stall(after=SIZE // 3),
    "short": short(after=SIZE // 3),
    "short by one": short(after=SIZE - 1),
    "length too large": wrong_length(10),
    "length too small": wrong_length(-10),
    "web page": web_page(),
    "wrong range": wrong_range(1),
}


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """Record the waits between tries in seconds, instead of waiting."""
    waited = []
    monkeypatch.setattr(http_client.Client, "pause", lambda _, seconds: waited.append(seconds))
    return waited


@pytest.fixture(scope="module")
def client():
    """A client that notices stalls quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_client, "STALL_SECONDS", 0.15)
        with make_client(2) as made:
            yield made


@pytest.fixture
def folder(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    (served / "a.bin").write_bytes(random.Random(0).randbytes(SIZE))
    (served / "empty.bin").touch()
    return served


@pytest.fixture
def body(folder):
    return (folder / "a.bin").read_bytes()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "made" / "b.bin"


def beside(target):
    return sorted(path.name for path in target.parent.iterdir()) if target.parent.exists() else []


def get(how, client, url, target, **options):
    if how == "fetch":
        return fetch(client, url, **options)
    fetch_file(client, url, target, **options)
    return target.read_bytes()


both = pytest.mark.parametrize("how", ["fetch", "fetch_file"])


@both
@pytest.mark.parametrize("name", ["a.bin", "empty.bin"])
def test_server_without_faults(how, name, client, folder, target):
    with serve(folder) as server:
        assert get(how, client, server.url + name, target) == (folder / name).read_bytes()
        assert server.headers[name][0]["User-Agent"] == f"coursekit/{__version__}"
    assert beside(target) in ([], ["b.bin"])


@both
@pytest.mark.parametrize("fault", TEMPORARY.values(), ids=TEMPORARY.keys())
def test_temporary_fault(how, fault, client, folder, body, target, waits):
    with serve(folder, {"a.bin": [fault]}) as server:
        assert get(how, client, server.url + "a.bin", target) == body
    assert len(waits) == 1
    assert beside(target) in ([], ["b.bin"])


@both
@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (status(503), "the server answered 503 Service Unavailable"),
        (status(429, retry_after="Wed, 21 Oct 2099 07:28:00 GMT"), "the server answered 429 Too Many Requests"),
        (reset(), "the connection broke"),
        (stall(), "no data for 0.15 s"),
        (short(), "the connection broke"),
        (wrong_length(10), "wrong Content-Length"),
        (wrong_length(-10), "wrong Content-Length"),
        (web_page(), "a web page instead of the file"),
    ],
)
def test_permanent_fault(how, fault, text, client, folder, target, waits):
    with serve(folder, {"a.bin": fault}) as server:
        with pytest.raises(FetchError, match=text) as raised:
            get(how, client, server.url + "a.bin", target, tries=3)
        assert str(raised.value).startswith(server.url + "a.bin: ")
        assert "(tries: 3). Check the connection" in str(raised.value)
        assert server.requests["a.bin"] == 3
    assert len(waits) == 2
    assert beside(target) == []


@both
@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_refusal_is_final(how, code, client, folder, target):
    with serve(folder, {"a.bin": status(code)}) as server:
        with pytest.raises(FetchError, match=f"answered {code}.*Check the address"):
            get(how, client, server.url + "a.bin", target)
        assert server.requests["a.bin"] == 1
    assert beside(target) == []


@both
def test_no_server(how, client, folder, target):
    with serve(folder) as server:
        url = server.url
    with pytest.raises(FetchError, match="the connection broke"):
        get(how, client, url + "a.bin", target)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "no address", "http://127.0.0.1:port/"])
def test_invalid_address(url, client):
    with pytest.raises(FetchError, match="Check the address"):
        fetch(client, url)


def test_fault_does_not_affect_the_next_request(client, folder, body):
    """A Content-Length too small leaves bytes in the connection. The next request must not read them as its answer."""
    with serve(folder, {"a.bin": [wrong_length(-10)]}) as server:
        assert [fetch(client, server.url + "a.bin") for _ in range(3)] == [body] * 3


def test_connections_are_reused(client, folder):
    with serve(folder) as server:
        for _ in range(5):
            fetch(client, server.url + "a.bin")
        assert server.connections == 1


def test_waits_grow_and_are_reproducible(client, folder, waits):
    with serve(folder, {"a.bin": status(500)}) as server:
        for _ in range(2):
            with pytest.raises(FetchError):
                fetch(client, server.url + "a.bin")
    assert waits[:4] == waits[4:]
    for n, wait in enumerate(waits[:4]):
        assert 0.25 * 2**n <= wait <= 0.5 * 2**n


def test_waits_that_the_server_asks_for_are_limited(client, folder, waits):
    with serve(folder, {"a.bin": [status(429, retry_after=7), status(503, retry_after=100_000)]}) as server:
        fetch(client, server.url + "a.bin")
    assert waits == [7, http_client.LONGEST_WAIT]


@both
def test_server_without_ranges(how, client, folder, body, target):
    with serve(folder, {"a.bin": [Fault(after=1000, ranges=False), no_ranges()]}) as server:
        assert get(how, client, server.url + "a.bin", target) == body
        assert server.sent["a.bin"] == SIZE + 1000


@both
def test_server_that_always_sends_the_wrong_range(how, client, folder, body, target):
    with serve(folder, {"a.bin": wrong_range(5)}) as server:
        assert get(how, client, server.url + "a.bin", target) == body


def test_only_the_missing_part_is_requested_again(client, folder, body, target):
    seen = []
    with serve(folder, {"a.bin": [short(100_000), short(50_000)]}) as server:
        fetch_file(client, server.url + "a.bin", target, on_bytes=seen.append)
        assert server.sent["a.bin"] == SIZE
        assert server.ranges["a.bin"] == ["bytes=0-", "bytes=100000-", "bytes=150000-"]
        assert all("If-Range" in headers for headers in server.headers["a.bin"][1:])
    assert target.read_bytes() == body
    assert sum(seen) == SIZE


@pytest.mark.parametrize("validators", [True, False])
def test_later_call_continues(validators, client, folder, body, target):
    with serve(folder, {"a.bin": [short(100_000)]}, validators=validators) as server:
        with pytest.raises(FetchError):
            fetch_file(client, server.url + "a.bin", target, tries=1)
        assert beside(target) == [".b.bin.part", ".b.bin.part.json"]
        seen = []
        fetch_file(client, server.url + "a.bin", target, on_bytes=seen.append)
        assert server.sent["a.bin"] == SIZE
    assert target.read_bytes() == body
    assert beside(target) == ["b.bin"]
    assert sum(seen) == SIZE


def test_call_killed_before_renaming(client, folder, body, target):
    with serve(folder, {"a.bin": [short(SIZE - 1)]}) as server:
        with pytest.raises(FetchError):
            fetch_file(client, server.url + "a.bin", target, tries=1)
        part = target.with_name(".b.bin.part")
        part.write_bytes(body)
        fetch_file(client, server.url + "a.bin", target)
        assert server.sent["a.bin"] == SIZE
    assert target.read_bytes() == body


@pytest.mark.parametrize(
    ("validators", "length"), [(True, SIZE), (True, SIZE - 7), (True, 50), (False, SIZE - 7), (False, 50)]
)
def test_changed_file_is_fetched_again(validators, length, client, folder, body, target):
    with serve(folder, {"a.bin": [short(100_000)]}, validators=validators) as server:
        with pytest.raises(FetchError):
            fetch_file(client, server.url + "a.bin", target, tries=1)
        new = bytes(reversed(body[:length]))
        (folder / "a.bin").write_bytes(new)
        set_time(folder / "a.bin", 1_000_000_000)
        seen = []
        fetch_file(client, server.url + "a.bin", target, on_bytes=seen.append)
    assert target.read_bytes() == new
    assert beside(target) == ["b.bin"]
    assert sum(seen) == length


@pytest.mark.parametrize("note", [None, b"", b"{", b"[]", b'{"etag":"x","modified":"","length":null}'])
def test_part_of_unknown_origin_is_not_used(note, client, folder, body, target):
    target.parent.mkdir()
    target.with_name(".b.bin.part").write_bytes(b"?" * 1000)
    if note is not None:
        target.with_name(".b.bin.part.json").write_bytes(note)
    with serve(folder) as server:
        fetch_file(client, server.url + "a.bin", target)
    assert target.read_bytes() == body
    assert beside(target) == ["b.bin"]


def test_tries_with_progress_are_not_counted(client, folder, body, target, monkeypatch):
    monkeypatch.setattr(http_client, "PROGRESS", 10_000)
    with serve(folder, {"a.bin": short(20_000)}) as server:
        fetch_file(client, server.url + "a.bin", target, tries=2)
        assert server.sent["a.bin"] == SIZE
    assert target.read_bytes() == body


def test_tries_without_progress_are_counted(client, folder, target, monkeypatch):
    monkeypatch.setattr(http_client, "PROGRESS", 10_000)
    with serve(folder, {"a.bin": Fault(after=50_000, ranges=False)}) as server:
        with pytest.raises(FetchError):
            fetch_file(client, server.url + "a.bin", target, tries=3)
        assert server.requests["a.bin"] <= 4


@pytest.mark.slow
@both
@pytest.mark.parametrize("seed", range(25))
def test_random_faults_end_well_or_in_one_error(how, seed, client, folder, body, target):
    rng = random.Random(seed)
    faults = [*TEMPORARY.values(), no_ranges(), None]
    plan = [rng.choice(faults) for _ in range(12)]
    with serve(folder, {"a.bin": plan}, validators=bool(seed % 3)) as server:
        for _ in range(4):
            try:
                assert get(how, client, server.url + "a.bin", target) == body
                break
            except FetchError:
                assert not target.exists()
        else:
            pytest.fail("12 faults can't make 4 × 5 tries fail")
    assert beside(target) in ([], ["b.bin"])


def test_old_target_stays_until_the_new_one_is_complete(client, folder, body, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    with serve(folder, {"a.bin": [short(100_000)]}) as server:
        with pytest.raises(FetchError):
            fetch_file(client, server.url + "a.bin", target, tries=1)
        assert target.read_bytes() == b"old"
        fetch_file(client, server.url + "a.bin", target)
    assert target.read_bytes() == body


def test_target_that_cannot_be_written(client, folder, target):
    target.mkdir(parents=True)
    with serve(folder) as server, pytest.raises(FetchError, match="can't be written"):
        fetch_file(client, server.url + "a.bin", target)


@pytest.fixture
def archive(folder):
    """A zip archive: a compressed member among others. The first is most of the file."""
    rng = random.Random(1)
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("large.bin", rng.randbytes(1_000_000))
        file.writestr("annotations/val.json", b'{"images": []}' * 20_000, zipfile.ZIP_DEFLATED)
        file.writestr("../evil.json", b"evil")
        file.writestr("last.bin", rng.randbytes(200_000))
    return path


def member_of(archive, name):
    with zipfile.ZipFile(archive) as file:
        return file.read(name)


@pytest.mark.parametrize("member", ["annotations/val.json", "large.bin", "last.bin", "../evil.json"])
def test_member_of_an_archive(member, client, folder, archive, target, monkeypatch):
    monkeypatch.setattr(zip_member, "BLOCK", 20_000)
    seen = []
    with serve(folder) as server:
        fetch_zip_member(client, server.url + "all.zip", member, target, on_bytes=seen.append)
        assert sum(seen) == server.sent["all.zip"]
        packed = zipfile.ZipFile(archive).getinfo(member).compress_size
        assert server.sent["all.zip"] < packed + 60_000
    assert target.read_bytes() == member_of(archive, member)
    assert beside(target) == ["b.bin"]
    assert not (target.parent.parent / "evil.json").exists()


@pytest.mark.parametrize("seed", range(8))
def test_member_despite_faults(seed, client, folder, archive, target, monkeypatch):
    monkeypatch.setattr(zip_member, "BLOCK", 300_000)
    rng = random.Random(seed)
    faults = [*TEMPORARY.values(), no_ranges(), None, None]
    with serve(folder, lambda path, attempt: rng.choice(faults) if attempt < 12 else None) as server:
        for _ in range(4):
            try:
                fetch_zip_member(client, server.url + "all.zip", "large.bin", target)
                break
            except FetchError:
                assert not target.exists()
    assert target.read_bytes() == member_of(archive, "large.bin")


@pytest.mark.parametrize("fault", [no_ranges(), wrong_range()])
def test_whole_archive_from_a_server_without_ranges(fault, client, folder, archive, target):
    with serve(folder, {"all.zip": fault}) as server:
        fetch_zip_member(client, server.url + "all.zip", "annotations/val.json", target)
    assert target.read_bytes() == member_of(archive, "annotations/val.json")
    assert beside(target) == ["b.bin"]


@pytest.mark.parametrize("plan", [[], no_ranges()])
def test_missing_member(plan, client, folder, archive, target):
    with serve(folder, {"all.zip": plan}) as server, pytest.raises(FetchError, match="no member 'annotations/no.json'"):
        fetch_zip_member(client, server.url + "all.zip", "annotations/no.json", target)
    assert beside(target) == []


@pytest.mark.parametrize("plan", [[], no_ranges()])
@pytest.mark.parametrize("member", ["large.bin", "annotations/val.json"])
def test_damaged_member_is_an_error(plan, member, client, folder, archive, target):
    content = bytearray(archive.read_bytes())
    start = zipfile.ZipFile(archive).getinfo(member).header_offset
    content[start + 200] ^= 0xFF
    archive.write_bytes(content)
    with serve(folder, {"all.zip": plan}) as server, pytest.raises(FetchError, match="the archive is damaged"):
        fetch_zip_member(client, server.url + "all.zip", member, target)
    assert beside(target) == []


@pytest.mark.parametrize("name", ["a.bin", "empty.bin"])
def test_file_that_is_no_archive(name, client, folder, target):
    with serve(folder) as server, pytest.raises(FetchError, match="the archive is damaged"):
        fetch_zip_member(client, server.url + name, "x", target)
    assert beside(target) == []


def test_missing_archive(client, folder, target):
    with serve(folder) as server, pytest.raises(FetchError, match="answered 404"):
        fetch_zip_member(client, server.url + "no.zip", "x", target)


def test_throttle_of_the_test_server(client, folder):
    with serve(folder, bytes_per_second=1_000_000) as server:
        assert httpx2.get(server.url + "a.bin").elapsed.total_seconds() > 0.25
