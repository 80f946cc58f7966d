"""The season: how much each item is wanted these days, by everybody, as the part of serendipity that is called timeliness.

Serendipity has four parts in Chen et al. 2019; timeliness is the one that no profile tells. A season is a table of decayed
counts as of one evening, made anew each night, so that an answer stays a function of what it was given. Knows nothing about
users, logs or the clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from models.errors import CheckpointError

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class SeasonPolicy:
    """How wants become a part in [0, 1]."""

    half_life_days: float = 4.0  # chosen on the validation part of Online Retail among 2 to 56; groceries choose longer
    typical: float = 4.0  # in means over the catalogue: an item that is wanted so often has a timeliness of one half


def timeliness(want: float, mean: float, policy: SeasonPolicy) -> float:
    """How timely an item is, in [0, 1): its wants against themselves and a typical item's.

    Args:
        want: decayed count of the item.
        mean: of the decayed counts of all items.
        policy: what is typical.

    Raises:
        ValueError: a count is negative.

    Example:
        Four times the mean is one half, and what nobody wants is 0, also where nothing is wanted:

        >>> timeliness(8.0, 2.0, SeasonPolicy()), timeliness(0.0, 2.0, SeasonPolicy()), timeliness(0.0, 0.0, SeasonPolicy())
        (0.5, 0.0, 0.0)
    """
    if want < 0.0 or mean < 0.0:
        message = f"want {want}, mean {mean}: must be at least 0"
        raise ValueError(message)
    return want / (want + policy.typical * mean) if want else 0.0


class Season(Struct, frozen=True, kw_only=True):
    """The decayed counts as of one evening. `mean` is over the whole catalogue, items that nobody wanted included."""

    as_of_ms: int
    half_life_days: float
    typical: float
    mean: float
    wants: dict[str, float]

    def timeliness(self, item_id: str) -> float:
        """How timely an item is, in [0, 1)."""
        policy = SeasonPolicy(half_life_days=self.half_life_days, typical=self.typical)
        return timeliness(self.wants.get(item_id, 0.0), self.mean, policy)

    @classmethod
    def load(cls, path: Path) -> Season:
        """The season in a file.

        Raises:
            CheckpointError: the file is missing or holds none.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            message = f"{path}: is no season: {error}"
            raise CheckpointError(message) from error

    def save(self, path: Path) -> None:
        """Write the season; who reads meanwhile finds the old one or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(msgspec.json.encode(self))
        part.replace(path)


def season_of(wants: Iterable[tuple[int, str]], *, as_of_ms: int, items: int, policy: SeasonPolicy) -> Season:
    """The season of an evening.

    Args:
        wants: when and which item, any order; those from `as_of_ms` on are left out.
        as_of_ms: the evening.
        items: of the catalogue.
        policy: half-life, and what is typical.

    Raises:
        ValueError: the catalogue is empty.

    Example:
        Wanted one half-life ago and now, in a catalogue of three:

        >>> day = SeasonPolicy(half_life_days=1.0)
        >>> season = season_of([(0, "cup"), (86_399_999, "mug")], as_of_ms=86_400_000, items=3, policy=day)
        >>> round(season.wants["cup"], 6), round(season.wants["mug"], 6), round(season.mean, 6)
        (0.5, 1.0, 0.5)
    """
    if items < 1:
        message = f"items: {items}, must be at least 1"
        raise ValueError(message)
    counts: defaultdict[str, float] = defaultdict(float)
    for ts_ms, item_id in wants:
        if ts_ms < as_of_ms:
            counts[item_id] += 2.0 ** ((ts_ms - as_of_ms) / DAY_MS / policy.half_life_days)
    return Season(
        as_of_ms=as_of_ms,
        half_life_days=policy.half_life_days,
        typical=policy.typical,
        mean=sum(counts.values()) / items,
        wants=dict(counts),
    )
