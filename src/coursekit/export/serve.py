"""Serve a folder of static files to this machine's browsers: they load neither WebAssembly nor cameras from a file."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from coursekit.core.errors import ConfigError

HOST = "127.0.0.1"  # nobody else can reach it


class _Handler(SimpleHTTPRequestHandler):
    # Windows may know other types for these, with which a browser refuses them.
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # a model that was exported anew has the same name
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: requests are of no interest to the user."""


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a folder, on this machine only. It listens; `serve_forever` makes it answer.

    Args:
        folder: the folder.
        port: 0 takes a free one.

    Raises:
        ConfigError: the port is taken, or there is no such port.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(folder)))
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "ports go up to 65535"
        raise ConfigError(f"--port {port}: can't be used ({reason}). Choose another one.") from None


def serve(server: ThreadingHTTPServer) -> None:
    """Answer until Ctrl-C, then free the port."""
    with server:
        print(f"Open http://localhost:{server.server_port} in a browser. Ctrl-C stops the server.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
