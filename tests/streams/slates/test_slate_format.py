"""The packed slate: FORMAT.md, its golden vectors, and what any bytes may do to a reader."""

from __future__ import annotations

import json
import math
import re
import typing
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import models.errors
from models.entities import ScoredItem, Slate, Tier
from models.errors import DecodeError, RequestError, UnknownVersion
from models.reasons import REASONS
from streams.slates import packed
from streams.slates.packed import TIER_BY_CODE, decode_slate, encode_slate
from streams.slates.record import ReadItem, ReadSlate

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden" / "slates"
FORMAT = (ROOT / "streams" / "slates" / "FORMAT.md").read_text(encoding="utf-8")
VECTORS = sorted(path.stem for path in GOLDEN.glob("*.hex"))
REFUSED = json.loads((GOLDEN / "refused.json").read_text(encoding="utf-8"))

ITEM = ReadItem("i", 0.5, 0.5, 0.5, 0.5, 0.5, 1)
SLATE = ReadSlate(3, 70, 1_000, 2_000, 5_000, "m1", "serengpt", (ITEM,))

UNIT = st.floats(0, 1)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=32)  # at most 128 bytes
ITEMS = st.builds(ReadItem, IDS, UNIT, UNIT, UNIT, UNIT, UNIT, st.integers(0, 255))
SLATES = st.builds(
    ReadSlate,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**53 - 1),
    st.integers(0, 2**53 - 1),
    st.integers(0, 2**53 - 1),
    IDS,
    st.sampled_from(sorted(TIER_BY_CODE.values())),
    st.lists(ITEMS, max_size=6, unique_by=lambda item: item.item_id).map(tuple),
)


def golden_bytes(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.hex").read_text(encoding="utf-8"))


def golden_slate(name: str) -> ReadSlate:
    fields = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return ReadSlate(**{**fields, "items": tuple(ReadItem(**item) for item in fields["items"])})


@pytest.mark.parametrize("name", VECTORS)
def test_golden_vector_decodes_to_its_json_twin_and_back(name: str) -> None:
    assert decode_slate(golden_bytes(name)) == golden_slate(name)
    assert encode_slate(golden_slate(name)) == golden_bytes(name)


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["name"])
def test_refused_vector_raises_its_error(vector: dict[str, str]) -> None:
    with pytest.raises(DecodeError) as raised:
        decode_slate(bytes.fromhex(vector["hex"]))
    assert type(raised.value) is getattr(models.errors, vector["error"])


def test_encode_writes_the_bytes_that_the_format_says() -> None:
    """By hand from FORMAT.md: 0.5 x 65535 = 32767.5, which rounds to the even 0x8000; 0.5 x 255 = 127.5 to the even 0x80."""
    body = bytes.fromhex(
        "53524e53 0001 01 01"  # SRNS, version 1, tier serengpt, one item
        "00000003 0000000000000046"  # epoch 3, offset 70
        "00000000000003e8 00000000000007d0 0000000000001388"  # 1000, 2000, 5000 ms
        "02 6d31"  # m1
        "8000 8000 80 80 80 01"  # serendipity, propensity, relevance, unexpectedness, aligned, reason
        "01 69"  # i
    )
    assert encode_slate(SLATE) == body + zlib.crc32(body).to_bytes(4, "big")


@given(SLATES)
def test_slate_survives_packing_to_within_a_step(slate: ReadSlate) -> None:
    decoded = decode_slate(encode_slate(slate))
    assert decoded._replace(items=()) == slate._replace(items=())
    for before, after in zip(slate.items, decoded.items, strict=True):
        assert (after.item_id, after.reason) == (before.item_id, before.reason)
        assert after.serendipity == pytest.approx(before.serendipity, abs=0.51 / 65535)
        assert after.propensity == pytest.approx(before.propensity, abs=1 / 65535)
        assert after[2:5] == pytest.approx(before[2:5], abs=0.51 / 255)
        assert (after.propensity > 0) == (before.propensity > 0)


@given(SLATES)
def test_packing_is_canonical(slate: ReadSlate) -> None:
    value = encode_slate(slate)
    assert encode_slate(decode_slate(value)) == value


@given(SLATES)
def test_entity_and_record_of_one_slate_have_the_same_bytes(slate: ReadSlate) -> None:
    fields = {**slate._asdict(), "items": tuple(ScoredItem(**item._asdict()) for item in slate.items)}
    assert encode_slate(Slate(user_id="u", surface="home", **fields)) == encode_slate(slate)


def seal(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "big")


@given(
    st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: seal(b"SRNS\x00\x01" + tail)) | SLATES.map(encode_slate)
)
def test_decode_of_any_bytes_is_a_slate_or_a_decode_error(value: bytes) -> None:
    try:
        slate = decode_slate(value)
    except DecodeError:
        return
    assert encode_slate(slate) == value


@given(SLATES, st.integers(0, 10_000), st.integers(0, 255))
def test_decode_of_a_changed_and_resealed_slate_is_a_slate_or_a_decode_error(slate: ReadSlate, at: int, byte: int) -> None:
    body = bytearray(encode_slate(slate)[:-4])
    body[at % len(body)] = byte
    try:
        decode_slate(seal(bytes(body)))
    except DecodeError:
        return


