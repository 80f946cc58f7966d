"""A gate before the embedded broker that lets a group's followers synchronise before their leader.

librdkafka's mock cluster closes a group's synchronisation as soon as the leader's assignment has come, forgets the
assignment, and answers every later member with INVALID_REQUEST, which ends an aiokafka consumer. A real broker answers
the late ones too. So every connection goes through here, and a leader's SyncGroup waits until the other members' have
passed. All else is handed on as it comes, in both directions.

Standard library only: it runs inside the broker's process. Knows nothing about the mock cluster but its address.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Final

SYNC_GROUP: Final = 14  # Kafka's key of the request
LAST_PLAIN_VERSION: Final = 3  # of SyncGroup; later ones are laid out differently, and the mock cluster offers none
FOLLOWERS_TIMEOUT_S = 3.0  # a follower that died between joining and synchronising; then the leader passes alone
SETTLE_S = 0.05  # the broker reads its connections in any order: give it time to read the followers' first
CHUNK_BYTES = 256 * 1024  # of an answer; a fetch brings up to some MB


@dataclass(frozen=True)
class Sync:
    """What the gate needs of one SyncGroup request; `assignments` counts members, and only the leader sends any."""

    group: bytes
    generation: int
    assignments: int


def read_sync(request: bytes) -> Sync | None:
    """The SyncGroup request in a frame without its length; None where it is of a version that the gate cannot read.

    Example:
        >>> from struct import pack
        >>> frame = pack(">hhih", 14, 1, 7, -1) + pack(">h8si", 8, b"profiles", 3) + pack(">h2si", 2, b"m1", 2)
        >>> read_sync(frame)
        Sync(group=b'profiles', generation=3, assignments=2)
    """
    (version,) = struct.unpack_from(">h", request, 2)
    if version > LAST_PLAIN_VERSION:
        return None
    _, place = _text(request, 8)  # client id, after key, version and correlation id
    group, place = _text(request, place)
    (generation,) = struct.unpack_from(">i", request, place)
    _, place = _text(request, place + 4)  # member id
    if version >= 3:
        _, place = _text(request, place)  # group instance id
    (assignments,) = struct.unpack_from(">i", request, place)
    return Sync(group=group, generation=generation, assignments=assignments)


class Gate:
    """Hands connections on to the broker at `host:port`, and orders the synchronisation of its groups."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        # By group, its newest generation and how many followers of it have passed: one entry a group, for good.
        self._passed: dict[bytes, tuple[int, int]] = {}
        self._follower_passed = asyncio.Condition()

    async def open(self) -> int:
        """Listen on a free port beside the broker; returns the port. Nobody needs to close what ends with the process."""
        self._server = await asyncio.start_server(self._connect, self._host, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(self._host, self._port)
        ways = (
            asyncio.ensure_future(self._pass_requests(reader, broker_writer)),
            asyncio.ensure_future(_pass_answers(broker_reader, writer)),
        )
        # Either side hanging up ends both ways.
        _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in left:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        broker_writer.close()
        writer.close()

    async def _pass_requests(self, client: asyncio.StreamReader, broker: asyncio.StreamWriter) -> None:
        while True:
            length = await client.readexactly(4)
            request = await client.readexactly(int.from_bytes(length, "big"))
            sync = read_sync(request) if int.from_bytes(request[:2], "big") == SYNC_GROUP else None
            if sync is not None and sync.assignments > 0:
                await self._wait_for_followers(sync)
            broker.write(length + request)
            await broker.drain()
            if sync is not None and sync.assignments == 0:
                await self._count_follower(sync)

    async def _wait_for_followers(self, sync: Sync) -> None:
        followers = sync.assignments - 1
        if followers == 0:
            return

        def all_passed() -> bool:
            generation, passed = self._passed.get(sync.group, (-1, 0))
            return generation > sync.generation or (generation == sync.generation and passed >= followers)

        try:
            async with asyncio.timeout(FOLLOWERS_TIMEOUT_S), self._follower_passed:
                await self._follower_passed.wait_for(all_passed)
        except TimeoutError:
            return  # the broker's own session timeout deals with whoever is missing
        await asyncio.sleep(SETTLE_S)

    async def _count_follower(self, sync: Sync) -> None:
        async with self._follower_passed:
            generation, passed = self._passed.get(sync.group, (-1, 0))
            if sync.generation >= generation:
                self._passed[sync.group] = (sync.generation, passed + 1 if sync.generation == generation else 1)
            self._follower_passed.notify_all()


async def _pass_answers(broker: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    while chunk := await broker.read(CHUNK_BYTES):
        client.write(chunk)
        await client.drain()


def _text(request: bytes, place: int) -> tuple[bytes, int]:
    """A length-prefixed text (length -1 for none) and the place after it."""
    (length,) = struct.unpack_from(">h", request, place)
    start = place + 2
    end = start + max(length, 0)
    return request[start:end], end
