"""A Redis that can be asked over an unreliable network: refuses, answers late or not at all, dies, comes back with less.

`Server` is the one Redis of a world; a `Client` stands for redis-py in one process, so that the real stores run over it.
Knows nothing about seren's values.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from redis import exceptions

from streams.lua.scripts import Argument
from streams.simulation.chance import Chance
from streams.simulation.keyspace import Keyspace, evaluate
from streams.simulation.loop import SERVERS, VirtualLoop

Command = Callable[[], Any]


class Server:
    """The Redis process. What is in flight when it dies is lost, its scripts are forgotten, its run id is another.

    Args:
        loop: the world's time.
        keyspace: its data.
    """

    def __init__(self, loop: VirtualLoop, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.up = True
        self.lives = 1
        self.scripts: set[str] = set()
        self._loop = loop

    def die(self, *, lost_s: float) -> int:
        """Ends; the writes of its last `lost_s` were not on disk. Answers how many were lost."""
        self.up = False
        self.scripts.clear()
        return self.keyspace.lose(self._loop.now_s - lost_s) if lost_s > 0 else 0

    def come_back(self) -> None:
        """Starts again on what was on disk."""
        if not self.up:
            self.up = True
            self.lives += 1
            self.keyspace.run_id = str(self.lives)

    def execute(self, command: Command) -> Any:
        """Runs one command now."""
        self.keyspace.now_s = self._loop.now_s
        try:
            return command()
        except exceptions.RedisError as error:
            return error

    def evalsha(self, sha: str, call: Sequence[Argument]) -> Any:
        """EVALSHA."""
        if sha not in self.scripts:
            message = "NOSCRIPT No matching script. Please use EVAL."
            raise exceptions.NoScriptError(message)
        return evaluate(self.keyspace, sha, call)


class Client:
    """What the stores use of `redis.asyncio.Redis`.

    Args:
        server: the Redis.
        loop: the world's time.
        chance: what fails, and how long it takes.
    """

    def __init__(self, server: Server, loop: VirtualLoop, chance: Chance) -> None:
        self._server = server
        self._loop = loop
        self._chance = chance

    def pipeline(self, *, transaction: bool) -> Pipeline:
        """Commands that travel together."""
        return Pipeline(self._server, self._round_trip)

    async def script_load(self, source: str) -> str:
        """SCRIPT LOAD."""
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        await self._round_trip([lambda: self._server.scripts.add(sha)])
        return sha

    async def get(self, key: str) -> Any:
        """GET."""
        return await self._one(lambda: self._server.keyspace.get(key))

    async def mget(self, keys: Sequence[str]) -> Any:
        """MGET."""
        return await self._one(lambda: [self._server.keyspace.get(key) for key in keys])

    async def hmget(self, key: str, fields: Iterable[str]) -> Any:
        """HMGET."""
        names = list(fields)
        return await self._one(lambda: [(self._server.keyspace.get(key) or {}).get(name) for name in names])

    async def zrange(self, key: str, _start: str, end: str | int, *, offset: int, num: int, **_: bool) -> Any:
        """ZRANGE BYSCORE WITHSCORES LIMIT, from -inf on."""

        def command() -> list[tuple[bytes, float]]:
            timers: dict[bytes, int] = self._server.keyspace.get(key) or {}
            due = sorted((at, user) for user, at in timers.items() if end == "+inf" or at <= int(end))
            return [(user, float(at)) for at, user in due[offset : offset + num]]

        return await self._one(command)

    async def delete(self, *keys: str) -> int:
        """DEL."""

        def command() -> int:
            held = [key for key in keys if self._server.keyspace.get(key) is not None]
            for key in held:
                self._server.keyspace.put(key, None)
            return len(held)

        return int(await self._one(command))

    async def _one(self, command: Command) -> Any:
        [answer] = await self._round_trip([command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _round_trip(self, commands: Sequence[Command]) -> list[Any]:
        """The answers. The request's leg belongs to the network: it arrives whatever happens to its sender meanwhile."""
        chance = self._chance
        answered: asyncio.Future[list[Any]] = self._loop.create_future()
        if chance.happens(chance.failures.refused):
            self._loop.call_later(chance.latency_s(), _fail, answered, "refused")
        else:
            done: list[Any] = []
            life = self._server.lives
            self._loop.call_later(chance.latency_s(), self._arrive, commands, done, life, answered, context=SERVERS)
        return await answered

    def _arrive(self, commands: Sequence[Command], done: list[Any], life: int, answered: asyncio.Future[list[Any]]) -> None:
        """Some of the commands are executed now, the rest a moment later: others come between."""
        server, chance = self._server, self._chance
        if not server.up or server.lives != life:
            _fail(answered, "connection lost")
            return
        count = len(commands) - len(done)
        now = chance.dice.randint(1, count) if count > 1 and chance.happens(chance.failures.slow) else count
        done += [server.execute(command) for command in commands[len(done) : len(done) + now]]
        if len(done) < len(commands):
            self._loop.call_later(chance.latency_s(), self._arrive, commands, done, life, answered, context=SERVERS)
        elif chance.happens(chance.failures.unanswered):
            self._loop.call_later(chance.latency_s(), _fail, answered, "answer lost", context=SERVERS)
        elif chance.happens(chance.failures.repeated):  # as redis-py does when it has lost the answer
            self._loop.call_later(chance.latency_s(), self._arrive, commands, [], life, answered, context=SERVERS)
        else:
            self._loop.call_later(chance.latency_s(), _answer, answered, done, context=SERVERS)


class Pipeline:
    """Commands that travel together."""

    def __init__(self, server: Server, send: Callable[[Sequence[Command]], Any]) -> None:
        self._server = server
        self._send = send
        self._commands: list[Command] = []

    def execute_command(self, _evalsha: str, sha: str, *call: Argument) -> None:
        """Adds one EVALSHA."""
        self._commands.append(lambda: self._server.evalsha(sha, call))

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        """All answers; one that is an error is handed on as it is."""
        answers: list[Any] = await self._send(self._commands)
        return answers


def _answer(answered: asyncio.Future[list[Any]], answers: list[Any]) -> None:
    if not answered.done():
        answered.set_result(answers)


def _fail(answered: asyncio.Future[list[Any]], why: str) -> None:
    if not answered.done():
        answered.set_exception(exceptions.ConnectionError(why))
