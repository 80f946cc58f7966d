"""What an evaluation of one checkpoint found: case by case, with all that must be the same before two may be compared.

The record says of which checkpoint it is (the digest of its manifest, which holds the digest of each of its files), and on
what it was made: the log by its content, part, seed of the cases and of their negatives, the cases themselves, retrieval's
tower, the engine with its precision, and the version of the prompt that the code writes. Means that do not follow from the
values beside them are refused: such a file was edited, or made by something else. Knows nothing about folders or thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isclose
from typing import Annotated

from msgspec import Meta, Struct

MAX_CASES = 200_000  # of one evaluation; at three numbers a case some 4 MB of JSON
METRICS_BYTES = 32 << 20  # of a file; nothing larger is read
_MEAN_TOLERANCE = 1e-6  # relative: values are written with DIGITS significant ones
DIGITS = 7
_MOST = 1e9  # of a value: counts and shares are far below, and sums of these are numbers

_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Count = Annotated[int, Meta(ge=1, le=MAX_CASES)]
_Row = Annotated[int, Meta(ge=0, lt=MAX_CASES)]


class Measured(Struct, frozen=True, kw_only=True):
    """A metric of which more is better: its value in each case, their mean, and its 95 % interval over users.

    Raises:
        ValueError: a number is out of bounds, or the mean is not that of the values.
    """

    name: _Name
    mean: float
    low: float
    high: float
    values: Annotated[tuple[float, ...], Meta(min_length=1, max_length=MAX_CASES)]

    def __post_init__(self) -> None:
        if not all(0.0 <= value <= _MOST for value in (self.mean, self.low, self.high, *self.values)):
            message = f"{self.name}: {self.mean} [{self.low}, {self.high}] and its values must be in 0..{_MOST:g}"
            raise ValueError(message)
        found = fsum(self.values) / len(self.values)
        if not isclose(found, self.mean, rel_tol=_MEAN_TOLERANCE, abs_tol=_MEAN_TOLERANCE):
            message = f"{self.name}: mean {self.mean}, but that of its {len(self.values)} values is {found:.7g}"
            raise ValueError(message)


class Evaluation(Struct, frozen=True, kw_only=True):
    """On what a checkpoint was measured. Two measurements compare where all of this is the same.

    `log`, `tower` and `asked` are SHA-256 digests: of the log's files, of the tower, and of every case with its negatives and
    its profile, in order. `cases`: how many were ranked. `slates`: how many of them got titles and a slate, evenly spaced.
    """

    name: _Name
    log: _Sha256
    part: _Name
    seed: int
    negatives: int
    cases: _Count
    slates: _Count
    asked: _Sha256
    tower: _Sha256
    engine: _Name
    prompt_version: int

    def differences(self, other: Evaluation) -> list[str]:
        """What is not the same, in words, the most telling first; none: the two compare.

        Example:
            >>> one = Evaluation(
            ...     name="shop", log="a" * 64, part="validation", seed=0, negatives=99, cases=9, slates=9, asked="b" * 64,
            ...     tower="c" * 64, engine="torch", prompt_version=1,
            ... )  # fmt: skip
            >>> import msgspec
            >>> one.differences(msgspec.structs.replace(one, seed=1, asked="d" * 64))
            ['seed 0 and 1', 'asked bbbbbbbbbbbb and dddddddddddd']
        """
        pairs = [(field, getattr(self, field), getattr(other, field)) for field in self.__struct_fields__ if field != "name"]
        return [f"{field} {_brief(one)} and {_brief(two)}" for field, one, two in pairs if one != two]


class Metrics(Struct, frozen=True, kw_only=True):
    """What an evaluation found of one checkpoint.

    `users`: whose case each is, by numbers that mean nothing else; as many as cases. `ranking` has a value for each case,
    `novelty` and `diversity` for each that got a slate, which are those at `slate_places`.

    Raises:
        ValueError: counts do not fit each other.
    """

    evaluation: Evaluation
    checkpoint: _Sha256
    model_id: _Name
    users: tuple[_Row, ...]
    ranking: Measured
    novelty: Measured
    diversity: Measured

    def __post_init__(self) -> None:
        cases, slates = self.evaluation.cases, self.evaluation.slates
        found = {
            "users": (len(self.users), cases),
            "ranking": (len(self.ranking.values), cases),
            "novelty": (len(self.novelty.values), slates),
            "diversity": (len(self.diversity.values), slates),
        }
        for name, (count, wanted) in found.items():
            if count != wanted:
                message = f"{name}: {count} values for {wanted} cases, must be as many"
                raise ValueError(message)
        if slates > cases:
            message = f"slates: {slates} of {cases} cases, must be at most as many"
            raise ValueError(message)

    @property
    def slate_users(self) -> list[int]:
        """Whose each slate is."""
        return [self.users[place] for place in even_places(self.evaluation.cases, self.evaluation.slates)]


def even_places(size: int, count: int) -> list[int]:
    """So many places of `size`, at even distances.

    >>> even_places(10, 4), even_places(2, 5)
    ([0, 2, 5, 7], [0, 1])
    """
    count = min(count, size)
    return [number * size // count for number in range(count)]


def rounded(values: Sequence[float]) -> tuple[float, ...]:
    """Values as a file holds them, in at most `DIGITS` significant digits.

    >>> rounded([0.1 + 0.2, 3.0])
    (0.3, 3.0)
    """
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def _brief(value: object) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
