"""The page of a `tracker.web.Dashboard` over HTTP, from this process and with nothing from elsewhere.

Who may do what: on this machine's own address everybody here may look and steer, and a `Host` of another name is
refused, so that no foreign site can reach the page through a browser (DNS rebinding). On any other address a token is
asked for as well. Every change needs an `Origin` equal to the host: other sites' pages cannot make any.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from tracker.web import Dashboard, MovedOnError, NotReadyError
from tracker.web_page import PAGE, SCRIPT, STYLE

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
MAX_CONNECTIONS = 32  # at once; a browser keeps up to six
MAX_BODY = 4096  # bytes
SILENCE = 15.0  # seconds that a browser may neither send nor take anything
LONGEST_LOOK = 10.0  # seconds until a request for something new is answered that there is none
SEND_BUFFER = 128 * 1024  # bytes on their way to a slow browser: about two pictures, so that it sees the present

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FILES = {
    "/": ("text/html; charset=utf-8", PAGE.encode()),
    "/page.css": ("text/css; charset=utf-8", STYLE.encode()),
    "/page.js": ("text/javascript; charset=utf-8", SCRIPT.encode()),
}


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``HOST``, ``PORT``, ``:PORT`` or ``[IPv6]:PORT`` → (host, port); port 0 is any free one.

    Raises:
        ValueError: neither of these, or a port above 65535.
    """
    if text.isdecimal():
        host, port = DEFAULT_HOST, text
    elif text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not (port or str(DEFAULT_PORT)).isdecimal() or int(port or DEFAULT_PORT) > 65535 or "/" in host:
        raise ValueError(f"expected HOST:PORT or PORT, got {text!r}")
    return host or DEFAULT_HOST, int(port or DEFAULT_PORT)


