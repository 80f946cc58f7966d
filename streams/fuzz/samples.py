"""Valid inputs of every target, from which a fuzzer's mutations start. Nobody's data: all of it is made up here."""

from __future__ import annotations

import lzma

from backports import zstd

from models.entities import Behaviour, Digest, Event, Item, PackedRequest, SerendipityLabel, Tag, UserAttributes
from models.profiles import ItemFeatures, Profile, ProfilePolicy, encode, update
from models.profiles.exchange import Finding, ProfileTags, ProfilingRequest, Shown, Trait
from models.profiles.inferred import Inference, InferredTag
from models.serengpt.address import Asked, cue_of
from models.serengpt.engine import Scored
from streams import codec
from streams.scores.record import Record, encode_record, imagined, scored_titles
from streams.slates.packed import encode_slate
from streams.slates.record import ReadItem, ReadSlate
from streams.state import ProfileState, encode_profile_state

_DAY_MS = 86_400_000

TILL_HEADER = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
_TILL = TILL_HEADER + (
    b"536365,85123A,WHITE HEART HOLDER,6.0,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
    b"536365,20685,DOORMAT RED,2.0,2010-12-01 08:26:00,7.95,17850.0,United Kingdom\n"
    b'C536366,85123a,"WHITE, HEART ""HOLDER""",-1.0,2010-12-01 08:28:00,2.55,17850.0,France\n'
)
JOURNEY_TABLES: dict[str, bytes] = {
    "products": b"product_id,manufacturer_id,department,brand,product_category,product_type,package_size\n"
    b"10,69,GROCERY,Private,FROZEN  PIZZA,PIZZA/PREMIUM,12 OZ\n11,151,GROCERY,National,SOFT DRINKS,SOFT DRINKS,\n",
    "transactions_sample": b"household_id,store_id,basket_id,product_id,quantity,sales_value,week,transaction_timestamp\n"
    b"1,309,500,10,2.0,6.0,5,2017-01-28 19:06:53\n",
    "promotions_sample": b"product_id,store_id,display_location,mailer_location,week\n10,309,0,A,5\n",
    "demographics": b"household_id,age,income,home_ownership,marital_status,household_size,household_comp,kids_count\n"
    b"1,65+,35-49K,,Married,2,2 Adults No Kids,0\n",
    "coupons": b"coupon_upc,product_id,campaign_id\n77,10,3\n",
    "coupon_redemptions": b"household_id,coupon_upc,campaign_id,redemption_date\n1,77,3,2017-01-28\n",
}
_TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_LINES = b'{"event_id":"1","user_id":"u","type":"visit","ts_ms":5}\n\n{"a":1}\nlast'
_CSV = b'a,b,c\n1,2,3\n"4\n5","6""7",8\n'
_TOML = (
    b'kafka.bootstrap = "127.0.0.1:9092"\n[rules.profile.window]\nvisit_days = 10\n[redis]\nurl = "redis://u:p@h:1/0?db=2"\n'
    b"[rules.profile.short_term]\nhalf_life_days = 3.5\n"
)
_VARIABLES = b"JUDGING_BATCH=4\nREDIS_URL=redis://u:p@h:1/0\nRULES_PROFILE_WINDOW_VISIT_DAYS=10\nKAFKA_MANAGE_TOPICS=false"
_ABOUT = (
    b'{"name":"n","licence":"l","source":"s","first_ts_ms":1,"last_ts_ms":2,"events":1,"users":1,"items":1,'
    b'"events_by_type":{"visit":1},"impressions":false,"notes":"","importer_version":1}'
)

_EVENTS = [
    Event(event_id="e1", user_id="u", type="visit", ts_ms=20_000 * _DAY_MS, surface="home"),
    Event(event_id="e2", user_id="u", type="search", ts_ms=20_000 * _DAY_MS + 5, query="red müg \U0001f600"),
    Event(
        event_id="e3",
        user_id="u",
        type="purchase",
        ts_ms=20_001 * _DAY_MS,
        item_id="i",
        slot=3,
        dwell_ms=7,
        quantity=2,
        channel="serendipity",
        slate_id="1-2",
    ),
]
_ITEM = Item(item_id="i", title="mug", category=("home", "mugs"), brand="b", seller="s", price=1.5, tags=("interest:tea",))
_DIGEST = Digest(
    static=("age: 35-44",),
    long_term=(Tag("tea", "interest", 0.5, (3,)),),
    short_term=(Tag("red", "attribute", 0.25, (3, 4)),),
    history=(Behaviour("click", "a mug", 5, 5, "i", "mugs"),),
)
_LABEL = SerendipityLabel(
    event_id="e",
    user_id="u",
    item_id="i",
    title="t",
    category="mugs",
    ts_ms=5,
    partition=2,
    offset=5,
    channel=None,
    related_strict=True,
    related_loose=False,
    visit_days=3,
    digest=_DIGEST,
)


def _slate(*items: ReadItem) -> bytes:
    return encode_slate(ReadSlate(3, 70, 1_000, 1_010, 2_000, "model@1", "serengpt", items))


SLATES = [
    _slate(),
    _slate(ReadItem("a", 0.9, 0.5, 0.25, 1.0, 0.125, 1), ReadItem("bé", 0.1, 0.0, 1.0, 0.5, 0.0, 4)),
    _slate(*(ReadItem(f"item-{place}", 1 / (place + 1), 0.5, 0.5, 0.5, 0.02, place % 5) for place in range(50))),
]


