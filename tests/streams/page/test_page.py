"""The HTML page: nothing from outside becomes markup, nothing is loaded, and what is shown is what the report says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Behaviour, Candidate, Digest, Filtered, ScoredItem, Source, Tag, Trace
from models.profiles.policy import DAY_MS
from models.reasons import REASONS
from models.retrieval import filters
from streams.page import ItemCard, PageReport, PlacedCard, RunSummary, SlateStamp, TimelineEvent, UserPage, render
from streams.page import view as rows
from streams.page.render import SCRIPTS, STYLES, _read
from streams.page.view import NONE, RULE_WORDS, TYPES, ViewPolicy, view

START_MS = 15_000 * DAY_MS  # 26 January 2011
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "--></script><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; \u2028 \u2029 \x00 \x1b[2J",
    "{{script}} {{data}} \\1 \\g<0>",
    "\"}]}'`${alert(1)}",
    "javascript:alert(1)",
)


class Elements(HTMLParser):
    """The elements of a page in order, with their attributes, and the texts of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.scripts: list[str] = []
        self.is_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        self.is_script = tag == "script"
        if self.is_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.is_script = False

    def handle_data(self, data: str) -> None:
        if self.is_script:
            self.scripts[-1] += data


def summary(**changes: Any) -> RunSummary:
    run = RunSummary(
        log_name="Online Retail",
        first_ts_ms=START_MS,
        last_ts_ms=START_MS + 9 * DAY_MS,
        impressions=False,
        notes=("This log has no impressions: purchases and clicks count as seen.",),
        events=6,
        users=1,
        triggers={"visit": 2, "search": 1, "drift": 0},
        slates=1,
        items_per_slate=1.0,
        labels=1,
        serendipity_related_strict=1,
        serendipity_related_loose=2,
        unknown_items=0,
        dead_letters=0,
        seconds=1.5,
        events_per_second=4.0,
        model_id="m1",
        workers=1,
        partitions=4,
        python="3.11.2",
        versions={"redis": "6.4.0", "faust-streaming": "0.15.3"},
    )
    return msgspec.structs.replace(run, **changes)


def trace(text: str, digest: Digest) -> Trace:
    return Trace(
        user_id="u1",
        surface="home",
        reason="visit",
        as_of_ms=START_MS + 9 * DAY_MS,
        offset=5,
        digest=digest,
        imagined=(f"red tin {text}", "tea pot"),
        candidates=(
            Candidate(item_id="tin", relevance=1.0, sources=(Source("keyword", 0, 1, 3.25), Source("vector", 0, 2, 0.5))),
            Candidate(item_id="pot", relevance=0.123456789, sources=(Source("keyword", 1, 1, 2.0),)),
            Candidate(item_id="cup", relevance=0.25, sources=()),
        ),
        filtered=(Filtered("pot", "slate_size"), Filtered("cup", "owned")),
        kept=(
            ScoredItem(
                item_id="tin",
                serendipity=0.4,
                relevance=1.0,
                unexpectedness=0.8,
                aligned=0.5,
                propensity=0.33333333,
                reason=2,
            ),
        ),
    )


def user(text: str = "", **changes: Any) -> UserPage:
    digest = Digest(
        static=(f"country: {text}",),
        long_term=(Tag("baking", "interest", 0.75, (1,)), Tag("garden", "interest", 0.5, (2,))),
        short_term=(Tag("red", "attribute", 0.123456, (1, 4)),),
        history=(Behaviour(type="purchase", title=f"cup {text}", ts_ms=START_MS, offset=1, item_id="cup"),),
    )
    page = UserPage(
        user_id=f"u1{text}",
        static=digest.static,
        events=(
            TimelineEvent(offset=0, ts_ms=START_MS, type="visit"),
            TimelineEvent(offset=1, ts_ms=START_MS + 1, type="purchase", item_id="cup", label=True),
            TimelineEvent(offset=2, ts_ms=START_MS + 2, type="purchase", item_id="pot", label=False),
            TimelineEvent(offset=3, ts_ms=START_MS + 9 * DAY_MS, type="search", query=f"tin {text}"),
            TimelineEvent(offset=4, ts_ms=START_MS + 9 * DAY_MS + 1, type="click", item_id="gone"),
            TimelineEvent(offset=5, ts_ms=START_MS + 9 * DAY_MS + 2, type="cancel", item_id="pot"),
        ),
        digest=digest,
        trace=trace(text, digest),
        slate=SlateStamp(
            published_ms=START_MS, soft_expiry_ms=START_MS + 1, tier="serengpt", model_id="m1", epoch=3, offset=5
        ),
        page=(
            PlacedCard(item_id="cup", channel="personalised", score=9.5, boosted_score=1.0, why=f"best {text}"),
            PlacedCard(item_id="tin", channel="serendipity", score=0.4, boosted_score=0.6, why="highest score left"),
        ),
    )
    return msgspec.structs.replace(page, **changes)


