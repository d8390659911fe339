"""The page over HTTP, on the loopback, with a loop that runs in a thread of its own."""

from __future__ import annotations

import http.client
import json
import runpy
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker import web_server
from tracker.frame import Frame
from tracker.web import Dashboard
from tracker.web_server import MAX_BODY, WebServer, is_local, parse_address

STAND_INS = runpy.run_path(str(Path(__file__).with_name("web_stand_ins.py")))
BOX, Standing, picture = (STAND_INS[name] for name in ("BOX", "Standing", "picture"))
JSON = {"Content-Type": "application/json"}


class Loop:
    """A tracking loop over endless frames, its page and its server."""

    def __init__(self, host: str = "127.0.0.1", paused: bool = False) -> None:
        self.page = Dashboard("clip", fps=100, paused=paused, realtime=True)
        self.server = WebServer(self.page, host, 0)
        self.port = int(self.server.url.split("?")[0].rsplit(":", 1)[1].rstrip("/"))
        self.tracker = Standing()
        self.index = 0
        self.going = True
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Loop:
        self.server.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.page.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.page._seen = 0.0  # nobody to wait for
        self.server.__exit__(None, None, None)

    def _run(self) -> None:
        while self.going:
            self.going, _ = self.page.show(picture(self.index), self.tracker.results, self.tracker)
            self.index += 1

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            reply = connection.getresponse()
            return reply.status, dict(reply.headers), reply.read()
        finally:
            connection.close()

    def do(self, headers: dict[str, str] | None = None, **wish: Any) -> tuple[int, Any]:
        own = {**JSON, "Origin": f"http://127.0.0.1:{self.port}", **(headers or {})}
        status, _, body = self.ask("POST", "/do", json.dumps(wish).encode(), own)
        return status, json.loads(body)

    def state(self, **headers: str) -> dict[str, Any]:
        status, answer, _ = self.ask("GET", "/view", headers=headers)
        assert status == 200
        return dict(json.loads(answer["X-State"]))


@pytest.fixture(scope="module")
def endless() -> Iterator[Loop]:
    with Loop() as loop:
        yield loop


@pytest.fixture
def loop(endless: Loop) -> Loop:
    endless.page.pause(False)
    return endless


def test_from_the_first_box_to_a_restart(loop: Loop) -> None:
    with Loop(paused=True) as loop:
        assert loop.state()["paused"]
        assert loop.do(action="start", box=BOX, frame=0) == (200, {"id": 1})
        assert loop.do(action="start", box=[30, 20, 9, 9], frame=0) == (200, {"id": 2})
        assert loop.do(action="pause", on=False) == (200, {})
        while loop.state()["frame"] == 0:
            time.sleep(0.01)
        assert loop.do(action="start", box=BOX, frame=0)[0] == 409
        assert loop.do(action="pause", on=True) == (200, {})
        now = loop.state()["frame"]
        while (newer := loop.state()["frame"]) != now:
            now = newer
        assert loop.do(action="start", box=[1, 2, 3, 4], frame=now, id=1) == (200, {"id": 1})
        boxes = {target["id"]: target["box"] for target in loop.state()["targets"]}
        assert boxes == {1: [1, 2, 3, 4], 2: [30, 20, 9, 9]}
        assert loop.do(action="remove", id=2) == (200, {})
        assert [target["id"] for target in loop.state()["targets"]] == [1]
        assert loop.do(action="pause", on=False) == (200, {})
        time.sleep(0.1)
        history = json.loads(loop.ask("GET", "/history")[2])
        assert history[-1][1] == {"1": 1.0}
        assert loop.do(action="stop") == (200, {})
        loop._thread.join(5)
        assert not loop.going


def test_pictures_follow_each_other_on_one_connection(loop: Loop) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", loop.port, timeout=10)
    numbers, after = [], ""
    for _ in range(4):
        connection.request("GET", f"/view?after={after}")
        reply = connection.getresponse()
        assert reply.read()[:3] == b"\xff\xd8\xff"
        numbers.append(after := json.loads(reply.headers["X-State"])["number"])
    connection.close()
    assert sorted(set(numbers)) == numbers


def test_the_page_needs_nothing_from_elsewhere_and_allows_nothing_from_there(loop: Loop) -> None:
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        status, headers, body = loop.ask("GET", path)
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind)
        assert b"//" not in body.replace(b"// ", b"")  # no address of another site
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
@pytest.mark.parametrize("path", ["/", "/view", "/history", "/page.js"])
def test_other_names_of_this_machine_are_refused(loop: Loop, host: str, path: str) -> None:
    status, _, body = loop.ask("GET", path, headers={"Host": host.format(port=loop.port)})
    assert status == 403
    assert b"this machine only" in body


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "localhost:9"])
def test_own_names_are_not(loop: Loop, host: str) -> None:
    assert loop.ask("GET", "/", headers={"Host": host.format(port=loop.port)})[0] == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:{port}.x",
        "[",
    ],
)
def test_changes_from_other_origins_are_refused(loop: Loop, origin: str) -> None:
    before = loop.state()["paused"]
    status, answer = loop.do({"Origin": origin.format(port=loop.port)}, action="pause", on=not before)
    assert (status, loop.state()["paused"]) == (403, before)
    assert "Origin" in answer["error"]