_ASKED = Asked("small@0123456789ab", 1)
_SCORES: list[Record] = [
    imagined(_ASKED, "prompt 144", cue_of(_DIGEST), n=2, seed=7, titles=("a mug", "a m\u00fcg")),
    *scored_titles(
        _ASKED, "prompt 144", cue_of(Digest()), ("mug", "tea tin"), (Scored(-1.25, -3.5, 2), Scored(-1e-9, -70.0, 3))
    ),
]


def _profile() -> Profile:
    profile = Profile()
    item = ItemFeatures(name=1, category=2, brand=3, seller=4, tags=("category:mugs", "interest:tea"))
    for offset, event in enumerate(_EVENTS):
        update(profile, event, item if event.item_id else None, ("attribute:red",), offset=offset, policy=ProfilePolicy())
    return profile


def _inferred() -> Profile:
    """The same with a tag that a language model inferred."""
    profile = _profile()
    tag = InferredTag(score=5_000, day=1, evidence=(2,), names=(1,))
    profile.inference = Inference(asked_ms=7, short_term={"interest:tea": tag}, long_term={"scenario:guests": tag})
    return profile


INFERRED = encode(_inferred())
_ANSWER = ProfileTags(
    user_id="u",
    asked_ms=7,
    model_id="m",
    shown=(Shown(2, 1), Shown(4, 0)),
    short_term=(Finding(family="interest", text="tea", score=0.5, evidence=(0, 1), reason="twice"),),
    long_term=(Trait(family="scenario", text="guests", score=0.25, sources=("interest:tea",)),),
    wanted=2,
    matched={"interest:tea": 1},
    refused={"na": 1},
)


def _question(profile: Profile) -> ProfilingRequest:
    return ProfilingRequest(user_id="u", reason="drift", as_of_ms=7, epoch=1, partition=2, offset=5, profile=encode(profile))


def _request(profile: Profile) -> PackedRequest:
    return PackedRequest(
        user_id="u",
        surface="home",
        reason="visit",
        as_of_ms=7,
        epoch=1,
        partition=2,
        offset=5,
        drift=0.5,
        last_asked_ms=3,
        profile=encode(profile),
    )


_PAIR = (
    b'{"id":"a","user":{"static":{"age":"35-44","children":2},"history":[{"title":"Alien (1979)","category":"Horror|Sci-Fi",'
    b'"rating":4.5,"ts_ms":1291191960000},{"title":"Tea","category":"Food > Tea"}],"queries":["space films"]},'
    b'"item":{"title":"Aliens (1986)","category":"Action|Sci-Fi"}}'
)


def samples() -> dict[str, list[bytes]]:
    """Valid inputs by target."""
    profiles = [Profile(), _profile()]
    states = [ProfileState(1, 2, 3, encode(profiles[1]), _TRACEPARENT), ProfileState(1, 2, 3, encode(profiles[0]))]
    return {
        "event": [codec.encode(event) for event in _EVENTS],
        "item": [codec.encode(_ITEM)],
        "attributes": [codec.encode(UserAttributes(user_id="u", attributes={"age": "35-44", "city": None}))],
        "request": [codec.encode_request(_request(profile)) for profile in profiles],
        "label": [codec.encode(_LABEL)],
        "question": [codec.encode_question(_question(profile)) for profile in (*profiles, _inferred())],
        "profile-tags": [codec.encode(_ANSWER)],
        "model-text": [b'Sure: {"thoughts":"","interest":[{"tag":"tea","evidence":[1],"reason":"r"}],"brand":"NA"}'],
        "slate": SLATES,
        "slate-sealed": [slate[:-4] for slate in SLATES],
        "slate-changed": [b"\0\5\1", b"\0\0\1\0\7\x80\0\x50\xff"],
        "profile": [*(encode(profile) for profile in profiles), INFERRED],
        "profile-stored": [encode_profile_state(state) for state in states],
        "score-record": [encode_record(record) for record in _SCORES],
        "score-addressed": [encode_record(record) for record in _SCORES],
        "key": [b"17850", "müller".encode()],
        "traceparent": [_TRACEPARENT],
        "config-file": [_TOML],
        "config-variables": [_VARIABLES],
        "log": [_LINES],
        "log-zstd": [zstd.compress(_LINES), zstd.compress(b"one\n") + zstd.compress(b"two")],
        "log-folded": [_LINES],
        "log-about": [_ABOUT],
        "table": [_CSV],
        "table-xz": [lzma.compress(_CSV, preset=0)],
        "table-folded": [_CSV],
        "online-retail": [_TILL.removeprefix(TILL_HEADER)],
        "complete-journey": [
            bytes([place]) + JOURNEY_TABLES[name].partition(b"\n")[2] for place, name in enumerate(sorted(JOURNEY_TABLES))
        ],
        "pair": [_PAIR, b'{"id":2,"user":{},"item":{"title":"Tea","category":["Food","Tea"]}}'],
        "parts": [b'{"id":"a","relevance":0.5,"unexpectedness":1,"novelty":null}', b"{}"],
        "title": ["RED Mug \ufdfa <|answer|>\n".encode(), b"\0\1\2\3"],
    }
