"""A tiny server on loopback that speaks OpenAI's chat completions and answers as a test has it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What the server says: a status, the body, and how long it rests between two bytes of it."""

    status: int = 200
    body: bytes = b""
    rest_s: float = 0.0


def said(text: str | None) -> Reply:
    """A completion with this text."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return Reply(200, json.dumps({"id": "x", "object": "chat.completion", "choices": [choice]}).encode())


class Scripted:
    """A running server. `asked` are the requests' bodies, each with its path and its key."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, Any]] = []


@contextmanager
def scripted_model(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[Scripted]:
    """Runs a server whose replies are made of the requests; several may be answered at a time."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            body |= {"path": self.path, "key": self.headers.get("Authorization")}
            running.asked.append(body)
            told = reply(body)
            self.send_response(told.status)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            try:
                if not told.rest_s:
                    self.wfile.write(told.body)
                for byte in told.body if told.rest_s else b"":
                    self.wfile.write(bytes([byte]))
                    time.sleep(told.rest_s)
            except OSError:
                return  # whoever asked has gone

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        running = Scripted(f"http://127.0.0.1:{server.server_address[1]}/v1")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