def is_local(host: str) -> bool:
    """Whether a name or address is this machine's loopback, whatever a name server says."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class WebServer:
    """Serves a dashboard; a context manager. The page is there before the tracker is, and until tracking is over.

    Args:
        page: what is shown.
        host: address to listen on.
        port: 0 for any free one.

    Raises:
        OSError: the address cannot be listened on; the message says why.

    Attributes:
        token: what a browser must know, ``None`` on this machine's own address.
        url: where the page is, with the token.
    """

    def __init__(self, page: Dashboard, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> None:
        self.page = page
        self.token = None if is_local(host) else secrets.token_urlsafe(16)
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._server = _Server(page, self.token, family, address)
        except (OSError, OverflowError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise OSError(f"the page cannot be served on {host}:{port}: {what}; name another HOST:PORT") from error
        bound = self._server.server_address[1]
        shown = host if not _is_any(host) else _own_address()
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{bound}/"
        self.url += f"?token={self.token}" if self.token else ""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="web page", daemon=True)

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.page.finish("tracking has ended")
        if self.page.watched:
            time.sleep(0.3)  # the last picture and the reason reach those who look
        self._server.shutdown()
        self._server.server_close()


def _is_any(host: str) -> bool:
    """Whether an address stands for all of this machine's: 0.0.0.0 or ::."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _own_address() -> str:
    """An address of this machine that others may reach; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # set aside for documentation: RFC 5737
        return str(probe.getsockname()[0])
    return socket.gethostname()


class _Server(ThreadingHTTPServer):
    """At most `MAX_CONNECTIONS` at once, each in a thread that no slow browser can keep alive for long."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, page: Dashboard, token: str | None, family: int, address: Any) -> None:
        self.address_family = family  # type: ignore[misc,assignment]
        self.page, self.token = page, token
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(address[:2], _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks a name server for this machine's name, and may wait for long.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.settimeout(0.05)
            request.recv(65536)  # what is left unread would reset the connection before the answer is seen
            request.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 17\r\nConnection: close\r\n\r\ntoo many viewers\n")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "siamtrack", ""
    timeout = SILENCE
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal belongs to the tracker."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Every refusal in one form, those of the base class too: JSON with the reason; the connection is closed."""
        self.close_connection = True
        reason = json.dumps({"error": message or self.responses.get(code, ("refused", ""))[0]}).encode()
        self._send(code, "application/json", reason, {"Connection": "close"})

    def do_GET(self) -> None:
        if not self._admitted():
            return
        url = _split(self.path)
        if url.path == "/" and "token" in url.query:
            cookie = f"{self._cookie}={self.server.token or ''}; HttpOnly; SameSite=Strict; Path=/"
            self._send(303, "text/plain", b"", {"Location": "/", "Set-Cookie": cookie})
        elif url.path in FILES:
            self._send(200, *FILES[url.path])
        elif url.path == "/view":
            self._view(parse_qs(url.query).get("after", [""])[0])
        elif url.path == "/history":
            self._send(200, "application/json", json.dumps(self.server.page.history()).encode())
        else:
            self.send_error(404, "there is no such page")

    def do_POST(self) -> None:
        if not self._admitted() or not self._from_own_page():
            return
        if _split(self.path).path != "/do":
            self.send_error(404, "there is no such page")
            return
        try:
            wish = self._body()
            answer = act(self.server.page, wish) if wish is not None else None
        except KeyError as error:
            self.send_error(404, str(error.args[0]))
        except MovedOnError as error:
            self.send_error(409, str(error))
        except NotReadyError as error:
            self.send_error(503, str(error))
        except ValueError as error:
            self.send_error(400, str(error))
        except RuntimeError as error:
            self.send_error(500, str(error))
        else:
            if answer is not None:
                self._send(200, "application/json", json.dumps(answer).encode())

    def _view(self, after: str) -> None:
        """The newest picture, with what there is to say of it in a header, as soon as that is newer than `after`."""
        state, picture = self.server.page.look(int(after[:18]) if after[:18].isdecimal() else None, LONGEST_LOOK)
        self._send(200 if picture else 204, "image/jpeg", picture, {"X-State": json.dumps(state)})

    def _body(self) -> dict[str, Any] | None:
        """The request's JSON object; ``None`` if it was refused for its size or type."""
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.send_error(411, "Content-Length is missing")
        elif len(length) > 9 or int(length) > MAX_BODY:
            self.send_error(413, f"the request is larger than {MAX_BODY} bytes")
        elif self.headers.get_content_type() != "application/json":
            self.send_error(415, "the request must be application/json")
        else:
            try:
                wish = json.loads(self.rfile.read(int(length)))
            except (ValueError, RecursionError) as error:
                raise ValueError("the request is not valid JSON") from error
            if not isinstance(wish, dict):
                raise ValueError("the request must be a JSON object")
            return wish
        return None

    # ------------------------------------------------------------------ who may

    @property
    def _cookie(self) -> str:
        return f"siamtrack{self.server.server_address[1]}"  # cookies of a host are shared by its ports

    def _admitted(self) -> bool:
        """Whether the request comes by an own name and with the token; otherwise it is answered here."""
        host = _split(f"//{self.headers.get('Host', '')}").hostname or ""
        if self.server.token is None:
            if is_local(host):
                return True
            self.send_error(403, "this page is served to this machine only, as localhost")
        elif not any(hmac.compare_digest(self.server.token.encode(), one.encode()) for one in self._tokens()):
            self.send_error(403, "the token is missing or wrong: open the whole address that the tracker printed")
        else:
            return True
        return False

    def _tokens(self) -> list[str]:
        """The tokens that came with the request: in the address, a cookie, or an Authorization header."""
        found = parse_qs(_split(self.path).query).get("token", [])[:1]
        with suppress(CookieError):
            found += [
                morsel.value
                for name, morsel in SimpleCookie(self.headers.get("Cookie", "")).items()
                if name == self._cookie
            ]
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        return found + [value] if scheme == "Bearer" else found

    def _from_own_page(self) -> bool:
        """Whether the page that asks for a change is ours; otherwise the request is answered here."""
        origin = _split(self.headers.get("Origin", ""))
        if origin.scheme in ("http", "https") and origin.netloc == self.headers.get("Host"):
            return True
        self.send_error(403, "changes are taken from this page only (Origin does not match)")
        return False

    def _send(self, code: int, kind: str, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {**HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        if code != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def act(page: Dashboard, wish: dict[str, Any]) -> dict[str, Any]:
    """Do what the page's script asks for: ``{"action": ..., ...}``; the answer for it.

    Raises:
        ValueError: an unknown action, or an argument is missing or of the wrong type.
        KeyError, MovedOnError, NotReadyError: see `Dashboard.start`.
    """
    action = wish.get("action")
    if action == "start":
        id = wish.get("id")
        return {"id": page.start(wish.get("box"), _whole(wish, "frame"), None if id is None else _whole(wish, "id"))}
    if action == "remove":
        page.remove(_whole(wish, "id"))
    elif action in ("pause", "hold", "pace"):
        on = wish.get("on")
        if not isinstance(on, bool):
            raise ValueError(f"on must be true or false, got {on!r}")
        {"pause": page.pause, "hold": page.hold, "pace": page.pace}[action](on)
    elif action == "stop":
        page.stop()
    else:
        raise ValueError(f"unknown action {action!r}")
    return {}


def _split(address: str) -> SplitResult:
    """The parts of an address; all empty if it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _whole(wish: dict[str, Any], name: str) -> int:
    value = wish.get(name)
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return value
