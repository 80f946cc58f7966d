"""Laws of the measure of compression: counted by hand on a history of three lines."""

from __future__ import annotations

import pytest

from models.evaluation.compression import fits
from models.profiling.compression import CompressionPolicy, Deed

DAY_MS = 86_400_000
NOW_MS = 15_000 * DAY_MS
POLICY = CompressionPolicy()


def lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def test_fits_counts_users_tokens_and_what_a_budget_holds() -> None:
    # "a" bought two things together, twice: 4 lines one by one, 1 line compressed. "b" bought two things apart: 2 and 2.
    histories = {
        "a": [Deed(NOW_MS - day * DAY_MS, "purchase", text) for day in (1, 2) for text in ("mug", "tray")],
        "b": [Deed(NOW_MS - DAY_MS, "purchase", "mug"), Deed(NOW_MS - 2 * DAY_MS, "purchase", "tray")],
    }
    plain, packed = fits(histories, NOW_MS, POLICY, count=lines, seed=0, budgets=(1, 2))
    assert [plain.share[budget].mean for budget in (1, 2)] == [0.0, 0.5]
    assert [packed.share[budget].mean for budget in (1, 2)] == [0.5, 1.0]
    assert plain.kept_ratio == {1: 2 / 6, 2: 4 / 6}
    assert packed.kept_ratio == {1: 5 / 6, 2: 1.0}
    assert (plain.tokens_per_event, packed.tokens_per_event) == (1.0, 0.5)
    assert (plain.most_tokens, packed.most_tokens) == (4, 2)


def test_fits_of_no_behaviour_is_refused() -> None:
    with pytest.raises(ValueError, match="0 behaviours"):
        fits({}, NOW_MS, POLICY, count=lines, seed=0)
