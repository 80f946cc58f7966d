"""Logistic regression: few weights from few labels, the same ones every time. Knows nothing about what its inputs mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_MOST_STEPS = 50  # of Newton's method, which needs five to ten
_STEP_DONE = 1e-9  # largest change of a weight after which nothing changes any more
_LEAST_WEIGHT = 1e-6  # of a case in a step: no certainty makes the step singular
_LEAST_SCALE = 1e-9  # an input that never varies tells nothing; it is not divided by its spread

_Floats = NDArray[np.float64]


class Logistic(Struct, frozen=True, kw_only=True):
    """A fitted model: inputs are brought to mean 0 and spread 1, weighed and added."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def probability(self, inputs: Sequence[Sequence[float]] | _Floats) -> _Floats:
        """Of the label being true, for each row.

        Raises:
            ValueError: rows have another number of inputs than the model.
        """
        if not len(inputs):
            return np.zeros(0)
        rows = np.asarray(inputs, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.weights):
            message = f"inputs: rows of shape {rows.shape[1:]}, must be of {len(self.weights)}"
            raise ValueError(message)
        return _sigmoid((rows - self.means) / self.scales @ np.asarray(self.weights) + self.bias)


def fit(inputs: Sequence[Sequence[float]] | _Floats, labels: Sequence[bool], *, penalty: float = 1.0) -> Logistic:
    """The most likely weights, under a Gaussian prior on them (not on the bias), both labels counting as much in all.

    Args:
        inputs: a row for each case.
        labels: as many, of both kinds.
        penalty: of squared weights, in cases: at 1 a weight is held back as if one case spoke against it.

    Raises:
        ValueError: the two differ in length, or a label is missing.

    Example:
        >>> model = fit([[0.0], [1.0], [2.0], [3.0]], [False, False, True, True])
        >>> [bool(one > 0.5) for one in model.probability([[0.5], [2.5]])]
        [False, True]
    """
    rows, wanted = np.asarray(inputs, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    positives = int(wanted.sum())
    if len(rows) != len(wanted) or not 0 < positives < len(wanted):
        message = f"labels: {positives} true of {len(wanted)}, for {len(rows)} rows; both kinds are needed, one for each row"
        raise ValueError(message)
    means, spread = rows.mean(axis=0), rows.std(axis=0)
    scales = np.where(spread > _LEAST_SCALE, spread, 1.0)
    design = np.column_stack(((rows - means) / scales, np.ones(len(rows))))
    share = np.where(wanted > 0, len(wanted) / (2.0 * positives), len(wanted) / (2.0 * (len(wanted) - positives)))
    found = _newton(design, wanted, share, penalty)
    return Logistic(
        means=tuple(means.tolist()), scales=tuple(scales.tolist()), weights=tuple(found[:-1].tolist()), bias=float(found[-1])
    )


def _newton(design: _Floats, wanted: _Floats, share: _Floats, penalty: float) -> _Floats:
    held = np.full(design.shape[1], penalty)
    held[-1] = 1e-9  # the bias is free, and the system solvable
    weights = np.zeros(design.shape[1])
    for _ in range(_MOST_STEPS):
        guessed = _sigmoid(design @ weights)
        slope = design.T @ (share * (wanted - guessed)) - held * weights
        curve = np.maximum(share * guessed * (1.0 - guessed), _LEAST_WEIGHT)
        step = np.linalg.solve((design * curve[:, None]).T @ design + np.diag(held), slope)
        weights = weights + step
        if float(np.abs(step).max()) < _STEP_DONE:
            break
    return weights


def _sigmoid(values: _Floats) -> _Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -500.0, 500.0)))
