"""The viewer as a server: `palpate view` shows the samples of run folders to browsers of this machine, and changes nothing.

An address names a scene, a model, an image and what to show of it by numbers; no part of an address becomes a path. Requests are answered only
where they come from this machine and name it as their host, so that no web page elsewhere can read the images through a reader's browser.
"""

import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from palpate.core.errors import InputError
from palpate.report import images
from palpate.report.section import render, source
from palpate.report.stages import open_tables
from palpate.report.viewer import embedded
from palpate.report.viewer.scenes import TARGETS, Scene, scenes

LOOPBACK = "127.0.0.1"

POLICY = "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; connect-src 'self'; "
HEADERS = {
    "Content-Security-Policy": POLICY + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

EMPTY = images.Picture("image/png", images.photo(np.zeros((3, 1, 1), np.float32)).data)
"""One pixel, sent in place of a map that is empty or that the model does not have."""

Answer = tuple[str, bytes]
"""A media type and what is sent."""


class Server(ThreadingHTTPServer):
    """Serves the scenes of some runs; `url` is where it is found."""

    daemon_threads = True

    def __init__(self, found: Sequence[Scene], title: str, port: int):
        self.scenes, self.title = tuple(found), title
        super().__init__((LOOPBACK, port), Handler)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; every other request is refused."""

    server: Server
    protocol_version, server_version, sys_version = "HTTP/1.1", "palpate", ""

    def do_GET(self) -> None:
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        self._send(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: a line per picture helps nobody."""

    def _send(self, with_body: bool) -> None:
        hosts = [[f"{name}:{self.server.server_port}"] for name in (LOOPBACK, "localhost")]
        if (self.headers.get_all("Host") or []) not in hosts:
            self._answer(HTTPStatus.FORBIDDEN, ("text/plain", b"This server answers its own machine only."), with_body)
            return
        found = answer(self.server, self.path)
        absent = "text/plain", b"There is nothing at this address."
        self._answer(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, found or absent, with_body)

    def _answer(self, status: HTTPStatus, found: Answer, with_body: bool) -> None:
        self.send_response(status)
        kept = found[0].startswith("image/")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", found[0])
        self.send_header("Content-Length", str(len(found[1])))
        self.send_header("Cache-Control", "private, max-age=3600" if kept else "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(found[1])


def open_server(runs: Sequence[Path], port: int) -> Server:
    """Open run folders and bind a port of this machine; `serve_forever()` of the result begins to answer.

    Args:
        runs: run folders, complete or not.
        port: 0 for any free one.

    Raises:
        InputError: a folder is no run, no run holds samples, or the port is not free.
    """
    tables = [open_tables(run) for run in dict.fromkeys(Path(run).resolve() for run in runs)]
    found = scenes(tables)
    problems = [problem for one in tables for problem in one.problems]
    if not found:
        why = "; ".join(problems) or "no attack of these runs is complete"
        raise InputError(f"{', '.join(map(str, runs))}: no sample images to show ({why}); finish the study first")
    try:
        return Server(found, " and ".join(one.study.title or one.study.name for one in tables), port)
    except (OSError, OverflowError) as error:
        raise InputError(f"--port {port}: cannot be used ({error}); choose another, or 0 for any free one") from None


def answer(server: Server, address: str) -> Answer | None:
    """What is sent for an address; None where there is nothing."""
    if address == "/":
        keys = [{"key": scene.key, "title": scene.title} for scene in server.scenes]
        return "text/html; charset=utf-8", str(render("viewer.html", title=server.title, scenes=keys)).encode()
    if address == "/viewer.js":
        return "text/javascript; charset=utf-8", (source("shots.js") + source("viewer.js")).encode()
    if address == "/viewer.css":
        return "text/css; charset=utf-8", (source("style.css") + source("viewer.css")).encode()
    named = re.fullmatch(r"/(scene|photo|difference|map)((?:/[0-9]{1,9}){1,6})", address)
    if named is None:
        return None
    scene, *numbers = (int(part) for part in named[2].split("/")[1:])
    parts = {"scene": 0, "photo": 3, "difference": 3, "map": 5}
    if len(numbers) != parts[named[1]]:
        return None
    try:
        if named[1] == "scene":
            text = json.dumps(server.scenes[scene].to_dict(), separators=(",", ":"), allow_nan=False)
            return "application/json", text.encode()
        return (_map if named[1] == "map" else _photo)(server.scenes[scene], named[1], *numbers)
    except IndexError:
        return None


def _photo(scene: Scene, kind: str, view: int, step: int, image: int) -> Answer | None:
    difference, one = kind == "difference", scene.views[view]
    whole = scene, one, step, image, images.WHOLE.side
    found = embedded.difference(*whole) if difference else embedded.photo(one, step, image)
    return None if found is None else (found.mime, found.data)


def _map(scene: Scene, kind: str, view: int, method: int, step: int, target: int, image: int) -> Answer | None:
    one = scene.views[view]
    name = list(one.samples.maps)[method]
    if target >= len(TARGETS) or step >= len(scene.epsilons) or image >= len(scene.ids):
        return None
    found = embedded.grey_map(one, name, step, target, image) or EMPTY
    return found.mime, found.data
