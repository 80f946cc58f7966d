"""What compression is worth: whose whole history fits into how many tokens, with and without it (papers.md 2.2).

Knows nothing about logs or tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from models.metrics import Interval, bootstrap
from models.profiling.compression import CompressionPolicy, Deed, compress, uncompressed

BUDGETS = (2_048, 8_192, 32_768)  # tokens: a small model's context, a common one, a long one


class Fit(Struct, frozen=True, kw_only=True):
    """One form of the histories: the share of users whose whole history fits each budget, and what an event takes.

    `kept_ratio` is the share of all events that a user's budget holds when the least valuable go first.
    """

    form: str
    share: dict[int, Interval]
    kept_ratio: dict[int, float]
    tokens_per_event: float
    median_tokens: int
    most_tokens: int


def fits(
    histories: Mapping[str, Sequence[Deed]],
    as_of_ms: int,
    policy: CompressionPolicy,
    *,
    count: Callable[[str], int],
    seed: int,
    budgets: Sequence[int] = BUDGETS,
) -> tuple[Fit, Fit]:
    """The histories one line a behaviour, and compressed.

    Args:
        histories: reliable behaviours by user; at least one user with at least one.
        as_of_ms: event time that ages are taken at.
        policy: of the compression.
        count: tokens of a text.
        seed: of the intervals, which resample users.
        budgets: tokens.

    Raises:
        ValueError: there are no behaviours.
    """
    users = list(histories)
    events = sum(len(deeds) for deeds in histories.values())
    if not events:
        message = "histories: 0 behaviours, must be at least 1"
        raise ValueError(message)
    plain = {user: count(uncompressed(histories[user])) for user in users}
    packed = {user: count(compress(histories[user], as_of_ms, policy).text) for user in users}

    def kept_plain(user: str, budget: int) -> int:
        return _newest_that_fit(histories[user], plain[user], budget, count)

    def kept_packed(user: str, budget: int) -> int:
        if packed[user] <= budget:
            return len(histories[user])
        return compress(histories[user], as_of_ms, policy, budget=budget, count=count).kept

    def ratio(kept: Callable[[str, int], int]) -> dict[int, float]:
        return {budget: sum(kept(user, budget) for user in users) / events for budget in budgets}

    return (
        _fit("one by one", plain, ratio(kept_plain), events=events, budgets=budgets, seed=seed),
        _fit("compressed", packed, ratio(kept_packed), events=events, budgets=budgets, seed=seed),
    )


def _newest_that_fit(deeds: Sequence[Deed], tokens: int, budget: int, count: Callable[[str], int]) -> int:
    """How many of the newest behaviours fit when nothing is compressed."""
    if tokens <= budget:
        return len(deeds)
    ordered, least, most = sorted(deeds), 0, len(deeds) - 1
    while least < most:
        middle = (least + most + 1) // 2
        fitting = count(uncompressed(ordered[-middle:])) <= budget
        least, most = (middle, most) if fitting else (least, middle - 1)
    return least


def _fit(
    form: str, tokens: Mapping[str, int], kept: dict[int, float], *, events: int, budgets: Sequence[int], seed: int
) -> Fit:
    users, sizes = list(tokens), list(tokens.values())
    return Fit(
        form=form,
        share={budget: bootstrap([float(one <= budget) for one in sizes], users, seed=seed) for budget in budgets},
        kept_ratio=kept,
        tokens_per_event=sum(sizes) / events,
        median_tokens=sorted(sizes)[len(sizes) // 2],
        most_tokens=max(sizes),
    )
