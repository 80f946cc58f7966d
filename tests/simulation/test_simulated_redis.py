"""The simulated Redis against a real one: the real stores, the same random operations, the same answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from models.entities import Digest, ScoredItem, Slate, Trace
from models.errors import DecodeError, SerenError
from streams.embedded.redis import RunningRedis
from streams.keys import profile_key, slate_key
from streams.simulation.chance import Chance, Failures
from streams.simulation.keyspace import Keyspace
from streams.simulation.loop import VirtualLoop
from streams.simulation.redis import Client, Server
from streams.slates.store import Publication, SlateStore
from streams.state import Checkpoint, PartitionStore, ProfileStore, ProfileWrite, Restarted

TTL_MS = 3_600_000
USERS = ["u", "v", "käse{|"]
SURFACES = ["home", "cart"]
OPERATIONS = 120

Operation = tuple[str, tuple[Any, ...]]


def operations(seed: int) -> list[Operation]:
    """Random ones, on few users, epochs and offsets, so that they meet."""
    dice = random.Random(seed)
    return [_operation(dice) for _ in range(OPERATIONS)]


def _operation(dice: random.Random) -> Operation:
    partition, epoch, offset = dice.randrange(2), dice.randrange(4), dice.choice([0, 1, 2, 2**32, 2**53 + 1])
    users = dice.sample(USERS, dice.randint(1, 3))
    due_ms = {user: dice.randrange(5) for user in users[1:]}
    return dice.choice(
        [
            ("acquire", (partition, dice.choice([0, 0, 2, 5]))),
            ("write", (partition, epoch, dice.randrange(4), offset, dice.choice(["", "ours", "another"]))),
            ("read", (partition,)),
            ("life", (partition,)),
            ("write_due", (partition, epoch, due_ms, users[:1])),
            ("read_due", (partition, dice.choice([None, 2]))),
            ("claim", (users, epoch, partition)),
            ("write_states", (users, offset, epoch, partition)),
            ("read_state", (users[0],)),
            ("forget_state", (users[0],)),
            ("forget_states", (users, offset, epoch, partition)),
            ("forget_slate", (users[0], dice.choice(SURFACES), epoch, offset)),
            ("note_redriven", (partition, users, offset)),
            ("note_sent", (partition, users)),
            ("read_redriven", (partition, USERS)),
            ("publish", (users, dice.choice(SURFACES), epoch, offset, dice.random() < 0.5, dice.random() < 0.3)),
            ("slate", (users[0], dice.choice(SURFACES))),
            ("why", (users[0], dice.choice(SURFACES))),
            ("forget", (users[0],)),
            ("spoil", (users[0], dice.choice([b"junk", b"SRNP\x00\x09" + bytes(30), b"SRNS" + bytes(9)]))),
        ]
    )


class Stores:
    """The real stores on one client, and how each operation is done with them."""

    def __init__(self, client: redis.asyncio.Redis, spoil: Callable[[str, bytes], Awaitable[None]]) -> None:
        self._profiles = ProfileStore(client, tenant="t")
        self._partitions = PartitionStore(client, tenant="t")
        self._slates = SlateStore(client, tenant="t", hard_ttl_ms=TTL_MS)
        self._spoil = spoil
        self._life = ""

    async def answers(self, todo: list[Operation]) -> list[Any]:
        """What each operation answered, or raised. A life is told as whether it is the server's."""
        self._life = await self._partitions.life(0)
        answers = []
        for name, arguments in todo:
            try:
                answers.append(self._comparable(await getattr(self, name)(*arguments)))
            except SerenError as error:
                answers.append((type(error).__name__, str(error)))
        return answers

    def _comparable(self, answer: Any) -> Any:
        if isinstance(answer, Checkpoint):
            return answer._replace(life=str(answer.life == self._life))
        if isinstance(answer, Restarted):
            return ("restarted", answer.life == self._life)
        if isinstance(answer, list):
            return [(type(one).__name__, str(one)) if isinstance(one, DecodeError) else one for one in answer]
        return answer

    async def acquire(self, partition: int, floor: int) -> Any:
        return await self._partitions.acquire(partition, floor=floor)

    async def write(self, partition: int, epoch: int, number: int, offset: int, life: str) -> Any:
        told = self._life if life == "ours" else life
        return await self._partitions.write(
            partition, epoch=epoch, number=number, next_offset=offset, watermark_ms=7, next_attribute=offset, life=told
        )

    async def read(self, partition: int) -> Any:
        return await self._partitions.read(partition)

    async def life(self, partition: int) -> Any:
        return await self._partitions.life(partition) == self._life

    async def write_due(self, partition: int, epoch: int, due_ms: dict[str, int], clear: list[str]) -> Any:
        return await self._partitions.write_due(partition, epoch=epoch, due_ms=due_ms, clear=clear)

    async def read_due(self, partition: int, until_ms: int | None) -> Any:
        return await self._partitions.read_due(partition, until_ms=until_ms)

    async def claim(self, users: list[str], epoch: int, partition: int) -> Any:
        return await self._profiles.claim(users, epoch=epoch, partition=partition)

    async def write_states(self, users: list[str], offset: int, epoch: int, partition: int) -> Any:
        states = [ProfileWrite(user, offset, b"%d/%d" % (epoch, offset), TTL_MS) for user in users]
        return await self._profiles.write(states, epoch=epoch, partition=partition)

    async def read_state(self, user: str) -> Any:
        return await self._profiles.read(user)

    async def forget_state(self, user: str) -> Any:
        return await self._profiles.forget(user)

    async def forget_states(self, users: list[str], offset: int, epoch: int, partition: int) -> Any:
        return await self._profiles.forget_up_to(dict.fromkeys(users, offset), epoch=epoch, partition=partition)

    async def forget_slate(self, user: str, surface: str, epoch: int, offset: int) -> Any:
        return await self._slates.forget_up_to(user, surface, epoch=epoch, offset=offset)

    async def note_redriven(self, partition: int, origins: list[str], offset: int) -> Any:
        return await self._partitions.write_redriven(partition, dict.fromkeys(origins, offset))

    async def note_sent(self, partition: int, origins: list[str]) -> Any:
        return await self._partitions.note_sent(partition, origins)

    async def read_redriven(self, partition: int, origins: list[str]) -> Any:
        return await self._partitions.read_redriven(partition, origins)

    async def publish(self, users: list[str], surface: str, epoch: int, offset: int, traced: bool, last: bool) -> Any:
        return await self._slates.publish(
            [
                Publication(slate(user, surface, epoch, offset), trace(user, surface, offset) if traced else None, last)
                for user in users
            ]
        )

    async def slate(self, user: str, surface: str) -> Any:
        return await self._slates.read(user, surface)

    async def why(self, user: str, surface: str) -> Any:
        return await self._slates.why(user, surface)

    async def forget(self, user: str) -> Any:
        return await self._slates.forget(user, SURFACES)

    async def spoil(self, user: str, value: bytes) -> None:
        await self._spoil(profile_key("t", user), value)
        await self._spoil(slate_key("t", user, "home"), value)


