"""Laws of what an error costs a profile worker, on a real Redis: a record of its own, and never another user's state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import redis.asyncio
from faust.types import TP

from models.entities import Event, Item, PackedRequest, UserAttributes
from models.errors import StoreError, UnknownVersion
from models.profiles import ProfilePolicy, decode
from models.profiles.policy import WindowPolicy
from streams import codec, topics
from streams.agents.limits import ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.keys import profile_key
from streams.knowledge import Knowledge
from streams.partition import Rules
from streams.production import Outgoing
from streams.state import PartitionStore, ProfileStore
from streams.transport import Chunk

START_MS = 20_000 * 86_400_000
RULES = Rules(check_clock=False, profile=ProfilePolicy(window=WindowPolicy(min_visit_days=1)))
GARBAGE = b"SRNP\x00\x01" + b"\x00" * 18 + b"junk"
NEWER = b"SRNP\x00\x02" + b"\x00" * 18


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Bomb:
    """An item whose features nobody foresaw: the update fails in its middle."""

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


class House:
    """One Redis, one broker, and the workers that come and go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.letters: list[tuple[bytes | None, bytes | None, dict[str, str]]] = []
        self.labels: set[str] = set()
        self.commits: list[dict[str, int]] = []

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        for key, value, headers in records:
            if topic == topics.DEAD_LETTERS:
                self.letters.append((key, value, {name: text.decode() for name, text in headers}))
            elif topic == topics.LABELS:
                self.labels.add(codec.decode_label(value or b"").event_id)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.append({tp.topic: offset for tp, offset in offsets.items()})
        return True

    async def worker(self, **limits: Any) -> ProfilesWorker:
        items = [Item(item_id=f"i{n}", title=f"thing {n}", category=("shop", f"leaf {n}")) for n in range(4)]
        knowledge = Knowledge(items, max_tag_bytes=48)
        knowledge.features["bomb"] = Bomb()  # type: ignore[assignment]
        made = ProfilesWorker(
            knowledge=knowledge,
            profiles=ProfileStore(self.client, tenant="t"),
            partitions=PartitionStore(self.client, tenant="t"),
            produce=self.produce,
            commit=self.commit,
            rules=RULES,
            limits=ProfilesLimits(**({"checkpoint_s": 1e9} | limits)),
        )
        await made.take_over({TP(topics.EVENTS, 0), TP(topics.ATTRIBUTES, 0)})
        return made

    async def state(self, user_id: str) -> bytes:
        """What is stored of the user, without whose epoch it is."""
        state = await ProfileStore(self.client, tenant="t").read(user_id)
        assert state is not None
        return state.profile

    async def end_of(self, worker: ProfilesWorker) -> None:
        await worker.release({TP(topics.EVENTS, 0), TP(topics.ATTRIBUTES, 0)})

    def where(self) -> list[tuple[str, int]]:
        return [(headers["error"], int(headers["offset"])) for _, _, headers in self.letters]


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


def event(offset: int, user: str, at_s: float, kind: Any = "click", item: str | None = "i0") -> Record:
    ts_ms = START_MS + round(at_s * 1000)
    item = item if kind == "click" else None
    value = codec.encode(Event(event_id=f"e{offset}", user_id=user, type=kind, ts_ms=ts_ms, item_id=item))
    return Record(offset, ts_ms, user.encode(), value)


def change(offset: int, user: str, **attributes: str) -> Record:
    value = codec.encode(UserAttributes(user_id=user, attributes=dict(attributes)))
    return Record(offset, START_MS, user.encode(), value)


def chunk(*records: Record, topic: str = topics.EVENTS) -> Chunk:
    return Chunk(topic, 0, list(records), records[-1].offset + 1)  # type: ignore[arg-type]


# ---- profiles that cannot be read


