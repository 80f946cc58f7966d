"""Laws of a profile's bytes: bounded whatever comes, lossless, and hostile bytes give a DecodeError and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models import trigger
from models.entities import Event, EventType, Item, UserAttributes
from models.errors import DecodeError, UnknownVersion
from models.profiles import (
    PROFILE_BYTES,
    Profile,
    ProfilePolicy,
    QueryTags,
    decode,
    digest,
    encode,
    item_features,
    update,
    update_attributes,
)
from models.profiles.policy import DAY_MS, LongTermPolicy, ShortTermPolicy, WindowPolicy
from models.trigger import TriggerPolicy

LAST_MS = 2**53 - 1
LAST_OFFSET = 2**63 - 1
KINDS = get_args(EventType)
TRIGGER = TriggerPolicy()


def hostile_text(dice: random.Random, length: int) -> str:
    """Letters, quotes and control characters of one byte, and characters of two, three and four bytes."""
    alphabet = dice.choice(['ab"\\', "\x00\x1f", "é", "茶", "😀", "ab茶😀"])
    return "".join(dice.choice(alphabet) for _ in range(length))


def hostile_items(dice: random.Random) -> list[Item]:
    """Ids of 128 bytes; categories, brands, sellers and up to 64 tags of up to 512 characters."""
    tags = ("", "interest:", "scenario:", "brand:", "category:")
    return [
        Item(
            item_id=f"{number:03}" + dice.choice(["x" * 125, "茶" * 41, "y"]),
            title="t" * 512,
            category=(hostile_text(dice, dice.choice([1, 20, 512])) + str(number),),
            brand=hostile_text(dice, 512) if dice.random() < 0.5 else None,
            seller=hostile_text(dice, 30) if dice.random() < 0.5 else None,
            tags=tuple(
                dice.choice(tags) + hostile_text(dice, dice.choice([1, 30, 500])) for _ in range(dice.choice([0, 3, 64]))
            ),
        )
        for number in range(60)
    ]


def hostile_events(dice: random.Random, items: list[Item], count: int) -> Iterator[tuple[Event, Item | None, int]]:
    """Events of every type, mostly rising in time, some late, some at the ends of time; offsets rise up to the last one."""
    ts_ms = dice.choice([0, 20_000 * DAY_MS])
    offset = dice.choice([-1, LAST_OFFSET - 2 * count])
    for number in range(count):
        offset += dice.choice([1, 1, 2])
        ts_ms += dice.choice([0, 1_000, 700_000, DAY_MS, 20 * DAY_MS])
        at_ms = dice.choices([ts_ms, dice.randrange(ts_ms + 1), 0, LAST_MS], weights=[90, 8, 1, dice.choice([0, 1])])[0]
        kind: Any = dice.choice(KINDS)
        item = None if kind in {"visit", "search"} else dice.choice(items)
        yield (
            Event(
                event_id=f"{number if dice.random() < 0.95 else 0}" + "x" * dice.choice([0, 124]),
                user_id="u",
                type=kind,
                ts_ms=min(at_ms, LAST_MS),
                item_id=item.item_id if item else None,
                query=hostile_text(dice, dice.choice([1, 512])) if kind == "search" else None,
            ),
            item if dice.random() < 0.95 else None,
            offset,
        )


def trigger_moves(profile: Profile, event: Event, watermark_ms: int) -> str | None:
    """What the partition does with the trigger around an event: fire what is due, then consider the event."""
    due_ms = trigger.due_ms(profile, TRIGGER)
    fired = trigger.fire(profile, due_ms) if due_ms is not None and due_ms <= watermark_ms else None
    trigger.consider(profile, event, TRIGGER)
    return fired


@settings(max_examples=16, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), many=st.booleans())
@example(seed=1, many=True)
def test_encoded_profile_is_bounded_and_lossless_whatever_comes(seed: int, many: bool) -> None:
    dice = random.Random(seed)
    items = hostile_items(dice)
    policy = ProfilePolicy()
    features = {item.item_id: item_features(item, max_tag_bytes=policy.short_term.max_tag_bytes) for item in items}
    known = QueryTags()
    for feature in features.values():
        known.learn(feature)
    profile = Profile()
    names = {hostile_text(dice, dice.choice([1, 60, 512])): hostile_text(dice, dice.choice([0, 5, 512])) for _ in range(64)}
    refused = update_attributes(profile, UserAttributes(user_id="u", attributes=dict(names)), max_bytes=policy.attribute_bytes)
    assert set(profile.attributes).isdisjoint(refused)
    assert set(profile.attributes) | set(refused) == set(names)
    largest = 0
    for event, item, offset in hostile_events(dice, items, 1_500 if many else 120):
        tags = known.find(event.query) if event.query else ()
        update(profile, event, features[item.item_id] if item else None, tags, offset=offset, policy=policy)
        trigger_moves(profile, event, event.ts_ms)
        if offset % 16 == 0 or not many:
            written = encode(profile)
            largest = max(largest, len(written))
            assert encode(decode(written)) == written
    written = encode(profile)
    assert max(largest, len(written)) <= PROFILE_BYTES
    assert encode(decode(written)) == written


def fullest_profile(policy: ProfilePolicy) -> Profile:
    """Every budget used up, every number as long as it can be written."""
    profile = Profile()
    profile.offset = profile.attributes_offset = LAST_OFFSET
    profile.events = profile.positives = 2**40
    profile.last_ms = profile.landmark_ms = profile.asked_ms = profile.pending_since_ms = LAST_MS
    profile.mass = profile.asked_mass = 1e300
    profile.approved_cycle = 2**40
    profile.pending = "search"
    profile.attributes = {"n" * 60: "v" * 60, "m" * 30: "w" * 30}
    windows = policy.window
    profile.visit_days = list(range(65_525, 65_536))
    seen = 65_535 << 16 | 65_534
    profile.seen_categories = dict.fromkeys(range(windows.max_categories), seen)
    profile.seen_brands = dict.fromkeys(range(windows.max_brands), seen)
    profile.seen_sellers = dict.fromkeys(range(windows.max_sellers), seen)
    profile.owned = dict.fromkeys(range(policy.possessions.max_owned))
    profile.in_cart = dict.fromkeys(range(policy.possessions.max_in_cart))
    profile.rejected = dict.fromkeys(range(policy.possessions.max_rejected), 65_535)
    profile.recent_ids = [2**32 - 1] * policy.recent_event_ids
    return profile


def test_bound_of_a_profile_holds_for_the_fullest_one_that_its_policy_allows(new_user: Any) -> None:
    """The pool and the history are filled through `update`, all else to its budget by hand."""
    policy = ProfilePolicy()
    profile = fullest_profile(policy)
    last_day = LAST_MS / DAY_MS
    user = new_user()
    for number in range(60):
        user.next_offset = LAST_OFFSET - 60 + number
        user.does("search", day=last_day, query=f"{number}" * 400, query_tags=(f"interest:{number:02}" + "t" * 20,))
    for belief in user.profile.pool.values():
        belief.count = belief.issued_count = 65_535
        belief.approved_day, belief.cycles, belief.issued_positives = 65_535, 4_095, 2**32 - 1
    profile.pool, profile.deeds = user.profile.pool, user.profile.deeds
    profile.pool_bytes, profile.deeds_bytes = user.profile.pool_bytes, user.profile.deeds_bytes
    assert user.profile.pool_bytes > policy.short_term.pool_bytes * 0.7
    assert len(encode(profile)) <= policy.written_bytes <= PROFILE_BYTES
    assert encode(decode(encode(profile))) == encode(profile)


SMALL = ProfilePolicy(
    window=WindowPolicy(visit_days=4, min_visit_days=1, max_categories=6, max_brands=2, max_sellers=2),
    short_term=ShortTermPolicy(pool_bytes=700, half_life_days=2.0, top=6),
    long_term=LongTermPolicy(cycle_days=3.0, cycles=4, min_cycles=2),
    attribute_bytes=80,
    recent_event_ids=4,
)


@settings(max_examples=16, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), policy=st.sampled_from([SMALL, ProfilePolicy()]))
def test_profile_read_back_after_every_event_goes_on_exactly_as_one_kept_in_memory(seed: int, policy: ProfilePolicy) -> None:
    """Byte-identical states, the same flags and triggers, the same digests: eviction and restarts change no result."""
    dice = random.Random(seed)
    items = hostile_items(dice)[: dice.choice([4, 60])]
    by_id = {item.item_id: item for item in items}
    features = {item.item_id: item_features(item, max_tag_bytes=policy.short_term.max_tag_bytes) for item in items}
    known = QueryTags()
    for learned in features.values():
        known.learn(learned)
    kept, stored = Profile(), encode(Profile())
    for event, item, offset in hostile_events(dice, items, 120):
        feature = features[item.item_id] if item else None
        tags = known.find(event.query) if event.query else ()
        read = decode(stored)
        if dice.random() < 0.05:
            change = UserAttributes(
                user_id="u", attributes={dice.choice("abc"): dice.choice([None, "v" * dice.randrange(60)])}
            )
            results = [update_attributes(profile, change, max_bytes=policy.attribute_bytes) for profile in (kept, read)]
            assert results[0] == results[1]
        flags = [update(profile, event, feature, tags, offset=offset, policy=policy) for profile in (kept, read)]
        told = [found and (found.label, found.related_strict, found.related_loose, found.visit_days) for found in flags]
        assert told[0] == told[1]
        assert trigger_moves(kept, event, event.ts_ms) == trigger_moves(read, event, event.ts_ms)
        assert digest(kept, by_id.get, event.ts_ms, policy) == digest(read, by_id.get, event.ts_ms, policy)
        stored = encode(read)
        assert stored == encode(kept)


def well_known_profile() -> bytes:
    dice = random.Random(7)
    items = hostile_items(dice)
    profile = Profile()
    for event, item, offset in hostile_events(dice, items, 60):
        update(profile, event, item_features(item, max_tag_bytes=48) if item else None, (), offset=offset, policy=SMALL)
    return encode(profile)


WRITTEN = well_known_profile()


def decode_or_refuse(data: bytes) -> None:
    try:
        assert isinstance(decode(data), Profile)
    except DecodeError as error:
        assert str(error)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=300))
@example(b"")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 100_000)
@example(b"\xc1")
@example(b"\x90")
@example(b"\xdc\x00\x1d" + b"\x01" * 29)
@example(b"\xdc\x00\x1d\x02" + b"\xa1\xff" * 28)
def test_decode_of_any_bytes_is_a_profile_or_a_decode_error(data: bytes) -> None:
    decode_or_refuse(data)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, len(WRITTEN) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 20))
def test_decode_of_damaged_profiles_is_a_profile_or_a_decode_error(changes: list[tuple[int, int]], cut_bytes: int) -> None:
    damaged = bytearray(WRITTEN)
    for place, value in changes:
        damaged[place] = value
    decode_or_refuse(bytes(damaged[: len(damaged) - cut_bytes]))


FIELDS = msgspec.msgpack.decode(WRITTEN)


@pytest.mark.parametrize("place", range(len(FIELDS)))
@pytest.mark.parametrize(
    "value", [None, "x", -1, 2**63, 1.5, [1], {"k": 1}, b"\x01\x02\x03", [[1, 2, 3, 4]], {"a": [1]}, [16] * 20]
)
def test_decode_of_a_field_of_another_type_is_a_profile_or_a_decode_error(place: int, value: object) -> None:
    decode_or_refuse(msgspec.msgpack.encode([*FIELDS[:place], value, *FIELDS[place + 1 :]]))


@pytest.mark.parametrize("data", [[1], [4, 5, 6], [0, *FIELDS[1:]], [1, *FIELDS[1:]], [4, *FIELDS[1:], "more"]])
def test_decode_of_another_version_names_it(data: list[object]) -> None:
    with pytest.raises(UnknownVersion, match=f"version {data[0]} is not 2 or 3"):
        decode(msgspec.msgpack.encode(data))


def test_decode_of_a_stranger_is_a_decode_error_and_no_version() -> None:
    with pytest.raises(DecodeError, match="4 bytes are no profile") as caught:
        decode(b"\xa3abc")
    assert not isinstance(caught.value, UnknownVersion)