def test_a_change_without_an_origin_is_refused(loop: Loop) -> None:
    assert loop.ask("POST", "/do", b'{"action": "stop"}', JSON)[0] == 403
    assert loop.going


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{" + b" " * MAX_BODY + b"}", JSON, 413),
        (b"", {**JSON, "Content-Length": "99999999999999999999"}, 413),
        (b"{}", {**JSON, "Content-Length": "-1"}, 411),
        (b"{}", {**JSON, "Transfer-Encoding": "chunked"}, 411),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{", JSON, 400),
        (b"[" * MAX_BODY, JSON, 400),
        (b"\xff", JSON, 400),
        (b"[1]", JSON, 400),
        (b"{}", JSON, 400),
        (b'{"action": "start"}', JSON, 400),
        (b'{"action": "start", "frame": 1e3, "box": [1, 2, 3, 4]}', JSON, 400),
        (b'{"action": "start", "frame": true, "box": [1, 2, 3, 4]}', JSON, 400),
        (b'{"action": "remove", "id": "1"}', JSON, 400),
        (b'{"action": "remove", "id": 77}', JSON, 404),
        (b'{"action": "pause", "on": 1}', JSON, 400),
        (b'{"action": ["pause"], "on": true}', JSON, 400),
        (b'{"action": "__init__"}', JSON, 400),
    ],
)
def test_bad_requests_are_refused_with_a_reason(loop: Loop, body: bytes, headers: dict[str, str], status: int) -> None:
    got, _, answer = loop.ask("POST", "/do", body, {"Origin": f"http://127.0.0.1:{loop.port}", **headers})
    assert got == status
    assert json.loads(answer)["error"]
    assert loop.going


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/../etc/passwd", 404), ("POST", "/", 404), ("PUT", "/do", 501),
     ("GET", "/view?after=-1", 200), ("GET", "/view?after=" + "9" * 5000, 200)],
)  # fmt: skip
def test_other_addresses(loop: Loop, method: str, path: str, status: int) -> None:
    assert loop.ask(method, path, headers={"Origin": f"http://127.0.0.1:{loop.port}"})[0] == status


def test_another_address_asks_for_the_token() -> None:
    with Loop("0.0.0.0") as loop:
        token = loop.server.token
        assert token
        assert loop.server.url.endswith(f"/?token={token}")
        for path in ("/", "/view", "/history", f"/?token={token[:-1]}", "/?token=", "/view?token=%ff"):
            status, _, body = loop.ask("GET", path)
            assert (status, b"token" in body) == (403, True)
        for wrong in ("Bearer wrong", f"Basic {token}", "Bearer \xe9"):
            assert loop.do({"Authorization": wrong}, action="stop")[0] == 403
        assert loop.do({"Cookie": f"siamtrack{loop.port}=wrong"}, action="stop")[0] == 403
        assert loop.going

        status, headers, _ = loop.ask("GET", f"/?token={token}")
        assert (status, headers["Location"]) == (303, "/")  # the token does not stay in the address
        assert "HttpOnly" in headers["Set-Cookie"]
        assert "SameSite=Strict" in headers["Set-Cookie"]
        cookie = {"Cookie": headers["Set-Cookie"].split(";")[0]}
        assert loop.ask("GET", "/view", headers=cookie)[0] == 200
        assert loop.do({**cookie, "Origin": "http://evil.example"}, action="stop")[0] == 403
        assert loop.going
        assert loop.do(cookie, action="pause", on=True)[0] == 200
        assert loop.do({"Authorization": f"Bearer {token}"}, action="pause", on=False)[0] == 200


def test_too_many_browsers_are_turned_away_and_let_in_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "MAX_CONNECTIONS", 3)
    with Loop() as loop:
        idle = [socket.create_connection(("127.0.0.1", loop.port)) for _ in range(3)]
        time.sleep(0.2)
        status, _, body = loop.ask("GET", "/")
        assert (status, body) == (503, b"too many viewers\n")
        before = loop.index
        time.sleep(0.2)
        assert loop.index > before
        for connection in idle:
            connection.close()
        deadline = time.monotonic() + 5
        while loop.ask("GET", "/")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_browsers_that_do_not_read_or_vanish_never_hold_up_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server._Handler, "timeout", 0.5)
    noise = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    with Loop() as loop:
        started = threading.active_count()
        loop.page.show = lambda frame, *rest, show=loop.page.show: show(  # type: ignore[method-assign]
            Frame(frame.index, frame.timestamp, noise), *rest
        )
        many = b"".join(b"GET /view HTTP/1.1\r\nHost: localhost\r\n\r\n" for _ in range(200))
        deaf = [socket.create_connection(("127.0.0.1", loop.port)) for _ in range(4)]
        for connection in deaf:
            connection.sendall(many)  # far more pictures than fit into the buffers, none of them read
        gone = socket.create_connection(("127.0.0.1", loop.port))
        gone.sendall(b"GET /view?after=0 HTTP/1.1\r\nHost: local")  # half a request
        gone.close()
        before = loop.index
        time.sleep(0.5)
        assert loop.index - before >= 5
        deadline = time.monotonic() + 10  # and the server lets go of them by itself
        while threading.active_count() > started:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for connection in deaf:
            connection.close()
        assert loop.state()["phase"] == "tracking"


def test_an_address_in_use_is_named(loop: Loop) -> None:
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{loop.port}: Address already in use"):
        WebServer(Dashboard("other"), "127.0.0.1", loop.port)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("127.0.0.1", 8765)),
        ("9000", ("127.0.0.1", 9000)),
        (":9000", ("127.0.0.1", 9000)),
        ("0.0.0.0", ("0.0.0.0", 8765)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::]", ("::", 8765)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["host:port", "1:2:3", "70000", "http://localhost:80", "localhost:-1"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("LOCALHOST", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_what_is_local(host: str, local: bool) -> None:
    assert is_local(host) is local
