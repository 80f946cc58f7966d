"""`Distilled`: the weights in a folder, and an aligned score from them in microseconds an item.

    log-odds = prior's part(title) + pair's part(digest, item) + text's part(item) + history^T W item

The prior is what a title was worth to the teacher when nothing was known of the user: its own for a title that the teacher
was asked about, a guess from the title's words for another. The pair's part is linear in `PAIR_FEATURES`, alone and times the
prior; the last two are linear and bilinear in the tower's space. A logistic function makes the share of it that the teacher's
aligned score is.

Knows nothing about training, nor about where the teacher runs.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.distilled.features import (
    PAIR_FEATURES,
    TITLE_BUCKETS,
    ItemSide,
    Matrix,
    PersonSide,
    Row,
    item_side,
    pair_features,
    person_side,
)
from models.entities import Digest, Item, fingerprint
from models.errors import CheckpointError, brief
from models.pretrained import tower_folder
from models.retrieval.vectors import FILE as TOWER_FILE
from models.retrieval.vectors import Tower

WEIGHTS = "distilled.npz"
CARD = "card.json"
MAX_WEIGHTS_BYTES = 8 * 1024 * 1024  # fifty times the shipped one
_CARD_BYTES = 256 * 1024
_ID_DIGITS = 12  # hexadecimal, as in a checkpoint's name
_ITEMS_KEPT = 65_536  # items whose side is remembered; about 2 KB each
_DIGITS = 6  # of a score: what a processor's order of summation may change lies far below
_FAR = 60.0  # log-odds beyond this are 0 or 1 in double precision
# Where the prior's part may bend, in nats of the prior; the titles of a shop lie between -30 (nobody's) and -6 (everybody's).
PRIOR_KNOTS: tuple[float, ...] = (-30.0, -20.0, -16.0, -13.0, -11.0, -9.5, -8.5, -7.5)
PRIOR_SCALE = 10.0  # nats; keeps the columns of one size for the ridge


class Weights(NamedTuple):
    """What was fitted.

    Shapes, for a tower of d dimensions: `title_names (t,) uint32` ascending, `title_priors (t,)`, `text_prior
    (1 + TITLE_BUCKETS,)` the mean first, `prior (2 + knots + 2,)`, `pair (2 * pair features,)`, `item (d,)`, and
    `bilinear (d, d)`.
    """

    title_names: NDArray[np.uint32]
    title_priors: NDArray[np.float32]
    text_prior: NDArray[np.float32]
    prior: NDArray[np.float32]
    pair: NDArray[np.float32]
    item: NDArray[np.float32]
    bilinear: NDArray[np.float32]


class Card(Struct, frozen=True, kw_only=True):
    """What a folder holds and where it comes from. `sha256` is of the weights, `tower_sha256` of the tower's file."""

    name: str
    teacher: str  # model_id of the SerenGPT whose scores were fitted
    prompt_version: int
    sha256: str
    tower_sha256: str
    features: tuple[str, ...]
    counts: dict[str, int]
    metrics: dict[str, dict[str, float]]
    source: str


class Distilled:
    """A scorer that stands in for SerenGPT's `score`.

    Args:
        weights: what was fitted.
        tower: the one that they were fitted with.
        model_id: names the weights by content.
        teacher: model id of the SerenGPT that they were fitted to.

    Raises:
        CheckpointError: shapes do not fit, or a weight is not finite.
    """

    def __init__(self, weights: Weights, *, tower: Tower, model_id: str, teacher: str = "") -> None:
        _check_shapes(weights, tower.dimensions)
        self.model_id = model_id
        self.teacher = teacher
        self._weights = weights
        self._tower = tower
        self._pair = weights.pair.astype(np.float64).reshape(2, len(PAIR_FEATURES))
        self._prior = weights.prior.astype(np.float64)
        self._item = weights.item.astype(np.float64)
        self._bilinear = weights.bilinear.astype(np.float64)
        self._side = lru_cache(maxsize=_ITEMS_KEPT)(self._prepared)

    @classmethod
    def load(cls, folder: Path, *, tower: Path | None = None) -> Distilled:
        """The scorer of a model folder.

        Args:
            folder: holds `card.json` and `distilled.npz`.
            tower: folder of the tower that it was fitted with; None: the one in the package.

        Raises:
            CheckpointError: a file is missing, corrupt, or is not the one that the card names.
        """
        card = read_card(folder)
        towers = tower or tower_folder()
        data = _file(folder / WEIGHTS, MAX_WEIGHTS_BYTES)
        _check_digest(folder / WEIGHTS, data, card.sha256)
        _check_digest(towers / TOWER_FILE, _file(towers / TOWER_FILE, None), card.tower_sha256)
        if card.features != PAIR_FEATURES:
            message = f"{folder / CARD}: features are not those of this build; fit the model anew (`seren train distil`)"
            raise CheckpointError(message)
        model_id = f"{card.name}@{card.sha256[:_ID_DIGITS]}"
        return cls(_read(folder / WEIGHTS), tower=Tower.load(towers), model_id=model_id, teacher=card.teacher)

    def aligned(self, digest: Digest, items: Sequence[Item]) -> list[float]:
        """What SerenGPT's aligned score of each item would be, as far as a linear model knows.

        Args:
            digest: whose.
            items: any number of them.

        Returns:
            One number in [0, 1] an item, in order. An item's score does not depend on those beside it.

        Cost: see the card; some 10 us an item that was seen before, 100 us one that was not.
        """
        if not items:
            return []
        person = person_side(digest, self._tower)
        sides = [self._side(item) for item in items]
        odds = self._log_odds(person, [side for side, _ in sides], np.array([prior for _, prior in sides]))
        return [round(value, _DIGITS) for value in (1.0 / (1.0 + np.exp(-np.clip(odds, -_FAR, _FAR)))).tolist()]

    def prior(self, item: Item) -> float:
        """The title's log-probability to the teacher when nothing is known of the user, known or guessed."""
        return self._side(item)[1]

    def _log_odds(self, person: PersonSide, items: Sequence[ItemSide], priors: Row) -> Row:
        pairs = pair_features(person, items)
        vectors = np.stack([item.vector for item in items])
        found: Row = prior_features(priors, len(person.history)) @ self._prior
        found += pairs @ self._pair[0] + (pairs @ self._pair[1]) * (priors / PRIOR_SCALE)
        # One by one: a matrix product may add up in another order for another number of rows.
        found += (vectors * (self._item + person.vectors[0] @ self._bilinear)).sum(axis=1)
        return found

    def _prepared(self, item: Item) -> tuple[ItemSide, float]:
        side = item_side(item, self._tower)
        return side, prior_of(item.title, side, self._weights)


