"""The page of `seren label` over HTTP, for one person on this machine.

It listens on loopback alone. Every call must name this server as its host, so that no page elsewhere can reach it by a name
that it made point here, and carry the session's key, which only the printed address holds. What comes from outside (titles,
tags, reasons) is data that the script writes as text; the page's own policy lets nothing else run.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from models.errors import DecodeError, LogError
from streams.alignment.labelling.session import Session

_HOST = "127.0.0.1"
_BODY_BYTES = 4_096  # an answer has some 100
_CLIENT_S = 30.0  # a client that sends nothing for so long is hung up on
_JSON, _HTML = "application/json", "text/html; charset=utf-8"

_Reply = tuple[int, str, bytes]


class LabelServer:
    """The running page; a context manager.

    Args:
        session: whose.
        port: 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, session: Session, *, port: int = 0) -> None:
        key = secrets.token_urlsafe(16)
        handler = type("Handler", (_Handler,), {"session": session, "key": key, "page": _page()})
        self._server = ThreadingHTTPServer((_HOST, port), handler)
        self._server.daemon_threads = True
        self.url = f"http://{_HOST}:{self._server.server_address[1]}/?key={key}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> LabelServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    session: Session
    key: str
    page: bytes
    timeout = _CLIENT_S
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The page, or the state."""
        parts = urlsplit(self.path)
        if parts.path == "/":
            self._answer(parse_qs(parts.query).get("key", [""])[0], lambda: (200, _HTML, self.page))
        elif parts.path == "/state":
            self._answer(self.headers.get("X-Key", ""), lambda: _json(self.session.state()))
        else:
            self._send(404, _JSON, b'{"error":"no such page"}')

    def do_POST(self) -> None:
        """An answer, or that the last one is taken back."""
        path = urlsplit(self.path).path
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _BODY_BYTES:
            self.close_connection = True
            self._send(413, _JSON, b'{"error":"a body of 0 to 4096 bytes with its length is needed"}')
            return
        body = self.rfile.read(int(length))
        if path == "/decide":
            self._answer(self.headers.get("X-Key", ""), lambda: _json(self.session.decide(body)))
        elif path == "/undo":
            self._answer(self.headers.get("X-Key", ""), lambda: _json(self.session.undo()))
        else:
            self._send(404, _JSON, b'{"error":"no such page"}')

    def log_message(self, *args: Any) -> None:
        """Nothing: the terminal is the person's."""

    def _answer(self, key: str, made: Callable[[], _Reply]) -> None:
        port = self.connection.getsockname()[1]
        if self.headers.get("Host", "") not in (f"{_HOST}:{port}", f"localhost:{port}"):
            self._send(403, _JSON, b'{"error":"this page is for its own address alone"}')
        elif not hmac.compare_digest(key.encode(), self.key.encode()):
            self._send(403, _JSON, b'{"error":"the address lacks its key; use the one that seren label printed"}')
        else:
            try:
                self._send(*made())
            except DecodeError as error:
                self._send(400, _JSON, msgspec.json.encode({"error": str(error)}))
            except LogError as error:
                self._send(500, _JSON, msgspec.json.encode({"error": str(error)}))

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)


def _json(state: dict[str, Any]) -> _Reply:
    return 200, _JSON, msgspec.json.encode(state)


def _page() -> bytes:
    """The page with its style and script, and the policy that lets only these two work."""
    style, script, page = (_read(f"label.{kind}") for kind in ("css", "js", "html"))
    for name, text in (("style_hash", _hash(style)), ("script_hash", _hash(script)), ("style", style), ("script", script)):
        page = page.replace(f"{{{{{name}}}}}", text)
    return page.encode()


def _read(name: str) -> str:
    return (files("streams.alignment.labelling") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
