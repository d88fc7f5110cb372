import threading
import urllib.error
import urllib.request

import pytest

from coursekit.core.errors import ConfigError
from coursekit.export.serve import make_server


@pytest.fixture
def server(tmp_path):
    for name in ("page.js", "run.mjs", "run.wasm", "index.html"):
        (tmp_path / name).write_text("x")
    with make_server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("file", "type_"),
    [
        ("page.js", "text/javascript"),
        ("run.mjs", "text/javascript"),
        ("run.wasm", "application/wasm"),
        ("", "text/html"),
    ],
)
def test_a_browser_accepts_the_types_of_the_files(server, file, type_):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{file}") as response:
        assert response.headers.get_content_type() == type_
        assert response.headers["Cache-Control"] == "no-cache"


def test_only_this_machine_is_served(server):
    assert server.server_address[0] == "127.0.0.1"


def test_nothing_above_the_folder_is_served(server, tmp_path):
    (tmp_path.parent / "secret.txt").write_text("x")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/../secret.txt")


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_does_not_exist_is_named(tmp_path, port):
    with pytest.raises(ConfigError, match=f"--port {port}: can't be used"):
        make_server(tmp_path, port)


def test_a_port_that_is_taken_is_named(server, tmp_path):
    with pytest.raises(ConfigError, match=f"--port {server.server_port}: can't be used"):
        make_server(tmp_path, server.server_port)
