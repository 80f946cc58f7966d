"""Laws of the gate, on cases whose differences can be made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from models.registry import Evaluation, Gate, Measured, Metrics, refusals
from models.registry.measured import even_places

GATE = Gate(ranking_drop=0.05, novelty_drop=0.01, diversity_drop=0.02, confidence=0.95, users_count=30)


def measured(name: str, values: Sequence[float]) -> Measured:
    mean = fmean(values)
    return Measured(name=name, mean=mean, low=mean, high=mean, values=tuple(values))


def metrics(
    ranking: Sequence[float],
    novelty: Sequence[float] | None = None,
    *,
    users: Sequence[int] | None = None,
    slates: int | None = None,
    on: Mapping[str, object] | None = None,
) -> Metrics:
    size = len(ranking)
    evaluation = Evaluation(
        name="a shop",
        log="a" * 64,
        part="validation",
        seed=0,
        negatives=99,
        cases=size,
        slates=slates or size,
        asked="b" * 64,
        tower="c" * 64,
        engine="torch",
        prompt_version=1,
    )
    return Metrics(
        evaluation=changed(evaluation, **(on or {})),
        checkpoint="d" * 64,
        model_id="m",
        users=tuple(users or range(size)),
        ranking=measured("NDCG@10", ranking),
        novelty=measured("new", novelty or [0.5] * (slates or size)),
        diversity=measured("titles", [28.0] * (slates or size)),
    )


def noise(size: int, *, seed: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).uniform(0.0, 0.5, size).round(6)]


def test_known_trade_of_ranking_for_novelty_is_refused_whatever_the_gain() -> None:
    """A reproduction of preference alignment: NDCG@10 up by 8.6 %, novelty from .0554 to .0544; here so in every case."""
    [why] = refusals(metrics([0.1086] * 40, [0.0544] * 40), metrics([0.1] * 40, [0.0554] * 40), gate=GATE)
    assert why == "novelty (new): -1.8% [-1.8% -1.8%] of 0.0554, a loss of 1% or more"


def test_same_values_pass_with_any_spread() -> None:
    one = metrics(noise(40, seed=1), noise(40, seed=2))
    assert refusals(one, one, gate=GATE) == ()


def test_mean_that_gained_by_chance_is_refused_and_told_how_many_cases_it_would_take() -> None:
    """Two rankers with nothing in common but their mean: of sixty cases the interval spans some tenths of it."""
    one, other = noise(60, seed=1), noise(60, seed=2)
    assert fmean(one) > fmean(other)
    [why] = refusals(metrics(one), metrics(other), gate=GATE)
    assert why.startswith("ranking (NDCG@10): +")
    assert "not enough cases to rule out a loss of 5%; needs about " in why
    assert why.endswith(" more than these 60")


def test_as_many_cases_as_were_asked_for_are_enough() -> None:
    """The figure is of the same users drawn more often: their number decides, and the estimate is near."""
    one, other = noise(60, seed=1), noise(60, seed=2)
    [why] = refusals(metrics(one), metrics(other), gate=GATE)
    more = int(why.partition("about ")[2].partition(" more")[0].replace(",", ""))
    times = -(-(60 + more) * 12 // 600)  # a fifth more than that, for the resampling's own noise
    assert refusals(metrics(one * times), metrics(other * times), gate=GATE) == ()
    assert refusals(metrics(one * (times // 2)), metrics(other * (times // 2)), gate=GATE) != ()


def test_paired_differences_pass_what_two_intervals_would_not() -> None:
    """Cases are hard or easy for both: the difference is the same in each, however wide the values spread."""
    base = noise(40, seed=3)
    assert refusals(metrics([value + 0.001 for value in base]), metrics(base), gate=GATE) == ()


def test_many_cases_of_few_users_are_few() -> None:
    one = metrics(noise(400, seed=1), users=[number % 10 for number in range(400)])
    assert refusals(one, one, gate=GATE)[0] == "ranking (NDCG@10): measured on 10 users, must be at least 30"
    assert refusals(one, one, gate=replace(GATE, users_count=10)) == ()


@settings(max_examples=20, deadline=None)  # 2,000 resamples each
@given(st.lists(st.floats(0.0, 1.0), min_size=30, max_size=60), st.floats(0.06, 1.0))
def test_loss_beyond_the_tolerance_never_passes(values: list[float], share: float) -> None:
    if not any(value > 0.01 for value in values):
        return
    worse = metrics([value * (1.0 - share) for value in values])
    assert refusals(worse, metrics(values), gate=GATE) != ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("log", "e" * 64),
        ("part", "test"),
        ("seed", 1),
        ("negatives", 9),
        ("asked", "e" * 64),
        ("tower", "e" * 64),
        ("engine", "ctranslate2"),
        ("prompt_version", 2),
    ],
)
def test_measurement_on_anything_else_does_not_compare_and_says_what_differs(field: str, value: object) -> None:
    [why] = refusals(metrics([0.9] * 40, on={field: value}), metrics([0.1] * 40), gate=GATE)
    assert why.startswith("not comparable with the version that serves")
    assert field in why


def test_same_cases_of_other_users_do_not_compare() -> None:
    [why] = refusals(metrics([0.9] * 40, users=[0] * 40), metrics([0.1] * 40), gate=GATE)
    assert "said to be of other users" in why


def test_slates_of_some_cases_belong_to_those_cases_users() -> None:
    found = metrics([0.2] * 8, users=[5, 6, 7, 8, 5, 6, 7, 8], slates=4)
    assert found.slate_users == [5, 7, 5, 7]
    assert even_places(8, 4) == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda told: told["ranking"].update(mean=0.9), "but that of its 40 values is 0.2"),
        (lambda told: told["ranking"].update(values=[0.2] * 39), "ranking: 39 values for 40 cases"),
        (lambda told: told.update(users=list(range(39))), "users: 39 values for 40 cases"),
        (lambda told: told["novelty"].update(values=[]), "Expected `array` of length >= 1"),
        (lambda told: told["novelty"].update(mean=-1.0), "must be in 0..1e[+]09"),
        (lambda told: told["evaluation"].update(slates=41), "novelty: 40 values for 41"),
        (lambda told: told["evaluation"].update(cases=10**9), "Expected `int` <="),
        (lambda told: told["evaluation"].update(log="../etc"), "matching regex"),
        (lambda told: told.update(evaluation="a shop"), "Expected `object`, got `str`"),
        (lambda told: told.pop("checkpoint"), "missing required field `checkpoint`"),
    ],
)
def test_metrics_that_do_not_fit_each_other_are_refused_as_they_are_read(harm: object, named: str) -> None:
    told = msgspec.to_builtins(metrics([0.2] * 40))
    assert callable(harm)
    harm(told)
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.json.decode(msgspec.json.encode(told), type=Metrics)


def test_value_that_is_no_number_is_no_measurement() -> None:
    with pytest.raises(ValueError, match=r"NDCG@10: nan .* must be in"):
        Measured(name="NDCG@10", mean=float("nan"), low=0.0, high=0.0, values=(0.0,))