@given(SLATES, st.integers(1, 400))
def test_decode_of_a_cut_slate_is_a_decode_error_sealed_or_not(slate: ReadSlate, cut: int) -> None:
    value = encode_slate(slate)
    with pytest.raises(DecodeError):
        decode_slate(value[:-cut])
    with pytest.raises(DecodeError):
        decode_slate(seal(value[:-4][:-cut]))


@given(SLATES, st.data())
def test_decode_notices_any_changed_bit(slate: ReadSlate, data: st.DataObject) -> None:
    value = bytearray(encode_slate(slate))
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecodeError):
        decode_slate(bytes(value))


def test_decode_of_a_later_version_is_unknown_version_whatever_follows_the_fence() -> None:
    value = bytearray(encode_slate(SLATE))
    value[4:6] = b"\x00\x02"
    value[20:] = b"?" * len(value[20:])
    with pytest.raises(UnknownVersion, match="version 2"):
        decode_slate(bytes(value))


def test_decode_of_a_huge_value_is_refused_unread() -> None:
    with pytest.raises(DecodeError, match="65536"):
        decode_slate(encode_slate(SLATE)[:-4] + bytes(65_536))


@pytest.mark.parametrize("field", ["serendipity", "relevance", "unexpectedness", "aligned", "propensity"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5, -0.5])
def test_encode_of_a_score_that_is_no_share_is_refused(field: str, value: float) -> None:
    slate = SLATE._replace(items=(ITEM._replace(**{field: value}),))
    with pytest.raises(RequestError, match="score"):
        encode_slate(slate)


def test_encode_of_a_score_beyond_its_bound_by_rounding_is_taken() -> None:
    slate = SLATE._replace(items=(ITEM._replace(serendipity=1.0000002, relevance=-1e-9),))
    assert decode_slate(encode_slate(slate)).items[0][1:3] == (1.0, 0.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epoch": 2**32}, "epoch = 4294967296"),
        ({"epoch": -1}, "epoch = -1"),
        ({"offset": 2**63}, "offset"),
        ({"watermark_ms": 2**53}, "watermark_ms"),
        ({"published_ms": -1}, "published_ms"),
        ({"soft_expiry_ms": 2**53}, "soft_expiry_ms"),
        ({"tier": "best"}, "tier 'best'"),
        ({"model_id": ""}, "model_id '' has 0 bytes"),
        ({"items": (ITEM._replace(item_id="é" * 65),)}, "130 bytes"),
        ({"items": (ITEM._replace(item_id="\ud800"),)}, "UTF-8"),
        ({"items": (ITEM._replace(reason=256),)}, "reason"),
        ({"items": (ITEM, ITEM)}, "twice"),
        ({"items": tuple(ITEM._replace(item_id=str(at)) for at in range(256))}, "256 items, the bound is 255"),
    ],
)
def test_encode_out_of_bounds_is_refused_by_name(change: dict[str, typing.Any], named: str) -> None:
    with pytest.raises(RequestError, match=re.escape(named)):
        encode_slate(SLATE._replace(**change))


def test_largest_slate_fits_its_bound() -> None:
    items = tuple(ITEM._replace(item_id=f"{at:0128}") for at in range(255))
    value = encode_slate(SLATE._replace(model_id="m" * 128, items=items))
    assert len(value) == 44 + 1 + 128 + 255 * (8 + 1 + 128) + 4 < packed.SLATE_BYTES


@pytest.mark.parametrize(("id_bytes", "packed_bytes"), [(5, 763), (8, 913)])
def test_fifty_items_take_the_bytes_that_the_format_says(id_bytes: int, packed_bytes: int) -> None:
    items = tuple(ITEM._replace(item_id=f"{at:0{id_bytes}}") for at in range(50))
    assert len(encode_slate(SLATE._replace(model_id="serengpt-small", items=items))) == packed_bytes
    assert f"{packed_bytes}" in FORMAT


def test_tier_codes_cover_the_tiers_and_stand_in_the_format() -> None:
    assert set(TIER_BY_CODE.values()) == set(typing.get_args(Tier))
    assert ", ".join(f"{code} {tier}" for code, tier in TIER_BY_CODE.items()) in FORMAT


def test_reasons_stand_in_the_format() -> None:
    assert all(f"| {reason} | {text} |" in FORMAT for reason, text in REASONS.items())


def test_record_has_the_fields_of_the_entities() -> None:
    entity = {field.name for field in msgspec.structs.fields(Slate)} - {"user_id", "surface"}
    assert set(ReadSlate._fields) == entity
    assert ReadItem._fields == ScoredItem.__struct_fields__


def test_slate_is_stale_from_its_soft_expiry_on() -> None:
    assert [SLATE.is_stale(now_ms) for now_ms in (4_999, 5_000, 5_001)] == [False, True, True]
    assert [SLATE.age_ms(now_ms) for now_ms in (900, 1_000, 1_500)] == [0, 0, 500]
    assert SLATE.slate_id == "3-70"