def report(text: str = "") -> PageReport:
    items = {
        "cup": ItemCard(title=f"blue cup {text}", category=("kitchen", f"cups {text}"), price=1.5),
        "pot": ItemCard(title="tea pot", category=("kitchen", "pots")),
        "tin": ItemCard(
            title=f"Red cake tin {text}", category=("kitchen", "tins"), price=2.0, tags=("interest:baking", f"brand:{text}")
        ),
        "other": ItemCard(title="named nowhere", category=("garden",)),
    }
    return PageReport(run=summary(log_name=f"log {text}", notes=(text,), model_id=text), users=(user(text),), items=items)


def data_of(page: str) -> Any:
    return json.loads(Elements(page).scripts[0])


# ---------------------------------------------------------------------- nothing from outside becomes markup


@pytest.mark.parametrize("text", HOSTILE)
def test_page_with_hostile_text_has_the_elements_of_a_harmless_one_and_carries_the_text_unchanged(text: str) -> None:
    page = render(report(text))
    assert Elements(page).elements == Elements(render(report("harmless"))).elements
    data = data_of(page)
    assert data["users"][0]["user_id"] == f"u1{text}"
    assert data["users"][0]["trace"]["imagined"][0] == f"red tin {text}"
    assert f"blue cup {text}" in [item[1] for item in data["items"]]
    assert data["run"]["notes"] == [text]


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_page_with_any_text_has_two_scripts_and_carries_the_text(text: str) -> None:
    page = Elements(render(report(text)))
    assert len(page.scripts) == 2
    assert json.loads(page.scripts[0])["users"][0]["events"][3][4] == f"tin {text}"


def test_embedded_data_holds_no_character_that_markup_needs() -> None:
    data = Elements(render(report("".join(HOSTILE)))).scripts[0]
    assert not re.search(r"[<>&]", data)


def test_script_has_no_way_to_turn_text_into_markup_or_code() -> None:
    script = "".join(map(_read, SCRIPTS))
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|DOMParser", script
    )


# ---------------------------------------------------------------------- nothing is loaded


def test_page_loads_nothing() -> None:
    page = render(report("harmless"))
    assert not re.search(r"https?:|//[a-z0-9-]+\.|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", page)
    for name, attributes in Elements(page).elements:
        assert name not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        for attribute, value in attributes:
            assert attribute != "src"
            assert attribute != "href" or (value or "").startswith("#")


def test_policy_of_the_page_allows_its_own_script_and_style_and_nothing_else() -> None:
    page = render(report())
    policy = next(
        dict(attributes)["content"]
        for name, attributes in Elements(page).elements
        if name == "meta" and attributes[0][0] == "http-equiv"
    )
    script = Elements(page).scripts[1]
    style = page.partition("<style>")[2].partition("</style>")[0]
    allowed = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    assert (policy or "").split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{allowed[0]}'",
        f"script-src 'sha256-{allowed[1]}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_every_slot_of_the_template_is_filled() -> None:
    assert "{{" not in render(report())
    assert all(_read(name).strip() for name in (*STYLES, *SCRIPTS))


def test_every_element_that_the_script_looks_up_is_in_the_template() -> None:
    wanted = set(re.findall(r'\$\("([\w-]+)"\)', "".join(map(_read, SCRIPTS))))
    assert wanted
    assert wanted <= set(re.findall(r'id="([\w-]+)"', _read("page.html")))


# ---------------------------------------------------------------------- same report, same page


def test_report_survives_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(report("x")), type=PageReport) == report("x")


def test_same_report_in_another_order_of_its_dictionaries_gives_the_same_bytes() -> None:
    one = report("x")
    run = summary(log_name="log x", notes=("x",), model_id="x", triggers={"drift": 0, "search": 1, "visit": 2})
    run = msgspec.structs.replace(run, versions=dict(reversed(run.versions.items())))
    other = PageReport(run=run, users=one.users, items=dict(reversed(one.items.items())))
    assert render(one).encode() == render(other).encode()


def test_page_of_twelve_busy_users_is_below_a_megabyte_and_a_half() -> None:
    title = "a title of usual length, vintage number {}".format
    items = {
        f"i{n}": ItemCard(title=title(n), category=("home", f"leaf {n % 300}"), price=1.0, tags=("attribute:red",))
        for n in range(3600)
    }
    sources = tuple(Source("vector", n, 10 + n, 0.123456) for n in range(4))
    users = []
    for number in range(12):
        ids = [f"i{(number * 300 + n) % 3600}" for n in range(300)]
        kept = tuple(
            ScoredItem(
                item_id=i, serendipity=0.123456, relevance=0.7, unexpectedness=0.9, aligned=0.4, propensity=0.1, reason=1
            )
            for i in ids[:50]
        )
        asked = msgspec.structs.replace(
            trace("", user().digest),
            imagined=tuple(title(n) for n in range(30)),
            candidates=tuple(Candidate(item_id=i, relevance=0.123456, sources=sources) for i in ids),
            filtered=tuple(Filtered(i, "score_limit") for i in ids[50:]),
            kept=kept,
        )
        events = tuple(
            TimelineEvent(offset=400_000 + n, ts_ms=START_MS + n, type="purchase", item_id=ids[n % 300]) for n in range(8000)
        )
        users.append(user(user_id=str(number), events=events, trace=asked))
    assert len(render(PageReport(run=summary(), users=tuple(users), items=items)).encode()) < 1_500_000


