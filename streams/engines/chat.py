"""A language model behind an endpoint that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, or a hosted one.

One question, one answer, no conversation. What is asked and what answers mean is others' business. Answers are foreign bytes:
their size is bounded, and what is no answer is an error of that question alone.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from threading import Event, Timer
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from models.errors import ConfigError, EngineError, EngineOverloaded, MalformedAnswer, brief

ANSWER_BYTES = 1 << 20  # of a whole response; an answer of 1,000 tokens has some 5,000
_BUSY = frozenset({408, 429, 500, 502, 503, 504})  # what may be over in a while
_MOST_WAIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class ChatSettings:
    """Where the model is, and how it is asked. The key is never here: only the name of the variable that holds it."""

    url: str = ""  # with the version: http://127.0.0.1:8000/v1; empty: there is none
    model: str = ""  # as the endpoint names it
    key_variable: str = "CHAT_API_KEY"  # of the environment; an endpoint of one's own needs none
    timeout_s: float = 120.0  # of one attempt as a whole, however slowly it drips: a large model may think for a minute
    attempts: int = 4  # of a question, with 1, 2 and 4 s between
    max_tokens: int = 1024  # of an answer


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message


class _Completion(Struct):
    choices: list[_Choice]


_decoder = msgspec.json.Decoder(_Completion)


class ChatEndpoint:
    """A model that is asked over HTTP.

    Args:
        settings: where and how.
        environment: holds the key.
        section: of the configuration, for messages.
        sleep: waits between attempts.

    Raises:
        ConfigError: the URL or the model's name is missing, or the URL is not http or https.
    """

    def __init__(
        self,
        settings: ChatSettings,
        environment: Mapping[str, str],
        *,
        section: str = "teacher",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(settings.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            message = f"configuration: {section}.url = {brief(settings.url)!r} must be http://HOST[:PORT]/PATH or https://..."
            raise ConfigError(message)
        if not settings.model:
            message = f"configuration: {section}.model is empty; it must be the model's name at the endpoint"
            raise ConfigError(message)
        self.model_id = settings.model
        self._settings = settings
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/chat/completions"
        self._key = environment.get(settings.key_variable, "")
        self._sleep = sleep

    def ask(self, system: str, question: str, *, schema: Mapping[str, Any] | None = None, seed: int = 0) -> str:
        """The model's answer, at temperature 0.

        Args:
            system: what it is to do; of ours alone.
            question: the material, which may hold foreign text.
            schema: JSON schema of the answer, for endpoints that can be held to one.
            seed: for endpoints that draw all the same.

        Raises:
            MalformedAnswer: what came is no answer.
            EngineOverloaded: it is away or busy after all attempts.
            EngineError: it refuses the question.
        """
        body = json.dumps(self._body(system, question, schema, seed)).encode()
        for attempt in range(self._settings.attempts):
            if attempt:
                self._sleep(min(_MOST_WAIT_S, 2.0 ** (attempt - 1)))
            try:
                status, content = self._post(body)
            except (OSError, HTTPException) as error:
                trouble = f"{type(error).__name__}: {error}"
                continue
            if status == 200:
                return _text_of(content)
            trouble = f"HTTP {status}: {brief(content.decode(errors='replace'))}"
            if status not in _BUSY:
                raise EngineError(f"{self._where()}: {trouble}")  # noqa: EM102
        message = f"{self._where()}: {self._settings.attempts} attempts, the last: {trouble}"
        raise EngineOverloaded(message, retry_after_s=_MOST_WAIT_S)

    def _body(self, system: str, question: str, schema: Mapping[str, Any] | None, seed: int) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        body: dict[str, Any] = {"model": self.model_id, "messages": messages, "temperature": 0, "seed": seed}
        body["max_tokens"] = self._settings.max_tokens
        if schema is not None:
            named = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def _post(self, body: bytes) -> tuple[int, bytes]:
        kind = HTTPSConnection if self._is_secure else HTTPConnection
        connection = kind(self._host, self._port, timeout=self._settings.timeout_s)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            connection.connect()
            with _ended_after(connection.sock, self._settings.timeout_s):
                connection.request("POST", self._path, body, headers)
                response: HTTPResponse = connection.getresponse()
                return response.status, response.read(ANSWER_BYTES + 1)
        finally:
            connection.close()

    def _where(self) -> str:
        return f"model {self.model_id!r} at {self._host}"


@contextmanager
def _ended_after(sock: socket.socket, seconds: float) -> Iterator[None]:
    """Ends the connection when the time is up: a socket's own timeout starts anew with every byte that drips in.

    Raises:
        TimeoutError: it did, and whatever was read by then is no answer.
    """
    expired = Event()

    def end() -> None:
        expired.set()
        with suppress(OSError):  # the other side was faster
            sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if expired.is_set():
            message = f"no whole answer within {seconds:g} s"
            raise TimeoutError(message)


def _text_of(content: bytes) -> str:
    if len(content) > ANSWER_BYTES:
        message = f"answer of over {ANSWER_BYTES} bytes, the bound"
        raise MalformedAnswer(message, content[:1000].decode(errors="replace"))
    try:
        choices = _decoder.decode(content).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"answer: {brief(str(error))}"
        raise MalformedAnswer(message, content[:1000].decode(errors="replace")) from error
    if not choices or choices[0].message.content is None:
        message = "answer: no choice with text"
        raise MalformedAnswer(message, content[:1000].decode(errors="replace"))
    return choices[0].message.content
