"""Laws of the trace context: what is a context, which event is a request's cause, and that a restart loses neither."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Event, Item
from models.errors import DecodeError
from models.profiles import Profile, ProfilePolicy
from models.profiles.policy import WindowPolicy
from streams import codec, topics
from streams.checkpoint import admit, checkpoint, take_over
from streams.knowledge import Knowledge
from streams.observability.tracing import context_of, headers_of, trace_id_of
from streams.partition import Partition, Rules
from streams.production import Outgoing
from streams.state import PartitionStore, ProfileState, ProfileStore, decode_profile_state, encode_profile_state

START_MS = 20_000 * 86_400_000
STABLE = settings(max_examples=100, deadline=None, derandomize=True)
KNOWN = Knowledge([Item(item_id="i0", title="thing", category=("shop", "leaf"))], max_tag_bytes=48)
RULES = Rules(check_clock=False, profile=ProfilePolicy(window=WindowPolicy(min_visit_days=1)))
ID, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


def parent(digit: int) -> bytes:
    """A traceparent of its own trace."""
    return b"00-%032x-%016x-01" % (digit, digit)


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def event(offset: int, user: str, kind: Any, at_s: int, context: bytes = b"", **fields: Any) -> Record:
    made = Event(event_id=f"e{offset}", user_id=user, type=kind, ts_ms=START_MS + at_s * 1000, **fields)
    return Record(offset, made.ts_ms, user.encode(), codec.encode(made), headers_of(context))


class House:
    """One Redis, the topics as lists, and the owners of a partition that come and go."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.profiles, self.partitions = ProfileStore(client, tenant="t"), PartitionStore(client, tenant="t")
        self.sent: list[tuple[str, bytes | None, dict[str, bytes]]] = []
        self._number = 0

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        self.sent += [(topic, record.key, dict(record.headers)) for record in records]

    async def owner(self) -> Partition:
        found = await self.partitions.acquire(0)
        self._number = found.number
        owner = Partition(
            0,
            epoch=found.epoch,
            next_offset=found.next_offset or 0,
            watermark_ms=found.watermark_ms or 0,
            knowledge=KNOWN,
            rules=RULES,
        )
        await take_over(0, owner, profiles=self.profiles, partitions=self.partitions)
        return owner

    async def take(self, owner: Partition, *records: Record) -> None:
        batch = owner.decode(records)
        users = owner.missing(decoded.event.user_id for decoded in batch if decoded.event is not None)
        await admit(owner, users, profiles=self.profiles)
        owner.apply(batch)

    async def save(self, owner: Partition) -> None:
        self._number += 1
        await checkpoint(
            owner,
            number=self._number,
            profiles=self.profiles,
            partitions=self.partitions,
            produce=self.produce,
            ttl_ms=60_000,
        )

    def contexts_on(self, topic: str) -> list[bytes]:
        return [context_of(headers.items()) for name, _, headers in self.sent if name == topic]

    async def stored(self, user_id: str) -> ProfileState:
        state = await self.profiles.read(user_id)
        assert state is not None
        return state


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


# ---- what a context is


@pytest.mark.parametrize(
    ("value", "context"),
    [
        (b"00-%s-%s-01" % (ID, SPAN), b"00-%s-%s-01" % (ID, SPAN)),
        (b"cc-%s-%s-01-what-comes-later" % (ID, SPAN), b"00-%s-%s-01" % (ID, SPAN)),
        (b"cc-%s-%s-01" % (ID, SPAN), b"00-%s-%s-01" % (ID, SPAN)),
        (b"cc-%s-%s-01.no dash" % (ID, SPAN), b""),
        (b"00-%s-%s-01-more" % (ID, SPAN), b""),
        (b"ff-%s-%s-01" % (ID, SPAN), b""),
        (b"00-%s-%s-01" % (b"0" * 32, SPAN), b""),
        (b"00-%s-%s-01" % (ID, b"0" * 16), b""),
        (b"00-%s-%s-01" % (ID.upper(), SPAN), b""),
        (b"00-%s-%s-0" % (ID, SPAN), b""),
        (b"", b""),
        (None, b""),
    ],
)
def test_traceparent_is_read_as_w3c_says(value: bytes | None, context: bytes) -> None:
    assert context_of([("traceparent", value)]) == context


def test_tracestate_comes_along_within_its_bound_and_never_alone() -> None:
    good = ("traceparent", parent(1))
    assert headers_of(context_of([good, ("tracestate", b"a=1")])) == [good, ("tracestate", b"a=1")]
    assert headers_of(context_of([("tracestate", b"a=1"), ("tracestate", b"b=2"), good])) == [good, ("tracestate", b"a=1,b=2")]
    assert len(context_of([good, ("tracestate", b"a" * 512)])) == 55 + 1 + 512
    assert context_of([good, ("tracestate", b"a" * 513)]) == parent(1)
    assert context_of([good, ("tracestate", b"a=\n")]) == parent(1)
    assert context_of([("tracestate", b"a=1")]) == b""