# ---------------------------------------------------------------------- what is shown is what the report says


def shown(page: PageReport, **policy: int) -> rows.UserView:
    return view(page, policy=ViewPolicy(**policy)).users[0]


def test_days_count_all_events_also_those_whose_items_are_left_out() -> None:
    days = shown(report(), events_per_user=1).days
    assert days == (
        rows.DayRow(day=15_000, visits=1, wanted=2, refused=0, searches=0, exposed=0, labels=1),
        rows.DayRow(day=15_009, visits=0, wanted=1, refused=1, searches=1, exposed=0, labels=0),
    )


def test_events_beyond_the_bound_are_left_out_unless_a_belief_rests_on_them() -> None:
    one = shown(report(), events_per_user=1)
    assert [event.offset for event in one.events] == [1, 2, 4, 5]  # 5 is the newest; 1, 2 and 4 are evidence
    assert one.events_count == 6


def test_event_refers_to_its_item_and_type_by_position() -> None:
    whole = view(report(), policy=ViewPolicy())
    search, click = whole.users[0].events[3:5]
    assert (TYPES[search.type], search.item, search.query, search.label) == ("search", NONE, "tin ", NONE)
    assert (TYPES[click.type], whole.items[click.item].item_id) == ("click", "gone")


def test_item_that_the_report_does_not_describe_shows_its_id() -> None:
    assert [item.title for item in view(report(), policy=ViewPolicy()).items if item.item_id == "gone"] == ["gone"]


def test_items_that_nothing_names_are_left_out() -> None:
    assert [item.item_id for item in view(report(), policy=ViewPolicy()).items] == ["cup", "gone", "pot", "tin"]


def test_kept_item_names_the_beliefs_whose_words_it_has_short_term_first() -> None:
    asked = shown(report()).trace
    assert asked is not None
    assert [(tag.text, tag.score) for tag in asked.spoken] == [("red", 0.1235), ("baking", 0.75)]
    assert asked.spoken_short_count == 1
    assert asked.kept == (rows.KeptRow(3, 0.4, 1.0, 0.8, 0.5, 0.333, 2, (0, 1)),)


def test_dropped_items_stand_by_rule_in_the_order_of_the_rules() -> None:
    asked = shown(report()).trace
    assert asked is not None
    assert asked.filtered == (rows.FilteredRow("owned", (0,)), rows.FilteredRow("slate_size", (2,)))


def test_unknown_rule_stands_last_and_keeps_its_items() -> None:
    asked = msgspec.structs.replace(
        trace("", user().digest), filtered=(Filtered("cup", "by_law"), Filtered("pot", "slate_size"))
    )
    one = shown(PageReport(run=summary(), users=(user(trace=asked),), items={})).trace
    assert one is not None
    assert [row.rule for row in one.filtered] == ["slate_size", "by_law"]


def test_profile_that_moved_on_since_the_slate_is_told_apart() -> None:
    later = msgspec.structs.replace(user(), digest=Digest())
    before, after = (shown(PageReport(run=summary(), users=(one,), items={})).trace for one in (user(), later))
    assert before is not None
    assert after is not None
    assert (before.digest_differs, after.digest_differs) == (False, True)


def test_user_without_a_slate_and_run_without_users_have_a_page() -> None:
    quiet = UserPage(user_id="quiet", digest=Digest())
    assert data_of(render(PageReport(run=summary(), users=(quiet,), items={})))["users"][0]["trace"] is None
    assert data_of(render(PageReport(run=summary(), users=(), items={})))["users"] == []


def test_every_rule_and_reason_has_words() -> None:
    assert set(RULE_WORDS) == set(filters.RULES)
    assert view(report(), policy=ViewPolicy()).reasons == {str(number): words for number, words in REASONS.items()}


COLUMNS: dict[type[msgspec.Struct], tuple[str, ...]] = {
    rows.ItemRow: ("item_id", "title", "category", "price", "tags"),
    rows.DayRow: ("day", "visits", "wanted", "refused", "searches", "exposed", "labels"),
    rows.EventRow: ("offset", "ts_ms", "type", "item", "query", "label"),
    rows.BehaviourRow: ("type", "title", "ts_ms", "offset"),
    rows.SourceRow: ("vector", "imagined", "rank", "score"),
    rows.CandidateRow: ("item", "relevance", "sources"),
    rows.FilteredRow: ("rule", "items"),
    rows.KeptRow: ("item", "serendipity", "relevance", "unexpectedness", "aligned", "propensity", "reason", "spoken"),
    rows.PlacedRow: ("item", "serendipity", "score", "boosted_score", "why"),
}


@pytest.mark.parametrize("row", COLUMNS, ids=lambda row: row.__name__)
def test_row_keeps_the_columns_that_the_script_reads_by_position(row: type[msgspec.Struct]) -> None:
    assert row.__struct_fields__ == COLUMNS[row]
