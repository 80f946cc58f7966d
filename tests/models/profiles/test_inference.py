"""Laws of what a profile keeps of a language model: when it asks, what it believes, and what takes a tag away again."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.entities import Event, Item, Tag, fingerprint
from models.errors import ConfigError, DecodeError
from models.profiles import PROFILE_BYTES, Profile, ProfilePolicy, decode, digest, encode, item_features, update
from models.profiles import inference as inferring
from models.profiles.exchange import Finding, ProfileTags, Shown, Trait
from models.profiles.inferred import Inference, InferredTag, inference_bytes
from models.profiles.policy import InferencePolicy, ShortTermPolicy

DAY_MS = 86_400_000
DAY = 20_000
ON = InferencePolicy(enabled=True, first_positives=2)
POLICY = ProfilePolicy(inference=ON)


def answer(profile: Profile, *texts: str, places: tuple[int, ...] = (0,), **fields: Any) -> ProfileTags:
    """An answer to the question that waits, with one tag a text, all on the same evidence."""
    assert profile.inference is not None
    asked_ms = profile.inference.asked_ms
    found = tuple(Finding(family="interest", text=text, score=0.5, evidence=places) for text in texts)
    pieces = tuple(inferring.shown(profile, asked_ms, POLICY))
    return ProfileTags(user_id="u", asked_ms=asked_ms, model_id="m", shown=pieces, short_term=found, **fields)


@pytest.fixture
def asked(new_user: Any, thing: Any) -> Any:
    """A user who bought a mug and a tray on one day and was asked about on the next."""
    user = new_user(inference=ON)
    user.does("purchase", thing("mugs"), day=DAY)
    user.does("purchase", thing("trays"), day=DAY)
    assert inferring.ask(user.profile, (DAY + 1) * DAY_MS, POLICY) == "first"
    return user


def tags(profile: Profile, day: float = DAY + 1) -> tuple[Tag, ...]:
    found = digest(profile, lambda _: None, round(day * DAY_MS), POLICY)
    return tuple(tag for tag in found.short_term if tag.family == "interest")


# ---- when it asks


def test_ask_is_off_unless_enabled(new_user: Any, thing: Any) -> None:
    user = new_user()
    for _ in range(9):
        user.does("purchase", thing(), day=DAY)
    before = encode(user.profile)
    assert inferring.ask(user.profile, DAY * DAY_MS, user.policy) is None
    assert encode(user.profile) == before


def test_ask_waits_for_so_many_positives(new_user: Any, thing: Any) -> None:
    user = new_user(inference=ON)
    user.does("purchase", thing(), day=DAY)
    assert inferring.ask(user.profile, DAY * DAY_MS, POLICY) is None
    user.does("purchase", thing("trays"), day=DAY)
    assert inferring.ask(user.profile, DAY * DAY_MS, POLICY) == "first"


def test_ask_again_needs_drift_or_fifteen_days_and_something_new(asked: Any, thing: Any) -> None:
    profile = asked.profile
    assert inferring.ask(profile, (DAY + 40) * DAY_MS, POLICY) is None  # nothing is new
    # 0.3 of a click beside two purchases, four days on: 0.3 x 2^(4/14) / (2 + that) = 15 %, and no drift of a half.
    asked.does("click", thing("pens"), day=DAY + 4)
    assert inferring.ask(profile, (DAY + 15) * DAY_MS, POLICY) is None
    assert inferring.ask(profile, (DAY + 16) * DAY_MS, POLICY) == "age"
    # Four purchases 12 days later: 4 x 2^(12/14) = 7.2 against what was there, which is below 2.4.
    for leaf in "abcd":
        asked.does("purchase", thing(leaf), day=DAY + 16)
    assert inferring.ask(profile, (DAY + 18) * DAY_MS, POLICY) is None  # the cool-down
    assert inferring.ask(profile, (DAY + 19) * DAY_MS, POLICY) == "drift"


def test_question_shows_recent_items_once_and_nothing_that_was_taken_back(new_user: Any, thing: Any) -> None:
    user = new_user(inference=ON)
    user.does("purchase", thing("old"), day=DAY - 29)
    user.does("purchase", thing("mugs"), day=DAY - 3)
    user.does("search", day=DAY - 2, query="tins")
    user.does("purchase", thing("hated"), day=DAY - 2)
    user.does("hide", thing("hated"), day=DAY - 1)
    user.does("click", thing("mugs"), day=DAY - 1)
    found = inferring.shown(user.profile, DAY * DAY_MS, POLICY)
    assert found == [Shown(2, 0), Shown(5, fingerprint("id-mugs"))]


# ---- what it believes


def test_answer_to_the_question_becomes_tags_with_their_evidence(asked: Any) -> None:
    outcome = inferring.fold(asked.profile, answer(asked.profile, "tea time", places=(0, 1)), 7, POLICY)
    assert outcome == {"taken": 1}
    assert tags(asked.profile) == (Tag("tea time", "interest", 0.5, (0, 1)),)
    assert asked.profile.inference.offset == 7


def test_score_of_a_tag_halves_in_a_half_life_and_goes_below_the_least(asked: Any) -> None:
    inferring.fold(asked.profile, answer(asked.profile, "tea time"), 0, POLICY)
    assert [tag.score for tag in tags(asked.profile, DAY + 15)] == [0.25]
    assert tags(asked.profile, DAY + 1 + 14 * 3.4) == ()  # 0.5 x 2^-3.4 = 0.047


@pytest.mark.parametrize("change", ["none waits", "other time", "other evidence", "answered already", "never asked"])
def test_answer_to_another_question_changes_nothing(asked: Any, change: str) -> None:
    profile, told = asked.profile, answer(asked.profile, "tea time")
    if change == "other time":
        told = answer(profile, "tea time")
        told = ProfileTags(user_id="u", asked_ms=told.asked_ms + 1, model_id="m", shown=told.shown, short_term=told.short_term)
    elif change == "other evidence":
        made_up = (Shown(0, fingerprint("id-mugs")), Shown(99, fingerprint("id-trays")))
        told = ProfileTags(user_id="u", asked_ms=told.asked_ms, model_id="m", shown=made_up, short_term=told.short_term)
    elif change == "answered already":
        inferring.fold(profile, answer(profile), 0, POLICY)
    elif change == "none waits":
        profile.inference.shown_sum = 0
    else:
        profile = Profile()
    assert inferring.fold(profile, told, 1, POLICY) == {"unasked": 1}
    assert tags(profile) == ()


def test_tag_on_evidence_that_was_not_shown_is_refused(asked: Any) -> None:
    outcome = inferring.fold(asked.profile, answer(asked.profile, "tea time", places=(0, 2)), 0, POLICY)
    assert outcome == {"unknown_evidence": 1}
    assert tags(asked.profile) == ()


def test_tags_add_up_evidence_and_remember_the_answers_that_they_were_in(asked: Any, thing: Any) -> None:
    profile = asked.profile
    inferring.fold(profile, answer(profile, "tea time", "mugs for all"), 0, POLICY)
    for leaf in "abcd":
        asked.does("purchase", thing(leaf), day=DAY + 5)
    assert inferring.ask(profile, (DAY + 6) * DAY_MS, POLICY) == "drift"
    told = answer(profile, "tea time", places=(5,), wanted=4, matched={"interest:tea time": 3})
    inferring.fold(profile, told, 1, POLICY)
    kept = profile.inference.short_term
    assert (kept["interest:tea time"].cycles, kept["interest:mugs for all"].cycles) == (0b11, 0b10)
    assert kept["interest:tea time"].evidence == (0, 5)
    assert (kept["interest:tea time"].matched, kept["interest:tea time"].wanted) == (3, 4)
    assert (kept["interest:mugs for all"].matched, kept["interest:mugs for all"].wanted) == (0, 4)


def test_summary_replaces_the_traits_and_rests_on_its_sources(asked: Any) -> None:
    profile = asked.profile
    traits = (
        Trait(family="interest", text="hosting", score=0.8, sources=("interest:tea time", "category:mugs")),
        Trait(family="interest", text="made up", score=0.9, sources=("interest:nobody said so",)),
        Trait(family="category", text="trays", score=0.9, sources=("category:trays",)),  # which the rules have
    )
    outcome = inferring.fold(profile, answer(profile, "tea time", places=(1,), long_term=traits), 0, POLICY)
    assert outcome == {"taken": 2, "unknown_source": 1, "known": 1}
    found = digest(profile, lambda _: None, (DAY + 1) * DAY_MS, POLICY)
    assert found.long_term == (Tag("hosting", "interest", 0.8, (0, 1)),)  # the trays of the tag, the mugs of the belief


def test_tag_that_is_in_no_answer_for_its_life_goes(asked: Any, thing: Any) -> None:
    profile = asked.profile
    inferring.fold(profile, answer(profile, "tea time"), 0, POLICY)
    asked.does("purchase", thing("a"), day=DAY + 62)
    asked.does("purchase", thing("b"), day=DAY + 62)
    inferring.ask(profile, (DAY + 62) * DAY_MS, POLICY)
    inferring.fold(profile, answer(profile), 1, POLICY)
    assert profile.inference.short_term == {}


# ---- what takes it away again


@pytest.mark.parametrize("kind", ["hide", "cancel"])
def test_rejected_evidence_takes_its_tags_with_it_before_and_after_the_answer(asked: Any, thing: Any, kind: str) -> None:
    profile = decode(encode(asked.profile))
    told = answer(asked.profile, "mug lover", places=(0,))
    both = answer(asked.profile, "tea time", places=(0, 1))
    after = ProfileTags(
        user_id="u",
        asked_ms=told.asked_ms,
        model_id="m",
        shown=told.shown,
        short_term=(*told.short_term, *both.short_term),
    )
    inferring.fold(asked.profile, after, 0, POLICY)
    asked.does(kind, thing("mugs"), day=DAY + 2)
    then = asked.profile
    asked.profile = profile
    asked.next_offset = 2
    asked.does(kind, thing("mugs"), day=DAY + 2)
    outcome = inferring.fold(profile, after, 0, POLICY)
    assert outcome == {"taken": 1, "rejected_evidence": 1}
    assert tags(profile) == tags(then) == (Tag("tea time", "interest", 0.5, (1,)),)
    assert encode(profile) == encode(then)  # in either order, to the byte


# ---- its bytes


def test_profile_without_a_question_is_written_as_before(new_user: Any, thing: Any) -> None:
    user = new_user(inference=ON)
    user.does("purchase", thing(), day=DAY)
    assert encode(user.profile)[3] == 2
    user.does("purchase", thing("trays"), day=DAY)
    inferring.ask(user.profile, DAY * DAY_MS, POLICY)
    assert encode(user.profile)[3] == 3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_profile_with_inferred_tags_is_bounded_and_lossless(seed: int) -> None:
    dice = random.Random(seed)
    policy = ProfilePolicy(inference=ON, short_term=ShortTermPolicy())
    profile, offset = Profile(), 2**63 - 1_000
    items = [
        Item(item_id=f"{n}" + "x" * 100, title="t", category=("c", f"leaf {n}" + "y" * 40), tags=(f"scenario:{n}" + "é" * 20,))
        for n in range(40)
    ]
    ts_ms = DAY * DAY_MS
    for _ in range(40):
        for _ in range(dice.choice([1, 8])):
            item = dice.choice(items)
            kind: Any = dice.choice(["purchase", "purchase", "click", "hide"])
            event = Event(event_id=f"{offset}", user_id="u", type=kind, ts_ms=ts_ms, item_id=item.item_id)
            update(profile, event, item_features(item, max_tag_bytes=48), (), offset=offset, policy=policy)
            offset += 1
        ts_ms += dice.choice([1, 4, 16]) * DAY_MS
        if inferring.ask(profile, ts_ms, policy) and dice.random() < 0.8:
            texts = [f"{dice.randrange(30)} " + "茶" * 20 for _ in range(dice.randrange(1, 20))]
            pieces = inferring.shown(profile, ts_ms, policy)
            found = tuple(
                Finding(family="interest", text=text, score=dice.random(), evidence=(dice.randrange(len(pieces)),))
                for text in dict.fromkeys(texts)
            )
            told = ProfileTags(user_id="u", asked_ms=ts_ms, model_id="m", shown=tuple(pieces), short_term=found, wanted=3)
            inferring.fold(profile, told, offset, policy)
        written = encode(profile)
        assert len(written) <= PROFILE_BYTES
        assert inference_bytes(profile.inference) <= policy.inference.bytes
        assert profile.inferred_bytes == inference_bytes(profile.inference)
        assert encode(decode(written)) == written
        assert decode(written).inferred_bytes == profile.inferred_bytes
        assert profile.pool_bytes + profile.inferred_bytes <= policy.short_term.pool_bytes


@pytest.mark.parametrize(
    ("name", "names"), [("mood:merry", (7,)), ("no family", (7,)), ("interest:tea", ()), ("interest:tea", (7, 8))]
)
def test_bytes_of_tags_that_no_profile_holds_are_refused(name: str, names: tuple[int, ...]) -> None:
    profile = Profile()
    tag = InferredTag(score=1, day=1, evidence=(3,), names=names)
    profile.inference = Inference(long_term={name: tag})
    with pytest.raises(DecodeError, match="are no profile"):
        decode(encode(profile))


def test_policy_refuses_tags_that_would_take_more_than_half_of_the_pool() -> None:
    with pytest.raises(ConfigError, match=r"inference\.bytes = 951"):
        ProfilePolicy(inference=InferencePolicy(enabled=True, bytes=951))