@given(headers=st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "x"]), st.none() | st.binary(max_size=80))))
@STABLE
def test_any_headers_give_a_bounded_context_or_none(headers: list[tuple[str, bytes | None]]) -> None:
    context = context_of(headers)
    assert len(context) <= 55 + 1 + 512
    assert context_of(headers_of(context)) == context


def test_trace_id_is_the_second_part() -> None:
    assert trace_id_of(b"00-%s-%s-01" % (ID, SPAN)) == ID.decode()
    assert trace_id_of(b"") == ""


# ---- what is stored


def test_state_without_a_context_stores_nothing_of_it() -> None:
    state = ProfileState(1, 2, 3, b"profile")
    assert len(encode_profile_state(state)) == 24 + len(b"profile")


@given(profile=st.binary(max_size=50), context=st.binary(max_size=600))
@STABLE
def test_state_with_a_context_gives_both_back(profile: bytes, context: bytes) -> None:
    state = ProfileState(1, 2, 3, profile, context)
    assert decode_profile_state(encode_profile_state(state)) == state


def test_traced_state_that_is_cut_off_is_a_decode_error() -> None:
    value = encode_profile_state(ProfileState(1, 2, 3, b"", parent(1)))
    with pytest.raises(DecodeError, match="has no context"):
        decode_profile_state(value[:25])


# ---- which event is the cause


async def test_request_carries_the_newest_context_since_its_trigger_was_set(house: House) -> None:
    owner = await house.owner()
    await house.take(
        owner,
        event(0, "u", "click", 0, parent(1), item_id="i0"),  # asks for nothing
        event(1, "u", "visit", 100, parent(2)),
        event(2, "u", "click", 110, parent(3), item_id="i0"),
        event(3, "u", "click", 120, item_id="i0"),  # no context: takes none away
        event(4, "v", "click", 130, parent(4), item_id="i0"),  # another user's
        event(5, "v", "click", 400, parent(5), item_id="i0"),  # moves event time past u's due time
    )
    await house.save(owner)
    assert house.contexts_on(topics.REQUESTS) == [parent(3)]


async def test_next_request_does_not_inherit_the_context_of_the_one_before(house: House) -> None:
    owner = await house.owner()
    await house.take(owner, event(0, "u", "search", 0, parent(1), query="thing"))
    await house.take(owner, event(1, "u", "search", 1_000, query="thing"), event(2, "v", "visit", 2_000))
    await house.save(owner)
    assert house.contexts_on(topics.REQUESTS) == [b""]
    assert (await house.stored("u")).context == b""


@given(cuts=st.sets(st.integers(1, 5)))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_cause_does_not_depend_on_how_the_records_were_cut(cuts: set[int]) -> None:
    records = [
        event(0, "u", "visit", 0, parent(1)),
        event(1, "v", "visit", 5, parent(2)),
        event(2, "u", "click", 10, parent(3), item_id="i0"),
        event(3, "v", "click", 20, item_id="i0"),
        event(4, "u", "click", 25, item_id="i0"),
        event(5, "w", "visit", 900),
    ]
    owner = Partition(0, epoch=1, next_offset=0, watermark_ms=0, knowledge=KNOWN, rules=RULES)
    for user_id in "uvw":
        owner.admit(user_id, Profile())
    bounds = [0, *sorted(cuts), len(records)]
    for first, last in pairwise(bounds):
        owner.apply(owner.decode(records[first:last]))
    assert {user: fired.context for user, fired in owner.requests.items()} == {"u": parent(3), "v": parent(2)}


async def test_label_carries_the_context_of_its_own_event(house: House) -> None:
    owner = await house.owner()
    await house.take(
        owner,
        event(0, "u", "visit", 0, parent(1)),
        event(1, "u", "visit", 86_400),
        event(2, "u", "click", 86_410, parent(2), item_id="i0"),
    )
    await house.save(owner)
    assert house.contexts_on(topics.LABELS) == [parent(2)]
    assert owner.label_contexts == {}


async def test_dead_letter_carries_the_context_of_its_record(house: House) -> None:
    owner = await house.owner()
    await house.take(owner, event(0, "u", "visit", 0, parent(1))._replace(value=b"{"))
    await house.save(owner)
    assert house.contexts_on(topics.DEAD_LETTERS) == [parent(1)]


# ---- restarts


async def test_pending_trigger_keeps_its_context_through_a_restart(house: House) -> None:
    owner = await house.owner()
    await house.take(owner, event(0, "u", "visit", 0, parent(1)))
    await house.save(owner)
    heir = await house.owner()
    await house.take(heir, event(1, "v", "visit", 900))
    await house.save(heir)
    assert house.contexts_on(topics.REQUESTS) == [parent(1)]


async def test_fired_trigger_leaves_no_context_behind(house: House) -> None:
    owner = await house.owner()
    await house.take(owner, event(0, "u", "visit", 0, parent(1)), event(1, "v", "click", 900, item_id="i0"))
    await house.save(owner)
    assert (await house.stored("u")).context == b""
