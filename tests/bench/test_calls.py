"""Laws of the count of questions: what a promise about freshness means, and that it is kept on the shipped log."""

from __future__ import annotations

import pytest

from models.trigger import TriggerPolicy
from streams.bench.calls import model_calls, past_bound
from streams.bench.workload import load
from streams.recorded.logs import shipped_log

# A slate may be 100 s old; a question may be 10 s under way.
POLICY = TriggerPolicy(slate_age_s=100.0, max_wait_s=10.0, cool_down_s=5.0)


@pytest.mark.parametrize(
    ("questions_s", "missed"),
    [
        ([400], 0),
        ([501], 0),
        ([510], 0),
        ([511], 1),
        ([399], 1),
        ([399, 505], 0),
        ([], 1),
    ],
)
def test_user_is_past_the_bound_with_an_old_slate_and_no_question_on_its_way(questions_s: list[int], missed: int) -> None:
    """One event at 500 s: its slate must be of 400 s or later, or be asked for by 510 s."""
    assert past_bound([500_000], [one * 1000 for one in questions_s], POLICY) == missed


def test_shipped_log_asks_at_least_five_times_less_than_scoring_on_every_event_and_nobody_is_past_the_bound() -> None:
    found = {figure.name: figure.value for figure in model_calls(load(shipped_log("online-retail"), events=15_000))}
    assert found["users past their freshness bound"] == 0
    assert found["fewer than scoring on every event"] >= 5
    assert found["questions"] * found["fewer than scoring on every event"] == pytest.approx(1_000)
