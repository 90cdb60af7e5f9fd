"""Fetching a file: from a server on this machine, cut short, changed, and without a network."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from palpate.core.errors import InputError
from palpate.data.download import Download, fetch

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: several blocks


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/absent.npz":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(10**15 if self.path == "/huge.npz" else len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:1000] if self.path in ("/cut.npz", "/huge.npz") else CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def described(url: str, name: str, content: bytes = CONTENT, kind: str = "sha256") -> Download:
    return Download(name, f"{url}/{name}", f"{kind}:{hashlib.new(kind, content, usedforsecurity=False).hexdigest()}")


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_file_is_fetched_once_and_whole(url: str, tmp_path: Path, kind: str) -> None:
    path = fetch(described(url, "a.npz", kind=kind), tmp_path / "medmnist")
    assert path.read_bytes() == CONTENT
    path.write_bytes(b"put here by hand")
    assert fetch(described(url, "a.npz"), tmp_path / "medmnist").read_bytes() == b"put here by hand"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.npz", r"absent.npz cannot be downloaded \(HTTP 404 Not Found\); get http"),
        ("cut.npz", r"SHA256 \w{64} where \w{64} is published|cannot be downloaded"),
        ("huge.npz", r"huge.npz needs 1000000.00 GB and"),
    ],
)
def test_a_failed_download_leaves_nothing_behind(url: str, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fetch(described(url, name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_content_than_published_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"SHA256 .* put it at .*a\.npz"):
        fetch(described(url, "a.npz", b"other"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_error_names_the_file_and_its_place(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=rf"a.npz cannot be downloaded \(.*\); get http://.* put it at {tmp_path / 'a.npz'}"
    ):
        fetch(described("http://127.0.0.1:9", "a.npz"), tmp_path)  # nobody listens there
