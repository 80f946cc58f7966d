"""The long-term level: tags that kept coming back, admitted by frequency, regularity and long-term effectiveness.

Source: papers.md 1.3.2; the thresholds are ours (`LongTermPolicy`). Time runs in cycles of fixed length; only cycles in which
the user did something count, so that a customer who comes every other month can have lasting traits too.
"""

from __future__ import annotations

from itertools import pairwise
from math import fsum

from models.profiles import short_term
from models.profiles.policy import DAY_MS, LongTermPolicy, ShortTermPolicy
from models.profiles.state import Profile

_CYCLES_KEPT = 12  # bits kept per tag: two bytes in a written profile
_ROUNDING = 1e-9  # tags of one and the same rate must not fall below their own mean by the last bit of a double


def close_cycle(profile: Profile, ts_ms: int, policy: LongTermPolicy, short: ShortTermPolicy) -> None:
    """When `ts_ms` opens a new cycle: notes, for each tag, whether it ended the cycle before in the short-term level."""
    cycle = int(ts_ms // policy.cycle_ms)
    if cycle <= profile.approved_cycle:
        return
    if profile.approved_cycle >= 0:
        ended_ms = int((profile.approved_cycle + 1) * policy.cycle_days * DAY_MS)
        ranked = short_term.rank(profile, ended_ms, short)
        short_term.approve(profile, ranked, ended_ms, short)
        present = {entry.tag for entry in ranked}
        mask = (1 << _CYCLES_KEPT) - 1
        for tag, belief in profile.pool.items():
            belief.cycles = (belief.cycles << 1 | (tag in present)) & mask
    profile.approved_cycle = cycle


def admitted(profile: Profile, policy: LongTermPolicy) -> list[tuple[str, float]]:
    """The tags of the long-term level with their scores in (0, 1], best first. Changes nothing.

    A tag's rate is the share of what the user wanted since the tag was first approved that carried it.
    """
    rates: dict[str, float] = {}
    for tag, belief in profile.pool.items():
        if belief.approved_day and profile.positives > belief.issued_positives:
            rates[tag] = (belief.count - belief.issued_count) / (profile.positives - belief.issued_positives)
    mean = fsum(rates.values()) / len(rates) if rates else 0.0
    least = policy.min_effectiveness * mean * (1.0 - _ROUNDING)
    traits = []
    looked_at = (1 << policy.cycles) - 1
    for tag, belief in profile.pool.items():
        recent = belief.cycles & looked_at
        times = recent.bit_count()
        if times < policy.min_cycles:
            continue
        if rates.get(tag, least) >= least and gap_variation(recent) <= policy.max_gap_variation:
            traits.append((tag, times / policy.cycles))
    traits.sort(key=lambda trait: (-trait[1], -profile.pool[trait[0]].count, trait[0]))
    return traits[: policy.top]


def gap_variation(cycles: int) -> float:
    """Standard deviation / mean of the gaps between the set bits: 0 for a steady rhythm.

    Example:
        Present in cycles 0, 2 and 4: gaps 2 and 2. Present in 0, 1 and 5: gaps 1 and 4.

        >>> gap_variation(0b10101), gap_variation(0b100011)
        (0.0, 0.6)
    """
    places = [place for place in range(cycles.bit_length()) if cycles >> place & 1]
    gaps = [after - before for before, after in pairwise(places)]
    if not gaps:
        return 0.0
    mean = sum(gaps) / len(gaps)
    return float((sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 / mean)
