"""Laws of alignment samples: each once, with its profile, and nothing of a later part in an earlier one."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from models.alignment.dataset import Dataset, dataset, share_split
from models.entities import Behaviour, Digest, SerendipityLabel
from models.profiles.policy import DAY_MS
from models.training.split import TimeSplit

FIRST_DAY = 15_000
CUTS = TimeSplit((FIRST_DAY + 6) * DAY_MS, (FIRST_DAY + 8) * DAY_MS)


def label(user: str, day: int, item: str, *, ms: int = 0, digest: Digest | None = None, **more: object) -> SerendipityLabel:
    ts_ms = (FIRST_DAY + day) * DAY_MS + ms
    given_ = {
        "event_id": f"{user}-{day}-{item}-{ms}",
        "user_id": user,
        "item_id": item,
        "title": f"title of {item}",
        "category": "mugs",
        "ts_ms": ts_ms,
        "partition": 0,
        "offset": ms,
        "channel": None,
        "related_strict": True,
        "related_loose": True,
        "visit_days": 3,
        "digest": digest,
    }
    return SerendipityLabel(**(given_ | more))  # type: ignore[arg-type]


def before(day: int) -> Digest:
    """A profile whose newest line is from the last millisecond before the day."""
    return Digest(history=(Behaviour("purchase", "a mug", (FIRST_DAY + day) * DAY_MS - 1, 0),))


def ids(found: Dataset) -> list[str]:
    return [sample.event_id for sample in found.samples]


@st.composite
def label_sets(draw: st.DrawFn) -> list[SerendipityLabel]:
    """Days of a few users, each day's first label with the profile from before it."""
    days = draw(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 11)), min_size=1, unique=True, max_size=20))
    found = []
    for user, day in days:
        for place in range(draw(st.integers(1, 3))):
            item = draw(st.sampled_from("pqrst"))
            found.append(label(user, day, item, ms=place, digest=before(day) if place == 0 else None))
    return found


@settings(max_examples=60)
@given(label_sets(), st.integers(0, 99))
def test_samples_are_the_same_for_the_same_labels_in_any_order_and_repeated(labels: list[SerendipityLabel], mix: int) -> None:
    shuffled = [*labels, *labels[: len(labels) // 2]]
    random.Random(mix).shuffle(shuffled)
    assert dataset(shuffled, CUTS, seed=1).samples == dataset(labels, CUTS, seed=1).samples


@settings(max_examples=60)
@given(label_sets(), st.integers(0, 9))
def test_no_answer_no_day_and_no_time_of_one_part_is_in_another(labels: list[SerendipityLabel], seed: int) -> None:
    found = dataset(labels, CUTS, seed=seed).samples
    training = [one for one in found if one.split in ("sft", "ipo")]
    test = [one for one in found if one.split == "test"]
    assert all(one.ts_ms < CUTS.train_end_ms for one in training)
    assert all(one.ts_ms >= CUTS.validation_end_ms for one in test)
    assert max(Counter((one.user_id, one.item_id) for one in found).values()) == 1
    assert not {one.user_id for one in found if one.split == "sft"} & {one.user_id for one in found if one.split == "ipo"}
    for one in found:
        assert all(past.ts_ms < one.ts_ms // DAY_MS * DAY_MS for past in one.digest.history)


@settings(max_examples=60)
@given(label_sets(), st.integers(0, 9))
def test_halves_differ_by_no_more_than_the_samples_of_one_user(labels: list[SerendipityLabel], seed: int) -> None:
    found = dataset(labels, CUTS, seed=seed).samples
    counts = Counter(one.split for one in found)
    users = Counter(one.user_id for one in found if one.split in ("sft", "ipo"))
    assert abs(counts["sft"] - counts["ipo"]) <= max(users.values(), default=0)


def test_later_labels_of_a_day_get_the_profile_of_its_first() -> None:
    found = dataset([label("a", 1, "p", digest=before(1)), label("a", 1, "q", ms=5)], CUTS, seed=0)
    assert [one.digest for one in found.samples] == [before(1)] * 2


def test_label_without_a_profile_of_its_day_is_dropped_and_counted() -> None:
    found = dataset([label("a", 1, "p", digest=before(1)), label("a", 2, "q")], CUTS, seed=0)
    assert (ids(found), found.dropped) == (["a-1-p-0"], {"without a profile": 1})


def test_profile_that_knows_the_day_is_dropped_and_counted() -> None:
    found = dataset([label("a", 1, "p", digest=before(2))], CUTS, seed=0)
    assert (found.samples, found.dropped) == ((), {"profile knows the day": 1})


def test_item_that_was_wanted_before_gives_no_second_sample() -> None:
    found = dataset([label("a", day, "p", digest=before(day)) for day in (9, 1)], CUTS, seed=0)
    assert (ids(found), found.dropped) == (["a-1-p-0"], {"wanted before": 1})


def test_of_two_deliveries_the_one_with_a_profile_stays() -> None:
    found = dataset([label("a", 1, "p"), label("a", 1, "p", digest=before(1))], CUTS, seed=0)
    assert (ids(found), found.dropped) == (["a-1-p-0"], {"delivered again": 1})


def test_visit_day_across_a_cut_is_of_the_validation_part() -> None:
    """The cut is at noon: the morning's label would train, and shares its profile with the evening's."""
    noon = TimeSplit(FIRST_DAY * DAY_MS + DAY_MS // 2, FIRST_DAY * DAY_MS + DAY_MS // 2)
    labels = [label("a", 0, "p", digest=before(0)), label("a", 0, "q", ms=DAY_MS - 1), label("a", 1, "r", digest=before(1))]
    assert [one.split for one in dataset(labels, noon, seed=0).samples] == ["validation", "validation", "test"]


def test_channels_are_the_two_sources_of_the_paper() -> None:
    labels = [label("a", 1, "p", digest=before(1), channel="serendipity"), label("b", 1, "p", digest=before(1))]
    assert [one.source for one in dataset(labels, CUTS, seed=0).samples] == ["serendipity", "accuracy"]


@given(st.lists(st.integers(0, 40 * DAY_MS), min_size=1, max_size=50))
def test_share_split_is_at_midnight_and_tests_no_more_than_the_share(times: list[int]) -> None:
    split = share_split(times, test_share=0.1)
    assert split.train_end_ms == split.validation_end_ms
    assert split.train_end_ms % DAY_MS == 0
    assert sum(time >= split.train_end_ms for time in times) <= len(times) * 0.1
