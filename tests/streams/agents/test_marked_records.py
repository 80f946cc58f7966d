"""Laws of records that carry a mark, on a real Redis: what is redriven counts once, and who is forgotten leaves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import redis.asyncio
from faust.types import TP

from models.entities import Event, Item, UserAttributes
from models.errors import StoreUnavailable
from models.profiles import ProfilePolicy, decode
from models.profiles.policy import WindowPolicy
from streams import codec, topics
from streams.agents.limits import ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.keys import profile_key, redriven_key
from streams.knowledge import Knowledge
from streams.marks import REDRIVEN_HEADER, forgotten_of
from streams.partition import Rules
from streams.production import Outgoing
from streams.state import SENT, PartitionStore, ProfileStore
from streams.transport import Chunk

START_MS = 20_000 * 86_400_000
RULES = Rules(check_clock=False, profile=ProfilePolicy(window=WindowPolicy(min_visit_days=1)))
ITEMS = [Item(item_id=f"i{n}", title=f"thing {n}", category=("shop", f"leaf {n}")) for n in range(4)]
ORIGIN = b"behaviour-events/0/2"


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Died(Exception):
    """The process, in the middle of a checkpoint."""


class House:
    """One Redis, one broker, and the workers that come and go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.sent: dict[str, list[Outgoing]] = {}

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        self.sent.setdefault(topic, []).extend(records)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        return True

    async def worker(self, partitions: PartitionStore | None = None, **limits: Any) -> ProfilesWorker:
        made = ProfilesWorker(
            knowledge=Knowledge(ITEMS, max_tag_bytes=48),
            profiles=ProfileStore(self.client, tenant="t"),
            partitions=partitions or PartitionStore(self.client, tenant="t"),
            produce=self.produce,
            commit=self.commit,
            rules=RULES,
            limits=ProfilesLimits(**({"checkpoint_s": 1e9} | limits)),
        )
        await made.take_over({TP(topics.EVENTS, 0), TP(topics.ATTRIBUTES, 0)})
        return made

    async def end(self, worker: ProfilesWorker) -> None:
        await worker.release({TP(topics.EVENTS, 0), TP(topics.ATTRIBUTES, 0)})

    async def events_of(self, user_id: str) -> int:
        state = await ProfileStore(self.client, tenant="t").read(user_id)
        return 0 if state is None else decode(state.profile).events

    async def traces_of(self, user_id: str) -> list[bytes]:
        """Every key that names the user, and every sorted set with the user in it."""
        found = [key async for key in self.client.scan_iter(match=f"*{user_id}*")]
        async for key in self.client.scan_iter(match="*:due"):
            found += [key] if await self.client.zscore(key, user_id) is not None else []
        return found

    def letters(self) -> list[tuple[str, int]]:
        headers = [dict(record.headers) for record in self.sent.get(topics.DEAD_LETTERS, [])]
        return [(one["error"].decode(), int(one["offset"])) for one in headers]


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


def event(offset: int, user: str, at_s: float, kind: Any = "click", event_id: str = "") -> Record:
    ts_ms = START_MS + round(at_s * 1000)
    item = "i0" if kind == "click" else None
    made = Event(event_id=event_id or f"e{offset}", user_id=user, type=kind, ts_ms=ts_ms, item_id=item)
    return Record(offset, ts_ms, user.encode(), codec.encode(made))


def redriven(offset: int, record: Record, origin: bytes = ORIGIN) -> Record:
    return record._replace(offset=offset, headers=[(REDRIVEN_HEADER, origin), ("seren-attempt", b"2")])


def change(offset: int, user: str, **attributes: str) -> Record:
    return Record(offset, START_MS, user.encode(), codec.encode(UserAttributes(user_id=user, attributes=dict(attributes))))


def forgetting(offset: int, user: str, attributes_offset: int = 0) -> Record:
    return Record(offset, START_MS, user.encode(), None, [(topics.FORGET_HEADER, str(attributes_offset).encode())])