def slate(user: str, surface: str, epoch: int, offset: int) -> Slate:
    return Slate(
        user_id=user,
        surface=surface,
        epoch=epoch,
        offset=offset,
        watermark_ms=1,
        published_ms=2,
        soft_expiry_ms=3,
        model_id="m",
        tier="serengpt",
        items=(ITEM,),
    )


def trace(user: str, surface: str, offset: int) -> Trace:
    return Trace(
        user_id=user,
        surface=surface,
        reason="visit",
        as_of_ms=5,
        offset=offset,
        digest=Digest(),
        imagined=("a lamp",),
        candidates=(),
        filtered=(),
        kept=(ITEM,),
    )


ITEM = ScoredItem(item_id="i", serendipity=0.5, relevance=1.0, unexpectedness=1.0, aligned=0.5, propensity=1.0, reason=1)


def simulated(todo: list[Operation], failures: Failures) -> list[Any]:
    loop = VirtualLoop()
    server = Server(loop, Keyspace())
    client: Any = Client(server, loop, Chance(1, failures))

    async def spoil(key: str, value: bytes) -> None:
        server.keyspace.put(key, value)

    try:
        return loop.run_until_complete(Stores(client, spoil).answers(todo))
    finally:
        loop.end()


def real(todo: list[Operation], url: str) -> list[Any]:
    async def answers() -> list[Any]:
        client = redis.asyncio.Redis.from_url(url)

        async def spoil(key: str, value: bytes) -> None:
            await client.set(key, value)

        try:
            await client.flushall()
            return await Stores(client, spoil).answers(todo)
        finally:
            await client.aclose()

    return asyncio.run(answers())


@pytest.mark.parametrize("seed", range(40))
def test_simulated_redis_answers_as_a_real_one(seed: int, redis_server: RunningRedis) -> None:
    todo = operations(seed)
    ours, theirs = simulated(todo, Failures()), real(todo, redis_server.url)
    for operation, one, other in zip(todo, ours, theirs, strict=True):
        assert one == other, operation


def test_random_operations_meet_every_answer_of_every_script() -> None:
    """So that the law above is about something."""
    seen = set()
    for seed in range(40):
        for (name, _), answer in zip(operations(seed), simulated(operations(seed), Failures()), strict=True):
            for one in answer if isinstance(answer, list) else [answer]:
                seen.add((name, one if isinstance(one, str | bool) else type(one).__name__))
                seen.add((name, one[0] if isinstance(one, tuple) and isinstance(one[0], str) else ""))
    assert {("claim", name) for name in ("ProfileState", "Fenced", "NoneType", "DecodeError", "UnknownVersion")} <= seen
    assert {("publish", name) for name in ("accepted", "repeated", "refused", "kept")} <= seen
    assert {("write", True), ("write", False), ("write", "restarted")} <= seen
    assert {("forget_states", True), ("forget_states", False)} <= seen
    assert {("write_due", True), ("write_due", False), ("write_states", True), ("write_states", False)} <= seen