@pytest.mark.parametrize("stored", [b"garbage", GARBAGE])
async def test_unreadable_profile_sends_its_users_events_to_the_dead_letters_and_spares_everybody_else(
    stored: bytes, house: House
) -> None:
    await house.client.set(profile_key("t", "u"), stored)
    worker = await house.worker()
    await worker.take(chunk(event(0, "u", 0), event(1, "v", 10), event(2, "u", 20), event(3, "v", 30)))
    await worker.take(chunk(change(0, "u", age="35"), change(1, "v", age="36"), topic=topics.ATTRIBUTES))
    await worker.release({TP(topics.EVENTS, 0), TP(topics.ATTRIBUTES, 0)})
    assert house.where() == [("UnreadableProfile", 0), ("UnreadableProfile", 2), ("UnreadableProfile", 0)]
    assert house.letters[0][:2] == (b"u", event(0, "u", 0).value)
    assert "user 'u'" in house.letters[0][2]["reason"]
    assert [headers["topic"] for _, _, headers in house.letters] == [topics.EVENTS, topics.EVENTS, topics.ATTRIBUTES]
    assert decode(await house.state("v")).events == 2
    assert house.commits[-1] == {topics.EVENTS: 4, topics.ATTRIBUTES: 2}
    assert (await house.client.get(profile_key("t", "u")))[12:] == stored[12:]


async def test_trigger_fires_at_the_time_of_an_event_that_could_not_be_applied(house: House) -> None:
    """v's visit asks after 30 s of quiet; the only thing that tells that they have passed is an event of u."""
    await house.client.set(profile_key("t", "u"), GARBAGE)
    worker = await house.worker()
    await worker.take(chunk(event(0, "v", 0, "visit"), event(1, "u", 3_600)))
    assert worker.counts["requests_visit"] == 1


async def test_user_comes_back_when_the_stored_profile_can_be_read_again(house: House) -> None:
    await house.client.set(profile_key("t", "u"), GARBAGE)
    worker = await house.worker()
    await worker.take(chunk(event(0, "u", 0)))
    await house.client.delete(profile_key("t", "u"))
    await worker.take(chunk(event(1, "u", 10)))
    assert worker.owned[0].residents["u"].profile.events == 1
    assert worker.owned[0].unreadable == {}


async def test_timer_of_an_unreadable_profile_is_left_for_whoever_can_read_it(house: House) -> None:
    partitions = PartitionStore(house.client, tenant="t")
    first = await house.worker()
    await first.take(chunk(event(0, "u", 0, "visit"), event(1, "v", 0, "visit")))
    await first.release({TP(topics.EVENTS, 0)})
    await house.client.set(profile_key("t", "u"), GARBAGE)
    second = await house.worker()
    await second.take(chunk(event(2, "v", 3_600)))
    await second.release({TP(topics.EVENTS, 0)})
    assert "u" in {user_id for user_id, _ in await partitions.read_due(0)}
    assert second.counts["requests_visit"] == 1


async def test_profile_of_a_newer_release_stops_the_worker_and_buries_nothing(house: House) -> None:
    worker = await house.worker()
    await house.client.set(profile_key("t", "u"), NEWER)
    with pytest.raises(UnknownVersion, match="newer release"):
        await worker.take(chunk(event(0, "v", 0), event(1, "u", 0)))
    assert (house.letters, house.commits) == ([], [])


async def test_more_unreadable_profiles_than_single_users_have_stop_the_worker(house: House) -> None:
    worker = await house.worker(max_unreadable=2)
    for number in range(3):
        await house.client.set(profile_key("t", f"u{number}"), GARBAGE)
    with pytest.raises(StoreError, match="3 stored profiles cannot be read, the bound is 2"):
        await worker.take(chunk(*(event(number, f"u{number}", 0) for number in range(3))))
    assert (house.letters, house.commits) == ([], [])


# ---- updates that fail for a reason that nobody foresaw

RECORDS = [
    event(0, "u", 0, "visit"),
    event(1, "v", 5),
    event(2, "u", 10, item="bomb"),
    event(3, "u", 86_400),
    event(4, "v", 86_410, item="i1"),
    event(5, "v", 86_420, item="bomb"),
    event(6, "u", 90_000, item="i2"),
    event(7, "u", 180_000, item="i3"),
]
CUTS: list[tuple[int, ...]] = [(), (1,), (3,), (2, 3), (3, 5, 6)]