def chunk(*records: Record, topic: str = topics.EVENTS) -> Chunk:
    return Chunk(topic, 0, list(records), records[-1].offset + 1)  # type: ignore[arg-type]


# ---- redriven

LOST = event(2, "u", 20, event_id="lost")
# Twenty events lie between the two, so that the profile's own memory of event ids (16) does not see the repetition.
BETWEEN = [event(offset, "u", 30 + offset) for offset in range(4, 24)]
LOG = [event(0, "u", 0), event(1, "v", 10), redriven(3, LOST), *BETWEEN, redriven(24, LOST), event(25, "v", 90)]


@pytest.mark.parametrize("cuts", [(), (3,), (4,), (23,), (3, 10, 24)])
async def test_record_that_was_redriven_twice_counts_once(cuts: tuple[int, ...], house: House) -> None:
    worker = await house.worker()
    bounds = [0, *cuts, len(LOG)]
    for first, after in pairwise(bounds):
        await worker.take(chunk(*LOG[first:after]))
    await house.end(worker)
    assert (await house.events_of("u"), await house.events_of("v")) == (22, 2)
    assert worker.counts["redriven_repeats"] == 1
    assert (await PartitionStore(house.client, tenant="t").read(0)).next_offset == 26  # type: ignore[union-attr]


@pytest.mark.parametrize("owner_checkpoints_at", range(1, len(LOG) + 1, 3))
async def test_record_that_was_redriven_twice_counts_once_over_a_crash_anywhere(
    owner_checkpoints_at: int, house: House
) -> None:
    """The first owner dies some records after its only checkpoint; its heir reads on from there."""
    first = await house.worker(checkpoint_events=owner_checkpoints_at)
    await first.take(chunk(*LOG[:owner_checkpoints_at]))
    await first.take(chunk(*LOG[owner_checkpoints_at : owner_checkpoints_at + 5] or LOG[-1:]))
    second = await house.worker()
    start = second.owned[0].next_offset
    await second.take(chunk(*[record for record in LOG if record.offset >= start] or LOG[-1:]))
    await house.end(second)
    assert (await house.events_of("u"), await house.events_of("v")) == (22, 2)


class Dying(PartitionStore):
    """Dies before the checkpoint is recorded, or after what was redriven is noted."""

    async def write(self, *_: Any, **__: Any) -> Any:
        raise Died


async def test_record_whose_owner_died_after_noting_it_and_before_its_checkpoint_is_applied(house: House) -> None:
    first = await house.worker(Dying(house.client, tenant="t"), checkpoint_events=1)
    with pytest.raises(Died):
        await first.take(chunk(redriven(3, LOST)))
    second = await house.worker()
    await second.take(chunk(redriven(3, LOST), redriven(4, LOST)))
    await house.end(second)
    assert await house.events_of("u") == 1


async def test_repeat_is_passed_over_though_redis_lost_the_note_of_an_owner_before(house: House) -> None:
    first = await house.worker(Dying(house.client, tenant="t"), checkpoint_events=1)
    with pytest.raises(Died):
        await first.take(chunk(redriven(3, LOST)))
    second = await house.worker()
    await second.take(chunk(redriven(3, LOST), *BETWEEN))
    await house.client.delete(redriven_key("t", 0, ORIGIN.decode()))
    await second.take(chunk(redriven(24, LOST)))
    await house.end(second)
    assert await house.events_of("u") == 1 + len(BETWEEN)


async def test_record_that_is_only_known_to_be_sent_is_applied(house: House) -> None:
    partitions = PartitionStore(house.client, tenant="t")
    await partitions.note_sent(0, [ORIGIN.decode()])
    assert await partitions.read_redriven(0, [ORIGIN.decode(), "other"]) == {ORIGIN.decode(): None}
    worker = await house.worker()
    await worker.take(chunk(redriven(3, LOST)))
    await house.end(worker)
    assert await house.events_of("u") == 1
    await partitions.note_sent(0, [ORIGIN.decode()])
    assert await partitions.read_redriven(0, [ORIGIN.decode()]) == {ORIGIN.decode(): 3}
    assert SENT == b"sent"


