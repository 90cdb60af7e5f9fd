"""`palpate view` answers its own machine, reads the run and nothing else, and never writes."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from tests.runs import unmake
from typer.testing import CliRunner

from palpate.cli.main import application
from palpate.core.errors import InputError
from palpate.report.viewer.server import Server, open_server


@pytest.fixture(scope="module")
def server(whole_run) -> Iterator[Server]:
    with open_server([whole_run], 0) as opened:
        thread = threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


def ask(server: Server, path: str, method="GET", host: str | None = None) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    found = connection.getresponse()
    body = found.read()
    connection.close()
    return found, body


def pixels(body: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found[..., ::-1].transpose(2, 0, 1)


def test_it_serves_the_shell_the_scene_and_the_pictures(server):
    found, body = ask(server, "/")
    assert found.status == 200
    assert b"viewer.js" in body
    assert "default-src 'none'" in (found.getheader("Content-Security-Policy") or "")
    scene = json.loads(ask(server, "/scene/0")[1])
    assert scene["ids"][0] == "test_0000"
    stored = server.scenes[0].views[1].samples
    np.testing.assert_array_equal(pixels(ask(server, "/photo/0/1/0/2")[1]), np.rint(stored.clean[2] * 255))
    np.testing.assert_array_equal(pixels(ask(server, "/photo/0/1/3/2")[1]), np.rint(stored.adversarial[2, 2] * 255))
    moved = 100 * (stored.adversarial[2, 2].astype(float) - stored.clean[2])
    expected = np.rint(np.clip(0.5 + moved, 0, 1) * 255)
    np.testing.assert_array_equal(pixels(ask(server, "/difference/0/1/3/2")[1]), expected)
    assert pixels(ask(server, "/map/0/1/0/0/0/1")[1]).shape == (3, 64, 64)
    assert pixels(ask(server, "/map/0/1/0/3/0/0")[1]).shape == (3, 1, 1)  # an empty map
    found, body = ask(server, "/scene/0", "HEAD")
    assert (found.status, body) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../study.json", "/study.json", "/%2e%2e/study.json", "//etc/passwd", "/etc/passwd", "/photo/0/0/0/../../study.json",
        "/photo/9/0/0/0", "/photo/0/9/0/0", "/photo/0/0/99/0", "/photo/0/0/0/99", "/photo/0/0/0/-1", "/photo/0/0/0", "/map/0/0/9/0/0/0",
        "/map/0/0/0/0/2/0", "/difference/0/0/0/0/0", "/scene/2", "/scene/0?x=1", "/photo/0/0/0/99999999999999999999", "/scene/%D9%A3",
        "/viewer.py", "/server.py", "/report.html",
    ],
)  # fmt: skip
def test_every_other_path_is_refused(server, path):
    found, body = ask(server, path)
    assert found.status == 404
    assert body == b"There is nothing at this address."


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}"]
)
def test_another_host_is_refused(server, host):
    found, body = ask(server, "/scene/0", host=host.format(port=server.server_port))
    assert found.status in (400, 403)
    assert b"test_0000" not in body


def test_localhost_is_this_machine(server):
    assert ask(server, "/", host=f"localhost:{server.server_port}")[0].status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(server, method):
    assert ask(server, "/", method)[0].status == 501


def test_it_listens_on_loopback_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_a_thousand_samples_open_within_two_seconds(make_run):
    run = make_run(tasks={"phantom-skin": ["a", "b"]}, weak=(), samples=1000, n=1250, size=32)
    begun = time.process_time()
    with open_server([run], 0) as opened:
        opening = time.process_time() - begun
        assert len(opened.scenes[0].to_dict()["ids"]) == 1000
        assert opening < 2


def test_what_cannot_be_shown_is_refused_in_a_sentence(make_run, tmp_path):
    with pytest.raises(InputError, match=r"study\.json"):
        open_server([tmp_path], 0)
    run = make_run(samples=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="choose another"):
            open_server([run], taken.getsockname()[1])
    for file in run.glob("attack-*/stage.json"):
        unmake(file)
    with pytest.raises(InputError, match="no sample images"):
        open_server([run], 0)


def test_the_command_prints_the_address(make_run, monkeypatch):
    monkeypatch.setattr(Server, "serve_forever", lambda self: None)
    done = CliRunner().invoke(application(), ["view", str(make_run(samples=1)), "--port", "0"])
    assert done.exit_code == 0, done.output
    assert "http://127.0.0.1:" in done.output