async def played(house: House, records: list[Record], cuts: tuple[int, ...], **limits: Any) -> dict[str, bytes]:
    """What is stored in the end, after chunks that end before these places."""
    worker = await house.worker(**limits)
    bounds = [0, *cuts, len(records)]
    for first, after in pairwise(bounds):
        await worker.take(chunk(*records[first:after]))
    await worker.release({TP(topics.EVENTS, 0)})
    return {user_id: await house.state(user_id) for user_id in "uv"}


@pytest.mark.parametrize("checkpoint_events", [2, 1_000])
@pytest.mark.parametrize("cuts", CUTS)
async def test_event_whose_update_fails_costs_its_own_letter_and_nothing_else(
    cuts: tuple[int, ...], checkpoint_events: int, house: House
) -> None:
    """The same end, byte for byte, as with a mere move of event time in the place of each bomb."""
    stored = await played(house, RECORDS, cuts, checkpoint_events=checkpoint_events)
    labels, house.labels = house.labels, set()
    assert sorted(set(house.where())) == [("KeyError", 2), ("KeyError", 5)]
    assert house.letters[0][1] == RECORDS[2].value
    reason = house.letters[0][2]["reason"]
    assert " in __getattr__: KeyError: " in reason
    assert reason.startswith("test_error_policy.py:")
    await house.client.flushall()
    harmless = [
        record._replace(key=None, value=None, headers=[(topics.WATERMARK_HEADER, str(record.timestamp).encode())])
        if b"bomb" in (record.value or b"")
        else record
        for record in RECORDS
    ]
    expected = await played(house, harmless, cuts, checkpoint_events=checkpoint_events)
    assert {user_id: decode(state).events for user_id, state in stored.items()} == {"u": 4, "v": 2}
    assert labels == house.labels
    for user_id, state in expected.items():
        assert stored[user_id] == state, user_id


async def test_worker_that_started_over_goes_on_as_fast_as_before(house: House) -> None:
    worker = await house.worker()
    await worker.take(chunk(*RECORDS[:4]))
    await worker.take(chunk(RECORDS[4]))
    assert worker.counts["start_overs"] == 1
    assert house.commits == [{topics.EVENTS: 4}], "so that the same bomb is never met again"


async def test_bug_outside_of_an_events_update_stops_the_worker(house: House) -> None:
    worker = await house.worker()
    record = event(0, "u", 0)._replace(headers=7)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await worker.take(chunk(record._replace(value=None)))
    assert (house.letters, house.commits) == ([], [])


async def test_change_of_attributes_that_fails_costs_its_own_letter(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await house.worker()
    real = codec.decode_attributes

    def decode(value: bytes) -> UserAttributes:
        found = real(value)
        return UserAttributes(user_id=found.user_id, attributes=Bomb()) if "bomb" in found.attributes else found  # type: ignore[arg-type]

    monkeypatch.setattr(codec, "decode_attributes", decode)
    records = [change(0, "u", age="35"), change(1, "u", bomb="!"), change(2, "u", town="Rome")]
    await worker.take(chunk(*records, topic=topics.ATTRIBUTES))
    assert house.where() == [("TypeError", 1)]
    assert worker.owned[0].residents["u"].profile.attributes == {"age": "35", "town": "Rome"}


async def test_checkpoint_is_due_before_what_is_kept_to_start_over_from_fills_the_memory(house: House) -> None:
    worker = await house.worker(checkpoint_value_bytes=200)
    await worker.take(chunk(event(0, "u", 0)))
    assert house.commits == []
    await worker.take(chunk(event(1, "u", 10), event(2, "u", 20)))
    assert house.commits == [{topics.EVENTS: 3}]


async def test_question_that_cannot_be_made_costs_nobody_else_and_is_counted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode_request(request: PackedRequest) -> bytes:
        raise KeyError(request.user_id)

    monkeypatch.setattr(codec, "encode_request", encode_request)
    worker = await house.worker()
    await worker.take(chunk(event(0, "u", 0), event(1, "u", 5, "visit"), event(2, "v", 3_600, "visit")))
    await house.end_of(worker)
    assert worker.counts["requests_failed"] == 1
    assert decode(await house.state("u")).pending is None
    assert decode(await house.state("v")).pending == "visit"
    assert house.where() == []