async def test_redriven_record_that_fails_again_is_buried_once_with_its_attempt(house: House) -> None:
    torn = LOST._replace(value=b"{")
    worker = await house.worker()
    await worker.take(chunk(redriven(3, torn), redriven(4, torn)))
    await house.end(worker)
    [letter] = house.sent[topics.DEAD_LETTERS]
    assert dict(letter.headers)["seren-attempt"] == b"2"
    assert house.letters() == [("DecodeError", 3)]


async def test_redriven_attributes_count_once(house: House) -> None:
    worker = await house.worker()
    origin = b"user-attributes/0/0"
    records = [
        redriven(1, change(0, "u", age="35"), origin),
        change(2, "u", age="36"),
        redriven(3, change(0, "u", age="35"), origin),
    ]
    await worker.take(chunk(*records, topic=topics.ATTRIBUTES))
    assert worker.owned[0].residents["u"].profile.attributes == {"age": "36"}
    assert worker.owned[0].next_attribute == 4


# ---- forgotten

PAST = [event(0, "ann", 0), event(1, "bob", 5), event(2, "ann", 10, "visit"), event(3, "ann", 20)]


async def test_forgotten_user_leaves_nothing_and_begins_anew(house: House) -> None:
    worker = await house.worker()
    await worker.take(chunk(change(0, "ann", town="Rome"), change(1, "bob", town="Oslo"), topic=topics.ATTRIBUTES))
    await worker.take(chunk(*PAST))
    await house.end(worker)
    assert set(await house.traces_of("ann")) == {profile_key("t", "ann").encode(), b"seren:{t|p0}:due"}
    worker = await house.worker()
    tombstone = Record(2, START_MS, b"ann", None, [(topics.FORGET_HEADER, b"")])
    await worker.take(chunk(tombstone, topic=topics.ATTRIBUTES))
    await worker.take(chunk(forgetting(4, "ann", 2)))
    await house.end(worker)
    assert await house.traces_of("ann") == []
    assert await house.events_of("bob") == 1
    assert house.letters() == [("Forgotten", 4)]
    [told] = [record for record in house.sent[topics.REQUESTS] if record.value is None]
    told_of = forgotten_of(told)
    assert told_of is not None
    assert (told.key, told_of.offset, told_of.surface) == (b"ann", 4, "home")
    worker = await house.worker()
    await worker.take(chunk(event(5, "ann", 100)))
    profile = worker.owned[0].residents["ann"].profile
    assert (profile.events, profile.attributes, [deed.offset for deed in profile.deeds]) == (1, {}, [5])


async def test_live_worker_with_the_user_in_memory_does_not_write_it_back(house: House) -> None:
    """In one chunk with events before and after, from before the last checkpoint and since."""
    worker = await house.worker(checkpoint_events=1)
    await worker.take(chunk(*PAST[:3]))
    await worker.take(chunk(PAST[3], forgetting(4, "ann"), event(5, "bob", 40)))
    assert await house.traces_of("ann") == []
    await worker.take(chunk(event(6, "bob", 50)))
    assert await house.traces_of("ann") == []
    await worker.take(chunk(event(7, "ann", 60)))
    assert await house.events_of("ann") == 1


@pytest.mark.parametrize("cut", range(1, 8))
async def test_forgotten_user_stays_forgotten_over_a_crash_anywhere(cut: int, house: House) -> None:
    log = [*PAST, forgetting(4, "ann"), event(5, "ann", 40), event(6, "ann", 50), event(7, "bob", 3_600)]
    first = await house.worker(checkpoint_events=cut)
    await first.take(chunk(*log[:cut]))
    await first.take(chunk(*log[cut : cut + 2]))
    second = await house.worker()
    await second.take(chunk(*[record for record in log if record.offset >= second.owned[0].next_offset]))
    await house.end(second)
    assert (await house.events_of("ann"), await house.events_of("bob")) == (2, 2)


