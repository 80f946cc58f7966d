"""A broker: partitioned logs, committed offsets, and consumer groups with eager rebalances.

As Kafka does: reading is open to everyone, also to a member that was put out and does not know it; a commit of an older
generation is refused; a producer's retry may append twice; offsets may leave gaps. Knows nothing about what records hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from faust.types import TP
from msgspec import Struct

from models.errors import BrokerUnavailable
from streams.simulation.chance import Chance
from streams.simulation.loop import SERVERS, START_S, VirtualLoop

REBALANCE_S = 10.0  # a member that has not joined by then is put out
_GAP = 0.03  # share of appends after which an offset is left out, as a transaction's marker does
_LATE_S = 12.0  # a producer may deliver this late: when others own the partition, and have asked again
_AWAY_S = 1.0  # a producer gives up after this and tells its caller


class Record(Struct, gc=False):
    """A record as a consumer gets it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Member(Protocol):
    """What a group asks of its members."""

    def called(self) -> None:
        """The next heartbeat's answer: a rebalance has begun, or you were put out."""


class Assignment(NamedTuple):
    """What a member got by joining."""

    generation: int
    partitions: frozenset[TP]


class Broker:
    """The logs.

    Args:
        loop: the world's time.
        chance: what fails, and how long it takes.
    """

    def __init__(self, loop: VirtualLoop, chance: Chance) -> None:
        self.up = True
        self.logs: dict[TP, list[Record]] = {}
        self.ends: dict[TP, int] = {}
        self.on_append: list[Callable[[Record], None]] = []
        self._loop = loop
        self._chance = chance

    def append(
        self, tp: TP, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = (), ms: int = -1
    ) -> Record:
        """Adds a record; `ms` is its timestamp, the broker's clock where it is negative."""
        timestamp = ms if ms >= 0 else int((START_S + self._loop.now_s) * 1000)
        record = Record(tp.topic, tp.partition, self.ends.get(tp, 0), timestamp, key, value, tuple(headers))
        self.logs.setdefault(tp, []).append(record)
        gap = self._chance.happens(_GAP) and self._chance.failures.repeated > 0
        self.ends[tp] = record.offset + (2 if gap else 1)
        for tell in self.on_append:
            tell(record)
        return record

    def read(self, tp: TP, position: int, count: int) -> list[Record]:
        """Records from a position on."""
        log = self.logs.get(tp, [])
        if not self.up or not log or log[-1].offset < position:
            return []
        first = len(log)
        while first > 0 and log[first - 1].offset >= position:
            first -= 1
        return log[first : first + count]

    def wanted(self, tp: TP) -> int:
        """The offset that a consumer of everything will have committed."""
        log = self.logs.get(tp, [])
        return log[-1].offset + 1 if log else 0

    async def produce(
        self, tp: TP, *, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Appends from afar.

        Raises:
            BrokerUnavailable: it may be there all the same.
        """
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        failures, chance = self._chance.failures, self._chance

        def arrive() -> None:
            if not self.up or chance.happens(failures.refused):
                self._loop.call_later(_AWAY_S, settle, "broker away", context=SERVERS)
                return
            for _ in range(1 + chance.happens(failures.repeated)):
                self.append(tp, key=key, value=value, headers=headers)
            lost = "acknowledgement lost" if chance.happens(failures.unanswered) else ""
            self._loop.call_later(chance.latency_s(), settle, lost, context=SERVERS)

        def settle(trouble: str) -> None:
            if acknowledged.done():
                return
            if trouble:
                acknowledged.set_exception(BrokerUnavailable(trouble))
            else:
                acknowledged.set_result(None)

        late_s = chance.dice.uniform(0.0, _LATE_S) if chance.happens(failures.slow / 4) else 0.0
        self._loop.call_later(chance.latency_s() + late_s, arrive, context=SERVERS)
        await acknowledged


class Group:
    """A consumer group and its coordinator.

    Args:
        broker: where it lives.
        loop: the world's time.
        chance: how long things take.
        partitions: what there is to assign.
    """

    def __init__(self, broker: Broker, loop: VirtualLoop, chance: Chance, partitions: Sequence[TP]) -> None:
        self.generation = 0
        self.committed: dict[TP, int] = {}
        self.members: list[Member] = []
        self._broker = broker
        self._loop = loop
        self._chance = chance
        self._partitions = partitions
        self._joining: dict[Member, asyncio.Future[Assignment | None]] = {}
        self._changed = asyncio.Event()
        self._join = asyncio.Event()

    async def join(self, member: Member) -> Assignment:
        """Waits for the next generation and answers what the member gets in it."""
        while True:
            await asyncio.sleep(self._chance.latency_s())
            joined: asyncio.Future[Assignment | None] = self._loop.create_future()
            self._joining[member] = joined
            if member not in self.members:
                self.members.append(member)
            self._changed.set()
            self._join.set()
            assignment = await joined
            if assignment is not None:
                return assignment

    def put_out(self, member: Member, *, told_after_s: float = 0.0) -> None:
        """Goes on without a member; it learns of that later, if it lives."""
        if member in self.members:
            self.members.remove(member)
            joining = self._joining.pop(member, None)
            self._changed.set()
            self._join.set()
            self._loop.call_later(told_after_s, _tell, member, joining, context=SERVERS)

    async def commit(self, member: Member, generation: int, offsets: Mapping[TP, int]) -> bool:
        """Commits; False where the group has moved on. Waits for a broker that is away, as aiokafka does."""
        await asyncio.sleep(self._chance.latency_s())
        while not self._broker.up:  # noqa: ASYNC110 - it asks again and again, as aiokafka does
            await asyncio.sleep(0.5)
        if generation != self.generation or member not in self.members:
            return False
        self.committed.update(offsets)
        return True

    async def coordinate(self) -> None:
        """The coordinator: one rebalance after another, whenever somebody joins or goes."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.members:
                await self._rebalance()

    async def _rebalance(self) -> None:
        for member in self.members:
            if member not in self._joining:
                self._loop.call_later(self._chance.latency_s(), member.called, context=SERVERS)
        deadline_s = self._loop.now_s + REBALANCE_S
        while self._loop.now_s < deadline_s and any(member not in self._joining for member in self.members):
            self._join.clear()
            waker = self._loop.call_at(deadline_s, self._join.set, context=SERVERS)
            await self._join.wait()
            waker.cancel()
        self.members = [member for member in self.members if member in self._joining]
        self._assign()

    def _assign(self) -> None:
        self._changed.clear()
        self.generation += 1
        if not self.members:
            return
        order = list(self.members)
        self._chance.dice.shuffle(order)
        shares: dict[Member, set[TP]] = {member: set() for member in order}
        for tp in self._partitions:  # a partition number of all topics goes to the same member
            shares[order[tp.partition % len(order)]].add(tp)
        for member in order:
            joined = self._joining.pop(member)
            if not joined.done():
                joined.set_result(Assignment(self.generation, frozenset(shares[member])))


def _tell(member: Member, joining: asyncio.Future[Assignment | None] | None) -> None:
    """A member learns that it was put out: by its heartbeat, or by the answer to its join."""
    if joining is None:
        member.called()
    elif not joining.done():
        joining.set_result(None)
