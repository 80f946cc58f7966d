"""Laws of the wire format: lossless, bounded, and total: any bytes give an entity or a DecodeError that names the trouble."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from models.entities import (
    Behaviour,
    Digest,
    Event,
    EventType,
    Item,
    PackedRequest,
    SerendipityLabel,
    Tag,
    UserAttributes,
)
from models.errors import DecodeError, UnknownVersion
from streams import codec
from streams.codec import ClockBounds

EVENT: dict[str, Any] = {"event_id": "e", "user_id": "u", "type": "click", "ts_ms": 5, "item_id": "i"}
ITEM: dict[str, Any] = {"item_id": "i", "title": "t", "category": ["a"]}
ATTRIBUTES: dict[str, Any] = {"user_id": "u", "attributes": {"a": "b", "c": None}}
DIGEST = Digest(
    static=("age: 35-44",),
    long_term=(Tag("tea", "interest", 0.5, (3,)),),
    short_term=(Tag("red", "attribute", 0.25, (3, 4)),),
    history=(
        Behaviour(type="search", title="mug", ts_ms=4, offset=4),
        Behaviour(type="click", title="a mug", ts_ms=5, offset=5, item_id="i", category="mugs"),
    ),
)
REQUEST = PackedRequest(
    user_id="u",
    surface="home",
    reason="visit",
    as_of_ms=7,
    epoch=1,
    partition=2,
    offset=5,
    drift=0.5,
    last_asked_ms=3,
    profile=b"packed",
)
LABEL = SerendipityLabel(
    event_id="e",
    user_id="u",
    item_id="i",
    title="t",
    category="mugs",
    ts_ms=5,
    partition=2,
    offset=5,
    channel="serendipity",
    related_strict=True,
    related_loose=True,
    visit_days=3,
    digest=DIGEST,
)
DECODERS: list[Callable[[bytes], Any]] = [
    codec.decode_event,
    codec.decode_item,
    codec.decode_attributes,
    codec.decode_request,
    codec.decode_label,
]


def event(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def item(**changes: Any) -> bytes:
    return json.dumps({**ITEM, **changes}).encode()


# ---------------------------------------------------------------------- round trips

IDS = st.text(min_size=1, max_size=32)
TEXTS = st.text(min_size=1, max_size=80)
EVENTS = st.builds(
    Event,
    event_id=IDS,
    user_id=IDS,
    type=st.sampled_from(get_args(EventType)),
    ts_ms=st.integers(0, 2**53 - 1),
    item_id=IDS,
    query=TEXTS,
    surface=st.none() | IDS,
    slot=st.none() | st.integers(0, 10_000),
    dwell_ms=st.none() | st.integers(0, 2**53 - 1),
    quantity=st.none() | st.integers(1, 10_000_000),
    channel=st.sampled_from([None, "personalised", "serendipity"]),
    slate_id=st.none() | IDS,
)
ITEMS = st.builds(
    Item,
    item_id=IDS,
    title=TEXTS,
    category=st.lists(TEXTS, min_size=1, max_size=16).map(tuple),
    brand=st.none() | TEXTS,
    seller=st.none() | TEXTS,
    price=st.none() | st.floats(0, 1e12),
    available=st.booleans(),
    tags=st.lists(TEXTS, max_size=64).map(tuple),
)
STABLE = settings(max_examples=80, deadline=None, derandomize=True)


@STABLE
@given(EVENTS)
def test_event_written_and_read_is_the_same(written: Event) -> None:
    assert codec.decode_event(codec.encode(written)) == written


@STABLE
@given(ITEMS)
def test_item_written_and_read_is_the_same(written: Item) -> None:
    assert codec.decode_item(codec.encode(written)) == written


@STABLE
@given(st.builds(UserAttributes, user_id=IDS, attributes=st.dictionaries(TEXTS, st.none() | TEXTS, max_size=64)))
def test_attributes_written_and_read_are_the_same(written: UserAttributes) -> None:
    assert codec.decode_attributes(codec.encode(written)) == written


def test_request_and_label_written_and_read_are_the_same() -> None:
    assert codec.decode_request(codec.encode_request(REQUEST)) == REQUEST
    assert codec.decode_label(codec.encode(LABEL)) == LABEL


# ---------------------------------------------------------------------- any bytes


def refuses_or_decodes(decode: Callable[[bytes], Any], value: bytes) -> None:
    try:
        decode(value)
    except DecodeError as error:
        assert str(error)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
@example(b"")
@example(b"null")
@example(b"[" * 60_000)
@example(b'{"a":' * 10_000)
@example(b"\xff\xfe")
@example(b"1" * 5_000)
@example(b"\xef\xbb\xbf{}")
def test_decode_of_any_bytes_is_an_entity_or_a_decode_error(value: bytes) -> None:
    for decode in DECODERS:
        refuses_or_decodes(decode, value)


VALID = [event(), item(), json.dumps(ATTRIBUTES).encode(), codec.encode_request(REQUEST), codec.encode(LABEL)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(0, 4),
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(b'"\\{}[]:,-.0919eEtfnu\x00\x80\xff\xed')), max_size=4
    ),
    st.floats(0, 1),
)
def test_decode_of_damaged_json_is_an_entity_or_a_decode_error(
    which: int, changes: list[tuple[float, int]], kept_ratio: float
) -> None:
    damaged = bytearray(VALID[which])
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    refuses_or_decodes(DECODERS[which], bytes(damaged))
    refuses_or_decodes(DECODERS[which], bytes(damaged[: int(kept_ratio * len(damaged))]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from([*EVENT, "query", "surface", "slot", "dwell_ms", "quantity", "channel", "slate_id"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
)
@example("ts_ms", 10**4_000)
@example("ts_ms", -(10**30))
def test_decode_of_a_field_with_any_json_value_is_an_event_or_a_decode_error(name: str, value: Any) -> None:
    refuses_or_decodes(codec.decode_event, event(**{name: value}))


@pytest.mark.parametrize(
    "value",
    [
        rb'{"event_id":"e","user_id":"\ud800","type":"visit","ts_ms":5}',
        rb'{"event_id":"e","user_id":"\udc00x","type":"visit","ts_ms":5}',
        rb'{"event_id":"e","user_id":"u","type":"search","ts_ms":5,"query":"\ud800\u0041"}',
        b'{"event_id":"e","user_id":"u","type":"search","ts_ms":5,"query":"\xed\xa0\x80"}',
    ],
)
def test_decode_of_unpaired_surrogates_is_a_decode_error(value: bytes) -> None:
    """No text with a surrogate gets in, so every text inside has UTF-8 bytes."""
    with pytest.raises(DecodeError):
        codec.decode_event(value)


def test_decode_of_a_surrogate_pair_is_one_character() -> None:
    assert codec.decode_event(event(user_id="😀")).user_id == "😀"


# ---------------------------------------------------------------------- bounds

AT_THE_BOUND = [
    ("event", {"user_id": "x" * 128}, {"user_id": "x" * 129}),
    ("event", {"event_id": "x" * 128}, {"event_id": "x" * 129}),
    ("event", {"item_id": "x" * 128}, {"item_id": "x" * 129}),
    ("event", {"surface": "x" * 128}, {"surface": "x" * 129}),
    ("event", {"slate_id": "x" * 128}, {"slate_id": "x" * 129}),
    ("event", {"user_id": "x"}, {"user_id": ""}),
    ("event", {"user_id": "é" * 64}, {"user_id": "é" * 64 + "x"}),
    ("event", {"event_id": "茶" * 42}, {"event_id": "茶" * 43}),
    ("event", {"item_id": "😀" * 32}, {"item_id": "😀" * 33}),
    ("event", {"surface": "茶" * 42}, {"surface": "茶" * 43}),
    ("event", {"slate_id": "茶" * 42}, {"slate_id": "茶" * 43}),
    ("event", {"query": "茶" * 512}, {"query": "茶" * 513}),
    ("event", {"ts_ms": 0}, {"ts_ms": -1}),
    ("event", {"ts_ms": 2**53 - 1}, {"ts_ms": 2**53}),
    ("event", {"dwell_ms": 2**53 - 1}, {"dwell_ms": 2**53}),
    ("event", {"slot": 10_000}, {"slot": 10_001}),
    ("event", {"quantity": 1}, {"quantity": 0}),
    ("event", {"quantity": 10_000_000}, {"quantity": 10_000_001}),
    ("event", {"channel": "serendipity"}, {"channel": "other"}),
    ("event", {"type": "hide"}, {"type": "nap"}),
    ("event", {"type": "search", "item_id": None, "query": "x"}, {"type": "search", "query": ""}),
    ("event", {"type": "visit", "item_id": None}, {"type": "expose", "item_id": None}),
    ("item", {"item_id": "é" * 64}, {"item_id": "é" * 65}),
    ("item", {"title": "茶" * 512}, {"title": "茶" * 513}),
    ("item", {"title": "x"}, {"title": ""}),
    ("item", {"category": ["x"] * 16}, {"category": ["x"] * 17}),
    ("item", {"category": ["x"]}, {"category": []}),
    ("item", {"category": ["x" * 512]}, {"category": ["x" * 513]}),
    ("item", {"tags": ["x"] * 64}, {"tags": ["x"] * 65}),
    ("item", {"price": 0}, {"price": -0.01}),
    ("item", {"price": 1e12}, {"price": 1.1e12}),
    ("item", {"brand": "x" * 512}, {"brand": ""}),
    ("attributes", {"user_id": "é" * 64}, {"user_id": "é" * 65}),
    ("attributes", {"attributes": {f"{n}": "" for n in range(64)}}, {"attributes": {f"{n}": "" for n in range(65)}}),
    ("attributes", {"attributes": {"x": "y" * 512}}, {"attributes": {"x": "y" * 513}}),
]
BY_NAME: dict[str, tuple[dict[str, Any], Callable[[bytes], Any]]] = {
    "event": (EVENT, codec.decode_event),
    "item": (ITEM, codec.decode_item),
    "attributes": (ATTRIBUTES, codec.decode_attributes),
}


@pytest.mark.parametrize(("what", "within", "beyond"), AT_THE_BOUND)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_decode_accepts_the_bound_and_refuses_one_more(
    what: str, within: dict[str, Any], beyond: dict[str, Any], ascii_only: bool
) -> None:
    """Characters from outside ASCII count the same, escaped or not; ids are measured in bytes."""
    base, decode = BY_NAME[what]
    decode(json.dumps({**base, **within}, ensure_ascii=ascii_only).encode())
    with pytest.raises(DecodeError):
        decode(json.dumps({**base, **beyond}, ensure_ascii=ascii_only).encode())


@pytest.mark.parametrize(("which", "bound"), [(0, 65_536), (1, 65_536), (2, 65_536), (4, 262_144)])
def test_decode_accepts_a_message_of_the_bound_and_refuses_one_more_byte(which: int, bound: int) -> None:
    """JSON may be padded with spaces; the bound is checked before anything is parsed."""
    padded = VALID[which].ljust(bound)
    DECODERS[which](padded)
    with pytest.raises(DecodeError, match=f"{bound + 1} bytes are over the bound of {bound}"):
        DECODERS[which](padded + b" ")


def test_decode_accepts_a_request_of_the_bound_and_refuses_one_more_byte() -> None:
    spare = 65_536 - len(codec.encode_request(structs.replace(REQUEST, profile=bytes(1_000)))) + 1_000
    codec.decode_request(codec.encode_request(structs.replace(REQUEST, profile=bytes(spare))))
    with pytest.raises(DecodeError, match="request: 65537 bytes are over the bound of 65536"):
        codec.decode_request(codec.encode_request(structs.replace(REQUEST, profile=bytes(spare + 1))))


def test_longest_possible_label_fits_its_bound() -> None:
    """Texts of control characters, six bytes each in JSON, in every place that a profile and its catalogue can fill."""
    text, name = "\x01" * 512, "\x01" * 128
    tag = Tag("\x01" * 39, "attribute", 0.1234, (2**63 - 1, 2**63 - 1))
    history = tuple(
        Behaviour(type="favourite", title=text, ts_ms=2**53 - 1, offset=2**63 - 1, item_id="x", category=text)
        for _ in range(24)
    )
    longest = SerendipityLabel(
        event_id=name,
        user_id=name,
        item_id=name,
        title=text,
        category=text,
        ts_ms=2**53 - 1,
        partition=2**32 - 1,
        offset=2**63 - 1,
        channel="personalised",
        related_strict=False,
        related_loose=False,
        visit_days=10,
        digest=Digest(static=("\x01" * 192,), long_term=(tag,) * 10, short_term=(tag,) * 20, history=history),
    )
    written = codec.encode(longest)
    assert codec.MESSAGE_BYTES < len(written) <= codec.INTERNAL_BYTES
    assert codec.decode_label(written) == longest


# ---------------------------------------------------------------------- fields, versions, clock


def test_decode_drops_unknown_fields() -> None:
    assert codec.decode_event(event(new_field={"deep": [1]})) == codec.decode_event(event())
    assert codec.decode_item(item(new_field=1)) == codec.decode_item(item())


@pytest.mark.parametrize("name", ["event_id", "user_id", "type", "ts_ms", "item_id"])
def test_decode_of_an_event_without_a_needed_field_names_it(name: str) -> None:
    with pytest.raises(DecodeError, match=name):
        codec.decode_event(json.dumps({key: value for key, value in EVENT.items() if key != name}).encode())


def test_decode_error_names_the_kind_the_field_and_the_bound() -> None:
    with pytest.raises(DecodeError, match="item: item_id of 130 bytes is over the bound of 128"):
        codec.decode_item(item(item_id="é" * 65))
    with pytest.raises(DecodeError, match="user attributes: user_id of 130 bytes"):
        codec.decode_attributes(json.dumps({"user_id": "é" * 65, "attributes": {}}).encode())


def test_decode_of_a_request_of_another_version_is_an_unknown_version() -> None:
    other = codec.encode_request(structs.replace(REQUEST, version=3))
    with pytest.raises(UnknownVersion, match="version 3 is not 2"):
        codec.decode_request(other)


@pytest.mark.parametrize(("ts_ms", "fits"), [(900, True), (899, False), (1_050, True), (1_051, False)])
def test_decode_holds_an_events_time_against_the_brokers_clock(ts_ms: int, fits: bool) -> None:
    """The clock shows 1,000; events may lie 100 behind and 50 ahead."""
    bounds = ClockBounds(ahead_ms=50, behind_ms=100)
    if fits:
        assert codec.decode_event(event(ts_ms=ts_ms), clock_ms=1_000, bounds=bounds).ts_ms == ts_ms
    else:
        with pytest.raises(DecodeError, match=f"ts_ms {ts_ms} is"):
            codec.decode_event(event(ts_ms=ts_ms), clock_ms=1_000, bounds=bounds)


def test_decode_default_clock_bounds_are_a_day_ahead_and_ten_years_behind() -> None:
    now_ms, day_ms = 1_700_000_000_000, 86_400_000
    for ts_ms in (now_ms + day_ms, now_ms - 3_653 * day_ms):
        codec.decode_event(event(ts_ms=ts_ms), clock_ms=now_ms)
    for ts_ms in (now_ms + day_ms + 1, now_ms - 3_653 * day_ms - 1):
        with pytest.raises(DecodeError, match="broker's clock"):
            codec.decode_event(event(ts_ms=ts_ms), clock_ms=now_ms)


def test_decode_without_a_clock_takes_any_time() -> None:
    assert codec.decode_event(event(ts_ms=0)).ts_ms == 0