def prior_of(title: str, side: ItemSide, weights: Weights) -> float:
    """A title's prior: the teacher's own where it is known, else a guess from its words."""
    name = title_name(title)
    place = int(np.searchsorted(weights.title_names, name))
    if place < len(weights.title_names) and int(weights.title_names[place]) == name:
        return float(weights.title_priors[place])
    return float(weights.text_prior[0]) + float(weights.text_prior[1:][list(side.buckets)].sum(dtype=np.float64))


def title_name(title: str) -> int:
    """A title as the weights name it: 32 bits, whatever its case and spaces.

    >>> title_name("RED  mug") == title_name("red mug")
    True
    """
    return fingerprint(" ".join(title.casefold().split()))


def prior_features(priors: Row, history_count: int) -> Matrix:
    """The columns of the prior's part: constant, prior, prior above each knot, history's length, and that times the prior.

    Shape: `(priors, 2 + knots + 2)`.
    """
    scaled = priors / PRIOR_SCALE
    bends = np.maximum(priors[:, None] - np.array(PRIOR_KNOTS), 0.0) / PRIOR_SCALE
    length = np.log1p(history_count)
    return np.column_stack([np.ones_like(scaled), scaled, bends, np.full_like(scaled, length), scaled * length])


def read_card(folder: Path) -> Card:
    """The card of a model folder. Raises `CheckpointError` where there is none, or no valid one."""
    try:
        return msgspec.json.decode(_file(folder / CARD, _CARD_BYTES), type=Card)
    except msgspec.MsgspecError as error:
        message = f"{folder / CARD}: is no card: {brief(str(error))}"
        raise CheckpointError(message) from error


def save(weights: Weights, folder: Path, *, card: Card) -> Card:
    """Writes a model folder; the same weights give the same bytes.

    Returns:
        The card as it was written, with the digest of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / WEIGHTS).open("wb") as file:
        arrays: dict[str, Any] = dict(weights._asdict())
        np.savez_compressed(file, **arrays)
    written = msgspec.structs.replace(card, sha256=hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest())
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")
    return written


def tower_sha256(folder: Path) -> str:
    """Names a tower's file by content. Raises `CheckpointError` where there is none."""
    return hashlib.sha256(_file(folder / TOWER_FILE, None)).hexdigest()


def _read(path: Path) -> Weights:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Weights(**{name: arrays[name] for name in Weights._fields})
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        message = f"{path}: holds no weights: {brief(str(error))}"
        raise CheckpointError(message) from error


def _check_shapes(weights: Weights, dimensions: int) -> None:
    titles = len(weights.title_names)
    wanted = {
        "title_names": (titles,),
        "title_priors": (titles,),
        "text_prior": (1 + TITLE_BUCKETS,),
        "prior": (4 + len(PRIOR_KNOTS),),
        "pair": (2 * len(PAIR_FEATURES),),
        "item": (dimensions,),
        "bilinear": (dimensions, dimensions),
    }
    for name, shape in wanted.items():
        array = getattr(weights, name)
        kind = np.uint32 if name == "title_names" else np.float32
        if array.shape != shape or array.dtype != kind or not np.isfinite(array).all():
            message = f"weights: {name} is {array.dtype} of shape {array.shape}; must be finite {np.dtype(kind)} of {shape}"
            raise CheckpointError(message)


def _file(path: Path, most_bytes: int | None) -> bytes:
    try:
        if most_bytes is not None and path.stat().st_size > most_bytes:
            message = f"{path}: {path.stat().st_size} bytes are over the bound of {most_bytes}"
            raise CheckpointError(message)
        return path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read: {error}"
        raise CheckpointError(message) from error


def _check_digest(path: Path, data: bytes, expected: str) -> None:
    if hashlib.sha256(data).hexdigest() != expected:
        message = f"{path}: is not the file that {CARD} names (SHA-256 differs)"
        raise CheckpointError(message)
