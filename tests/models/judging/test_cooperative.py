"""Laws of the cooperative judge: the buffer, the small judges, milestones and the gate."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import JudgeRefused
from models.judging.buffer import BufferPolicy, Labelled, training_set
from models.judging.cooperative import admitted, train
from models.judging.gate import GatePolicy, is_clearly_worse, milestone, require
from models.judging.logistic import fit


def case(number: int, label: bool, *, round_: int = 1, value: float = 0.0, criterion: str = "relevance") -> Labelled:
    return Labelled(
        criterion=criterion, case_id=f"c{number}", user_id=f"u{number % 17}", inputs=(value, 0.5), label=label, round=round_
    )


def cases(*rounds: tuple[int, int]) -> list[Labelled]:
    """Rounds of so many true and false labels."""
    found = []
    for round_, (positives, negatives) in enumerate(rounds, start=1):
        for number in range(positives + negatives):
            found.append(case(len(found), number < positives, round_=round_))
    return found


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), min_size=1, max_size=5), st.floats(1, 4))
def test_buffer_keeps_all_of_the_rarer_label_and_a_bounded_number_of_the_other(
    rounds: list[tuple[int, int]], ratio: float
) -> None:
    given_ = cases(*rounds)
    counts = Counter(one.label for one in given_)
    kept = Counter(one.label for one in training_set(given_, BufferPolicy(majority_ratio=ratio), seed=3))
    rare, common = sorted((counts[True], counts[False]))
    assert sorted(kept[label] for label in (True, False)) == sorted((rare, min(common, round(ratio * rare))))


def test_buffer_gives_newer_rounds_of_the_majority_more_room() -> None:
    """28 of 3 x 40 negatives: shares 4/7, 2/7, 1/7 of 28 are 16, 8 and 4, the newest round first."""
    kept = training_set(cases((5, 40), (5, 40), (4, 40)), BufferPolicy(majority_ratio=2.0, round_decay=0.5), seed=0)
    assert Counter(one.round for one in kept if not one.label) == {3: 16, 2: 8, 1: 4}
    assert Counter(one.round for one in kept if one.label) == {1: 5, 2: 5, 3: 4}


def test_buffer_fills_from_other_rounds_what_one_cannot_give() -> None:
    kept = training_set(cases((10, 60), (10, 2)), BufferPolicy(majority_ratio=2.0), seed=0)
    assert Counter(one.round for one in kept if not one.label) == {2: 2, 1: 38}


def test_buffer_takes_the_newest_label_of_a_case() -> None:
    again = [case(1, True, round_=1), case(1, False, round_=2), case(2, True, round_=1)]
    assert [(one.case_id, one.label) for one in training_set(again, BufferPolicy(), seed=0)] == [("c2", True), ("c1", False)]


@pytest.mark.parametrize("wrong", [{"round_decay": 0.0}, {"majority_ratio": 0.5}])
def test_buffer_policy_out_of_bounds_is_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BufferPolicy(**wrong)


def test_fit_without_inputs_that_tell_gives_the_balanced_chance() -> None:
    """Both labels weigh alike in all, so one of four being true is a chance of a half; the constant input gets no weight."""
    model = fit([[1.0], [1.0], [1.0], [1.0]], [True, False, False, False])
    assert model.weights[0] == pytest.approx(0.0, abs=1e-6)
    assert float(model.probability([[1.0]])[0]) == pytest.approx(0.5)


def test_fit_of_two_points_is_the_penalised_maximum() -> None:
    """Inputs -1 and 1 once scaled, labels false and true: the slope 2 (1 - sigmoid(w)) = w, at w = 0.6774 by hand."""
    weight = fit([[0.0], [2.0]], [False, True]).weights[0]
    assert 2.0 * (1.0 - 1.0 / (1.0 + math.exp(-weight))) == pytest.approx(weight)
    assert weight == pytest.approx(0.7, abs=0.05)


@settings(max_examples=30)
@given(st.floats(0.1, 50), st.floats(-20, 20))
def test_fit_does_not_depend_on_the_units_of_inputs(scale: float, shift: float) -> None:
    draw = np.random.default_rng(1)
    inputs = draw.normal(size=(40, 2))
    labels = (inputs[:, 0] + draw.normal(size=40) > 0).tolist()
    one, other = fit(inputs, labels), fit(inputs * scale + shift, labels)
    assert one.probability(inputs) == pytest.approx(other.probability(inputs * scale + shift), abs=1e-6)


@pytest.mark.parametrize("labels", [[True, True], [False, False], [True]])
def test_fit_without_both_labels_for_each_row_is_refused(labels: list[bool]) -> None:
    with pytest.raises(ValueError, match="both kinds are needed"):
        fit([[0.0], [1.0]], labels)


def test_probability_of_rows_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="must be of 1"):
        fit([[0.0], [1.0]], [False, True]).probability([[1.0, 2.0]])


def _told(count: int, noise: float, *, criterion: str = "relevance", start: int = 0) -> list[Labelled]:
    """Cases whose first input tells the label as far as the noise lets it."""
    draw = np.random.default_rng(5 + start)
    found = []
    for number in range(start, start + count):
        label = number % 2 == 0
        found.append(case(number, label, value=float(label) + noise * float(draw.normal()), criterion=criterion))
    return found


def test_judge_learns_what_people_go_by_and_is_measured_on_users_it_has_not_seen() -> None:
    judge = train(_told(200, 0.5), BufferPolicy(), seed=0)
    (found,) = judge.milestones
    assert found.auc is not None
    assert found.auc.mean > 0.85
    assert judge.scores([[1.0, 0.5], [0.0, 0.5]])[0] > 0.5 > judge.scores([[1.0, 0.5], [0.0, 0.5]])[1]


def test_judge_of_labels_that_follow_from_nothing_is_at_chance_when_held_out() -> None:
    (found,) = train(_told(300, 1e6), BufferPolicy(), seed=0).milestones
    assert found.auc is not None
    assert found.auc.low < 0.5 < found.auc.high + 0.05
    with pytest.raises(JudgeRefused, match=r"judge of relevance: auc 0\.\d+ is below the bound 0\.6; it is not used"):
        require(found, GatePolicy())


def test_case_must_pass_all_criteria() -> None:
    other = [
        case(number, label, value=0.0, criterion="reality") for number, label in enumerate([True, False] * 20, start=1000)
    ]
    judge = train([*_told(100, 0.1), *other], BufferPolicy(), seed=0)
    assert set(judge.judges) == {"relevance", "reality"}
    inputs = [[1.0, 0.5]]
    assert judge.scores(inputs)[0] == min(float(one.probability(inputs)[0]) for one in judge.judges.values())


def test_criterion_below_the_gate_is_not_used_is_named_and_keeps_its_milestone() -> None:
    told, dice = _told(300, 0.1), _told(300, 1e6, criterion="reality", start=2000)
    trained = train([*told, *dice], BufferPolicy(), seed=0)
    judge, refused = admitted(trained, GatePolicy())
    assert set(judge.judges) == {"relevance"}
    assert [one.split(":")[0] for one in refused] == ["judge of reality"]
    assert judge.milestones == trained.milestones
    alone = train(told, BufferPolicy(), seed=0)
    assert judge.scores([[1.0, 0.5], [0.0, 0.5]]) == pytest.approx(alone.scores([[1.0, 0.5], [0.0, 0.5]]), abs=0.05)


def test_criterion_with_too_few_labels_of_a_kind_gets_no_judge() -> None:
    assert train([case(number, number > 0) for number in range(50)], BufferPolicy(), seed=0).judges == {}


def test_judge_without_judges_refuses_to_score() -> None:
    with pytest.raises(ValueError, match="none has been trained"):
        train([], BufferPolicy(), seed=0).scores([[0.0]])


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        (GatePolicy(cases=101), "people's labels 100 is below the bound 101"),
        (GatePolicy(each_label=60), "labels of the rarer kind 50 is below the bound 60"),
        (GatePolicy(kappa=0.99), "kappa 0.8 is below the bound 0.99"),  # (.9 - .5) / (1 - .5)
    ],
)
def test_gate_names_the_metric_the_value_and_the_bound(policy: GatePolicy, named: str) -> None:
    scores = [0.9 if number % 2 == 0 and number % 10 else 0.1 for number in range(100)]  # ten of fifty are missed
    found = milestone("relevance", scores, [number % 2 == 0 for number in range(100)], ["u"] * 100, seed=0)
    with pytest.raises(JudgeRefused, match=named):
        require(found, policy)


def test_milestone_of_a_perfect_judge_is_one_in_all() -> None:
    """Two users of both labels each: every resample has both, and every figure is 1."""
    found = milestone("relevance", [0.9, 0.1, 0.8, 0.2], [True, False, True, False], ["a", "a", "b", "b"], seed=0)
    assert (found.accuracy, found.cases, found.positives) == (1.0, 4, 2)
    assert {found.auc, found.ap, found.kappa} == {(1.0, 1.0, 1.0)}


def test_judge_that_lost_ground_is_clearly_worse_and_one_that_wavers_is_not() -> None:
    users = [f"u{number % 25}" for number in range(200)]
    labels = [number % 2 == 0 for number in range(200)]
    good, bad = ([float(label) * sign for label in labels] for sign in (1.0, -1.0))
    before = milestone("relevance", good, labels, users, seed=0)
    assert is_clearly_worse(milestone("relevance", bad, labels, users, seed=0), before, GatePolicy())
    assert not is_clearly_worse(before, before, GatePolicy())
