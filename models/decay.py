"""Exponential forgetting with a half-life, kept in forward form so that an update costs one addition.

A weight given at time t counts 2^((t - landmark) / half_life) and is never touched again; read at time T, a sum of such
gains is scaled once by 2^((landmark - T) / half_life). Sums in this form can be compared without scaling, and the order in
which events arrive does not matter. Source: Cormode et al., "Forward decay", ICDE 2009.
"""

from __future__ import annotations

from typing import Final

# A gain may grow to 2^256 before the landmark is moved; a double holds 2^1023, so sums of billions of gains stay finite.
MAX_EXPONENT: Final = 256.0


def gain(ts_ms: int, *, landmark_ms: int, half_life_ms: int) -> float:
    """What one unit of weight given at `ts_ms` counts in forward form.

    Raises:
        OverflowError: `ts_ms` lies over 1023 half-lives after the landmark; move the landmark first.

    Example:
        >>> gain(2_000, landmark_ms=0, half_life_ms=1_000)
        4.0
    """
    return float(2.0 ** ((ts_ms - landmark_ms) / half_life_ms))


def at(forward_sum: float, as_of_ms: int, *, landmark_ms: int, half_life_ms: int) -> float:
    """The decayed weight at `as_of_ms` of a sum kept in forward form.

    Example:
        Two units given at 0 s, read after two half-lives of 1 s:

        >>> at(2.0, 2_000, landmark_ms=0, half_life_ms=1_000)
        0.5
    """
    exponent = (landmark_ms - as_of_ms) / half_life_ms
    exponent = min(exponent, MAX_EXPONENT)
    return float(forward_sum * 2.0**exponent)
