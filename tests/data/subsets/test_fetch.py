import random
import zipfile

import httpx
import pytest

from coursekit import __version__
from coursekit.data.subsets import fetch as module
from coursekit.data.subsets.fetch import FetchError, fetch, fetch_file, fetch_zip_member, make_client
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
PASSING = {
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
    """The seconds that would have been waited."""
    waited = []
    monkeypatch.setattr(module, "sleep", waited.append)
    return waited


@pytest.fixture(scope="module")
def client():
    """One that notices stalls fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STALL_SECONDS", 0.15)
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
def test_a_sound_server(how, name, client, folder, target):
    with serve(folder) as server:
        assert get(how, client, server.url + name, target) == (folder / name).read_bytes()
        assert server.headers[name][0]["User-Agent"] == f"coursekit/{__version__}"
    assert beside(target) in ([], ["b.bin"])


@both
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING.keys())
def test_a_fault_that_passes(how, fault, client, folder, body, target, waits):
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
        (stall(), "nothing came for 0.15 s"),
        (short(), "the connection broke"),
        (wrong_length(10), "wrong Content-Length"),
        (wrong_length(-10), "wrong Content-Length"),
        (web_page(), "a web page came instead of the file"),
    ],
)
def test_a_fault_that_stays(how, fault, text, client, folder, target, waits):
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
def test_a_refusal_is_final(how, code, client, folder, target):
    with serve(folder, {"a.bin": status(code)}) as server:
        with pytest.raises(FetchError, match=f"answered {code}.*Check the address"):
            get(how, client, server.url + "a.bin", target)
        assert server.requests["a.bin"] == 1
    assert beside(target) == []


@both
def test_nobody_answers(how, client, folder, target):
    with serve(folder) as server:
        url = server.url
    with pytest.raises(FetchError, match="the connection broke"):
        get(how, client, url + "a.bin", target)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "no address", "http://127.0.0.1:port/"])
def test_an_address_that_is_none(url, client):
    with pytest.raises(FetchError, match="Check the address"):
        fetch(client, url)


def test_a_fault_leaves_the_connection_to_others_sound(client, folder, body):
    """A Content-Length too small leaves bytes in the connection, which the next request must not take for an answer."""
    with serve(folder, {"a.bin": [wrong_length(-10)]}) as server:
        assert [fetch(client, server.url + "a.bin") for _ in range(3)] == [body] * 3


def test_connections_are_kept(client, folder):
    with serve(folder) as server:
        for _ in range(5):
            fetch(client, server.url + "a.bin")
        assert server.connections == 1


def test_waits_grow_and_are_the_same_in_each_run(client, folder, waits):
    with serve(folder, {"a.bin": status(500)}) as server:
        for _ in range(2):
            with pytest.raises(FetchError):
                fetch(client, server.url + "a.bin")
    assert waits[:4] == waits[4:]
    for n, wait in enumerate(waits[:4]):
        assert 0.25 * 2**n <= wait <= 0.5 * 2**n


def test_the_server_may_ask_for_a_wait_but_not_for_an_age(client, folder, waits):
    with serve(folder, {"a.bin": [status(429, retry_after=7), status(503, retry_after=100_000)]}) as server:
        fetch(client, server.url + "a.bin")
    assert waits == [7, module.LONGEST_WAIT]


@both
def test_a_server_with_no_ranges(how, client, folder, body, target):
    with serve(folder, {"a.bin": [Fault(after=1000, ranges=False), no_ranges()]}) as server:
        assert get(how, client, server.url + "a.bin", target) == body
        assert server.sent["a.bin"] == SIZE + 1000


@both
def test_a_server_that_never_sends_the_right_range(how, client, folder, body, target):
    with serve(folder, {"a.bin": wrong_range(5)}) as server:
        assert get(how, client, server.url + "a.bin", target) == body


def test_after_a_cut_only_the_rest_is_asked_for(client, folder, body, target):
    seen = []
    with serve(folder, {"a.bin": [short(100_000), short(50_000)]}) as server:
        fetch_file(client, server.url + "a.bin", target, on_bytes=seen.append)
        assert server.sent["a.bin"] == SIZE
        assert server.ranges["a.bin"] == ["bytes=0-", "bytes=100000-", "bytes=150000-"]
        assert all("If-Range" in headers for headers in server.headers["a.bin"][1:])
    assert target.read_bytes() == body
    assert sum(seen) == SIZE


@pytest.mark.parametrize("validators", [True, False])
def test_a_later_call_goes_on(validators, client, folder, body, target):
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


def test_a_call_killed_before_the_renaming(client, folder, body, target):
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
def test_a_file_that_changed_comes_anew(validators, length, client, folder, body, target):
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
def test_a_part_of_unknown_origin_is_not_used(note, client, folder, body, target):
    target.parent.mkdir()
    target.with_name(".b.bin.part").write_bytes(b"?" * 1000)
    if note is not None:
        target.with_name(".b.bin.part.json").write_bytes(note)
    with serve(folder) as server:
        fetch_file(client, server.url + "a.bin", target)
    assert target.read_bytes() == body
    assert beside(target) == ["b.bin"]


def test_tries_that_get_on_are_not_counted(client, folder, body, target, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 10_000)
    with serve(folder, {"a.bin": short(20_000)}) as server:
        fetch_file(client, server.url + "a.bin", target, tries=2)
        assert server.sent["a.bin"] == SIZE
    assert target.read_bytes() == body


def test_tries_that_get_no_further_are_counted(client, folder, target, monkeypatch):
    monkeypatch.setattr(module, "PROGRESS", 10_000)
    with serve(folder, {"a.bin": Fault(after=50_000, ranges=False)}) as server:
        with pytest.raises(FetchError):
            fetch_file(client, server.url + "a.bin", target, tries=3)
        assert server.requests["a.bin"] <= 4


@both
@pytest.mark.parametrize("seed", range(25))
def test_faults_at_random_end_well_or_in_one_error(how, seed, client, folder, body, target):
    dice = random.Random(seed)
    faults = [*PASSING.values(), no_ranges(), None]
    plan = [dice.choice(faults) for _ in range(12)]
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


def test_an_old_target_stays_until_the_new_one_is_whole(client, folder, body, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    with serve(folder, {"a.bin": [short(100_000)]}) as server:
        with pytest.raises(FetchError):
            fetch_file(client, server.url + "a.bin", target, tries=1)
        assert target.read_bytes() == b"old"
        fetch_file(client, server.url + "a.bin", target)
    assert target.read_bytes() == body


def test_a_target_that_cannot_be_written(client, folder, target):
    target.mkdir(parents=True)
    with serve(folder) as server, pytest.raises(FetchError, match="can't be written"):
        fetch_file(client, server.url + "a.bin", target)


@pytest.fixture
def archive(folder):
    """Small members around a packed one; the first takes most of the place."""
    dice = random.Random(1)
    path = folder / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("large.bin", dice.randbytes(1_000_000))
        file.writestr("annotations/val.json", b'{"images": []}' * 20_000, zipfile.ZIP_DEFLATED)
        file.writestr("../evil.json", b"evil")
        file.writestr("last.bin", dice.randbytes(200_000))
    return path


def member_of(archive, name):
    with zipfile.ZipFile(archive) as file:
        return file.read(name)


@pytest.mark.parametrize("member", ["annotations/val.json", "large.bin", "last.bin", "../evil.json"])
def test_a_member_of_an_archive(member, client, folder, archive, target, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 20_000)
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
def test_a_member_in_spite_of_faults(seed, client, folder, archive, target, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 300_000)
    dice = random.Random(seed)
    faults = [*PASSING.values(), no_ranges(), None, None]
    with serve(folder, lambda path, attempt: dice.choice(faults) if attempt < 12 else None) as server:
        for _ in range(4):
            try:
                fetch_zip_member(client, server.url + "all.zip", "large.bin", target)
                break
            except FetchError:
                assert not target.exists()
    assert target.read_bytes() == member_of(archive, "large.bin")


@pytest.mark.parametrize("fault", [no_ranges(), wrong_range()])
def test_a_whole_archive_where_the_server_has_no_ranges(fault, client, folder, archive, target):
    with serve(folder, {"all.zip": fault}) as server:
        fetch_zip_member(client, server.url + "all.zip", "annotations/val.json", target)
    assert target.read_bytes() == member_of(archive, "annotations/val.json")
    assert beside(target) == ["b.bin"]


@pytest.mark.parametrize("plan", [[], no_ranges()])
def test_a_member_that_is_missing(plan, client, folder, archive, target):
    with serve(folder, {"all.zip": plan}) as server, pytest.raises(FetchError, match="no member 'annotations/no.json'"):
        fetch_zip_member(client, server.url + "all.zip", "annotations/no.json", target)
    assert beside(target) == []


@pytest.mark.parametrize("plan", [[], no_ranges()])
@pytest.mark.parametrize("member", ["large.bin", "annotations/val.json"])
def test_a_damaged_member_is_noticed(plan, member, client, folder, archive, target):
    content = bytearray(archive.read_bytes())
    start = zipfile.ZipFile(archive).getinfo(member).header_offset
    content[start + 200] ^= 0xFF
    archive.write_bytes(content)
    with serve(folder, {"all.zip": plan}) as server, pytest.raises(FetchError, match="the archive is damaged"):
        fetch_zip_member(client, server.url + "all.zip", member, target)
    assert beside(target) == []


@pytest.mark.parametrize("name", ["a.bin", "empty.bin"])
def test_no_archive_at_all(name, client, folder, target):
    with serve(folder) as server, pytest.raises(FetchError, match="the archive is damaged"):
        fetch_zip_member(client, server.url + name, "x", target)
    assert beside(target) == []


def test_an_archive_that_is_not_there(client, folder, target):
    with serve(folder) as server, pytest.raises(FetchError, match="answered 404"):
        fetch_zip_member(client, server.url + "no.zip", "x", target)


def test_the_servers_throttle(client, folder):
    with serve(folder, bytes_per_second=1_000_000) as server:
        assert httpx.get(server.url + "a.bin").elapsed.total_seconds() > 0.25