async def test_forgetting_ends_the_question_that_was_about_to_be_asked(house: House) -> None:
    worker = await house.worker()
    await worker.take(chunk(event(0, "ann", 0, "visit"), forgetting(1, "ann"), event(2, "bob", 3_600)))
    await house.end(worker)
    assert [record.key for record in house.sent[topics.REQUESTS] if record.value is not None] == []


async def test_attributes_from_after_the_forgetting_stay_though_they_were_read_first(house: House) -> None:
    worker = await house.worker()
    changes = [change(0, "ann", town="Rome"), Record(1, START_MS, b"ann", None), change(2, "ann", town="Oslo")]
    await worker.take(chunk(*changes, topic=topics.ATTRIBUTES))
    await worker.take(chunk(*PAST, forgetting(4, "ann", 1)))
    await house.end(worker)
    state = await ProfileStore(house.client, tenant="t").read("ann")
    assert state is not None
    assert (decode(state.profile).attributes, decode(state.profile).events) == ({"town": "Oslo"}, 0)


async def test_null_attributes_that_are_read_after_the_forgetting_leave_nothing(house: House) -> None:
    worker = await house.worker()
    await worker.take(chunk(*PAST, forgetting(4, "ann", 1)))
    await house.end(worker)
    worker = await house.worker()
    tombstone = Record(1, START_MS, b"ann", None, [(topics.FORGET_HEADER, b"")])
    await worker.take(chunk(change(0, "ann", town="Rome"), tombstone, topic=topics.ATTRIBUTES))
    await house.end(worker)
    assert await house.traces_of("ann") == []


async def test_forgetting_frees_a_user_whose_stored_profile_cannot_be_read(house: House) -> None:
    await house.client.set(profile_key("t", "ann"), b"garbage")
    worker = await house.worker(checkpoint_events=2)
    await worker.take(chunk(event(0, "ann", 0), forgetting(1, "ann")))
    assert await house.traces_of("ann") == []
    await worker.take(chunk(event(2, "ann", 10), event(3, "ann", 20)))
    assert await house.events_of("ann") == 2
    assert house.letters() == [("UnreadableProfile", 0), ("Forgotten", 1)]


async def test_forgetting_that_is_delivered_again_takes_nothing_new(house: House) -> None:
    worker = await house.worker()
    await worker.take(chunk(*PAST, forgetting(4, "ann"), event(5, "ann", 60)))
    await worker.take(chunk(forgetting(4, "ann")))
    await house.end(worker)
    assert await house.events_of("ann") == 1


@pytest.mark.parametrize("headers", [[(topics.FORGET_HEADER, b"soon")], [(topics.FORGET_HEADER, b"-1")]])
async def test_mark_that_makes_no_sense_is_a_dead_letter(headers: list[tuple[str, bytes]], house: House) -> None:
    worker = await house.worker()
    await worker.take(chunk(PAST[0], Record(1, START_MS, b"ann", None, headers)))
    await house.end(worker)
    assert house.letters() == [("DecodeError", 1)]
    assert await house.events_of("ann") == 1


class Restarting(ProfileStore):
    """Brings back what was stored before, as a Redis does that has lost its last write."""

    async def forget_up_to(self, offsets: Mapping[str, int], **owner: int) -> bool:
        if offsets and not getattr(self, "failed", False):
            self.failed = True
            message = "away"
            raise StoreUnavailable(message)
        return await super().forget_up_to(offsets, **owner)


async def test_forgetting_is_tried_again_while_the_store_is_away(house: House) -> None:
    worker = await house.worker(checkpoint_events=5)
    worker._profiles = Restarting(house.client, tenant="t")
    await worker.take(chunk(*PAST, forgetting(4, "ann")))
    assert worker.counts["retries"] == 1
    assert await house.traces_of("ann") == []
