"""Laws of what alignment learns from."""

from __future__ import annotations

from models.alignment.records import AlignmentSample, PreferencePair, Split
from models.entities import Behaviour, Digest, Tag
from models.training.preferences import Judged, is_wanted, judged_of_pairs, judged_of_samples, pairs_of, without_profile


def _sample(
    title: str, split: Split, *, person: bool | None = None, verdict: bool | None = None, score: float | None = None
) -> AlignmentSample:
    return AlignmentSample(
        event_id=title,
        user_id="u",
        ts_ms=1,
        item_id=title,
        title=title,
        category="c",
        digest=Digest(),
        source="accuracy",
        visit_days=5,
        person_label=person,
        verdict=verdict,
        classifier_score=score,
        split=split,
    )


def test_pair_taken_apart_wants_the_chosen_title_alone() -> None:
    record = PreferencePair(
        user_id="u", ts_ms=1, digest=Digest(), chosen="a", rejected="b", chosen_score=5, rejected_score=2, judged_by="judge"
    )
    assert judged_of_pairs(pairs_of([record])) == [
        Judged(digest=Digest(), title="a", wanted=True),
        Judged(digest=Digest(), title="b", wanted=False),
    ]


def test_samples_of_other_parts_do_not_teach_alignment() -> None:
    samples = [_sample("a", "ipo"), _sample("b", "sft"), _sample("c", "validation"), _sample("d", "test")]
    assert [one.title for one in judged_of_samples(samples)] == ["a"]


def test_person_outranks_judge_and_judge_the_classifier() -> None:
    assert is_wanted(_sample("a", "ipo"))
    assert not is_wanted(_sample("a", "ipo", score=0.4))
    assert is_wanted(_sample("a", "ipo", verdict=True, score=0.4))
    assert not is_wanted(_sample("a", "ipo", person=False, verdict=True, score=0.9))


def test_digest_without_profile_keeps_its_history_alone() -> None:
    history = (Behaviour("purchase", "red mug", 1, 1),)
    tags = (Tag("mugs", "category", 1.0),)
    full = Digest(static=("country: fr",), long_term=tags, short_term=tags, history=history)
    assert without_profile(full) == Digest(history=history)
