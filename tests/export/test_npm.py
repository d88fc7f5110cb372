import base64
import hashlib
import io
import tarfile

import pytest

from coursekit.data.subsets.http_client import FetchError
from coursekit.export.npm import ONNXRUNTIME_WEB, Package, npm_files
from tests.data.subsets.http_server import serve, status


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder to serve as a registry with one package, whose files go to a private cache."""
    monkeypatch.setenv("COURSEKIT_CACHE", str(tmp_path / "cache"))
    archive = tmp_path / "registry" / "toy" / "-" / "toy-1.0.0.tgz"
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as content:
        for name, text in (("package/dist/toy.js", b"toy"), ("package/README.md", b"long")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            content.addfile(member, io.BytesIO(text))
    return tmp_path / "registry"


def _package(registry, **changed):
    archive = (registry / "toy" / "-" / "toy-1.0.0.tgz").read_bytes()
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    return Package(
        **{"name": "toy", "version": "1.0.0", "integrity": integrity, "files": ("package/dist/toy.js",)} | changed
    )


def test_the_files_that_are_needed_are_kept_in_the_cache_and_fetched_once(registry, tmp_path):
    package = _package(registry)
    with serve(registry) as server:
        (file,) = npm_files(package, server.url.rstrip("/"))
    assert file.read_bytes() == b"toy"
    assert [path.name for path in (tmp_path / "cache" / "npm" / "toy-1.0.0").iterdir()] == ["toy.js"]
    assert npm_files(package, "http://127.0.0.1:9", tries=1) == [file]  # no server any more


def test_another_file_of_that_name_is_refused_and_not_kept(registry, tmp_path):
    package = _package(registry, integrity=ONNXRUNTIME_WEB.integrity)
    with serve(registry) as server, pytest.raises(FetchError, match="its SHA-512 differs"):
        npm_files(package, server.url.rstrip("/"))
    assert not list((tmp_path / "cache" / "npm").iterdir())


def test_without_a_server_one_sentence_says_so(registry):
    with serve(registry, faults={"toy/-/toy-1.0.0.tgz": status(404)}) as server, pytest.raises(FetchError, match="404"):
        npm_files(_package(registry), server.url.rstrip("/"))
