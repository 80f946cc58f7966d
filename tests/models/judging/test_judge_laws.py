"""Laws of the judge: what anyone would say of pairs written by hand, and what must hold of all others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.judging.judge import judge
from models.judging.meaning import Meaning
from models.judging.pairs import Judgement, Offer, Past, Person
from models.judging.policy import JudgePolicy
from models.judging.portrait import Opinion, Portrait
from models.pretrained import words_folder

POLICY = JudgePolicy()
MEANING = Meaning.load(words_folder())


def judged(offer: Offer, person: Person, opinion: Opinion | None = None, policy: JudgePolicy = POLICY) -> Judgement:
    return judge(offer, Portrait(person, policy.portrait, MEANING), opinion, policy)


_texts = st.text(max_size=30)
_pasts = st.builds(
    Past,
    title=_texts,
    category=st.none() | _texts | st.lists(_texts, max_size=3),
    rating=st.none() | st.floats(-1e6, 1e6),
    ts_ms=st.none() | st.floats(-1e15, 1e15),
)
_persons = st.builds(
    Person,
    static=st.none() | _texts | st.lists(_texts, max_size=3) | st.dictionaries(_texts, st.none() | _texts, max_size=3),
    history=st.lists(_pasts, max_size=6).map(tuple),
    queries=st.none() | st.lists(_texts, max_size=2).map(tuple),
)
_offers = st.builds(Offer, title=st.text(min_size=1, max_size=30), category=st.none() | _texts)


@given(_offers, _persons)
def test_judge_of_any_pair_gives_shares_and_one_printable_line(offer: Offer, person: Person) -> None:
    one = judged(offer, person)
    assert 0.0 <= one.serendipity <= 1.0
    assert 0.0 <= one.relevance <= 1.0
    assert one.unexpectedness is None or 0.0 <= one.unexpectedness <= 1.0
    assert "\n" not in one.reason
    assert one == judged(offer, person)


@given(_offers, _persons)
def test_judge_does_not_care_about_the_order_of_a_history_with_different_times(offer: Offer, person: Person) -> None:
    dated = tuple(
        Past(title=past.title, category=past.category, rating=past.rating, ts_ms=float(place))
        for place, past in enumerate(person.history or ())
    )
    there, back = (judged(offer, Person(history=history)) for history in (dated, dated[::-1]))
    assert (there.serendipity, there.relevance) == pytest.approx((back.serendipity, back.relevance), abs=2e-6)


def test_judge_without_history_gives_the_prior_and_no_unexpectedness() -> None:
    one = judged(Offer(title="Heat", category="Crime"), Person())
    assert (one.relevance, one.unexpectedness) == (POLICY.prior, None)
    assert one.reason == "no history: relevance is near the prior"


def test_judge_of_a_history_without_names_does_not_know_what_is_unexpected() -> None:
    one = judged(Offer(title="Heat", category="Crime"), Person(history=(Past(title=""), Past(title="the"))))
    assert one.unexpectedness is None


def test_judge_of_a_kind_rated_above_the_rest_is_more_relevant_than_without_ratings() -> None:
    """Of long histories: a film of the better kind gains, one of the worse kind loses."""

    def relevance(better: float | None, worse: float | None) -> tuple[float, float]:
        history = tuple(
            Past(title=f"film {place}", category=kind, rating=rating)
            for place in range(30)
            for kind, rating in (("Noir", better), ("Musical", worse))
        )
        noir, musical = (judged(Offer(title="Heat", category=kind), Person(history=history)) for kind in ("Noir", "Musical"))
        return noir.relevance, musical.relevance

    noir, musical = relevance(4.0, 3.0)
    assert noir > musical + 0.2
    assert relevance(None, None)[0] == pytest.approx(relevance(None, None)[1], abs=0.01)


def test_judge_of_what_was_searched_for_is_relevant_without_any_history() -> None:
    person = Person(queries=("red bicycle",))
    assert judged(Offer(title="Bicycle, red"), person).relevance > 0.6
    assert judged(Offer(title="Garden hose"), person).relevance < 0.4
    assert judged(Offer(title="Xyzzy"), person).relevance == POLICY.prior


def test_judge_of_one_thing_rated_higher_is_more_relevant() -> None:
    def relevance(rating: float) -> float:
        rest = (Past(title="Ran", category="War", rating=3.0), Past(title="Jaws", category="Thriller", rating=5.0))
        return judged(
            Offer(title="Aliens", category="Sci-Fi"), Person(history=(Past(title="Alien", rating=rating), *rest))
        ).relevance

    found = [relevance(rating) for rating in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.1


def test_judge_of_a_recent_taste_counts_more_than_an_old_one() -> None:
    day = 86_400_000.0

    def relevance(*times: float) -> float:
        rated = zip(("Alien", "Aliens"), (5.0, 1.0), times, strict=True)
        history = tuple(Past(title=title, category="Sci-Fi", rating=rating, ts_ms=time) for title, rating, time in rated)
        return judged(Offer(title="Dune", category="Sci-Fi"), Person(history=history)).relevance

    assert relevance(0.0, 400 * day) < relevance(400 * day, 0.0) - 0.1


def test_judge_of_the_very_thing_that_they_have_is_less_serendipitous_than_one_like_it() -> None:
    person = Person(history=tuple(Past(title=title, category="Tea") for title in ("Green tea", "Mint tea", "Rose tea")))
    same, like = (
        judged(Offer(title=title, category="Tea"), person).serendipity for title in ("Green tea", "Green tea leaves")
    )
    assert same < like - 0.05


def test_judge_of_a_usual_label_is_less_unexpected_than_of_a_rare_than_of_a_new_one() -> None:
    labels = ["Drama"] * 8 + ["Western"] * 2
    person = Person(history=tuple(Past(title=f"film {place}", category=label) for place, label in enumerate(labels)))
    found = [judged(Offer(title="Heat", category=label), person).unexpectedness for label in ("Drama", "Western", "Noir")]
    drama, western, noir = (value or 0.0 for value in found)
    assert drama < western - 0.05 < noir - 0.2


def test_judge_of_years_of_history_is_nearly_as_relevant_as_of_one_without_times() -> None:
    year_ms = 365 * 86_400_000.0

    def relevance(*, gap_ms: float | None) -> float:
        history = tuple(
            Past(title=f"film {place}", category="Noir", ts_ms=None if gap_ms is None else place * gap_ms)
            for place in range(6)
        )
        return judged(Offer(title="Heat", category="Noir"), Person(history=history)).relevance

    assert relevance(gap_ms=year_ms) > relevance(gap_ms=None) - 0.1


def test_judge_of_a_stray_is_below_one_half_and_of_a_tied_item_of_a_new_kind_above() -> None:
    titles = ("Sourdough starter", "Rye bread flour", "Bread tin", "Wheat bread flour", "Bread yeast")
    person = Person(history=tuple(Past(title=title, category="Baking", rating=5.0) for title in titles))
    tied, stray = (judged(Offer(title=title, category="Books"), person) for title in ("Sourdough bread", "Hedge fund wizards"))
    assert stray.serendipity < 0.5 < tied.serendipity


def test_judge_of_a_new_combination_of_known_labels_is_more_unexpected_than_of_a_known_one() -> None:
    genres = ["Comedy|Romance"] * 4 + ["Horror|Mystery"] * 4
    person = Person(history=tuple(Past(title=f"film {place}", category=genre) for place, genre in enumerate(genres)))
    known, new = (
        judged(Offer(title="Heat", category=genre), person).unexpectedness for genre in ("Comedy|Romance", "Comedy|Horror")
    )
    assert known is not None
    assert new is not None
    assert known < new


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_judge_moves_with_serengpt_as_far_as_it_is_at_home(one: float, other: float, at_home: float) -> None:
    person, offer = Person(history=(Past(title="Red mug", category="kitchen"),)), Offer(title="Tea tin", category="tea")
    low, high = (judged(offer, person, Opinion(value, at_home)).relevance for value in sorted((one, other)))
    assert high - low == pytest.approx(POLICY.model_share * at_home * abs(one - other), abs=2e-6)


def test_judge_with_a_stated_scale_reads_ones_as_low() -> None:
    """All ones: thumbs up on a scale of 1, the lowest mark on one of 5."""
    person = Person(
        history=tuple(Past(title=title, category="Jazz", rating=1.0) for title in ("Kind of Blue", "Bitches Brew"))
    )
    tastes = replace(POLICY.portrait.tastes, rating_max=5.0)
    stated = replace(POLICY, portrait=replace(POLICY.portrait, tastes=tastes))
    offer = Offer(title="Giant Steps", category="Jazz")
    assert judged(offer, person, policy=stated).relevance < POLICY.prior < judged(offer, person).relevance


def test_reason_names_the_evidence() -> None:
    person = Person(
        history=(Past(title="Alien", category="Sci-Fi", rating=5.0), Past(title="Big", category="Comedy", rating=1.0))
    )
    assert judged(Offer(title="Aliens", category="Horror"), person).reason == "like 'alien' (rated 5); 'horror' is new to it"
    assert (
        judged(Offer(title="Junior", category="Comedy"), person).reason == "like 'big' (rated 1); 'comedy' is in 1 of 2 things"
    )


def test_reason_of_hostile_text_is_one_short_printable_line() -> None:
    nasty = "\x1b[31mred\u202e\n<|answer|> " + "mug " * 100
    found = judged(Offer(title=nasty, category=nasty), Person(history=(Past(title=nasty, category=nasty),))).reason
    assert found.isprintable()
    assert "<|" not in found
    assert len(found) < 200
