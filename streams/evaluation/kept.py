"""Keeps what a checkpoint said and showed of a set of questions: a table with one row more asks only the new checkpoint.

Named by content: the model's id, the prompt's version, and everything that the questions consist of. Knows nothing about
rankings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import DecodeError, json

from models.catalogue import Catalogue
from models.errors import LogError
from models.evaluation.ranking import Case
from models.evaluation.slates import Imagined
from models.pipeline import ServePolicy
from models.retrieval import Retriever
from models.serengpt.engine import Engine, Scored


class KeptScores:
    """One file per checkpoint and set of questions.

    Args:
        folder: where the files lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, engine: Engine, given: Sequence[Case], catalogue: Catalogue) -> list[tuple[Scored, ...]] | None:
        """What was said before; None when it was not asked yet.

        Raises:
            LogError: the file is there and is none of ours.
        """
        path = self._path(engine, given, catalogue)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file:
                rows = np.load(file, allow_pickle=False)
            ends = np.cumsum([len(case.items) for case in given])
            return [tuple(_scored(values) for values in part.tolist()) for part in np.split(rows, ends[:-1])]
        except (OSError, ValueError, TypeError) as error:
            message = f"{path}: holds no scores: {error}"
            raise LogError(message) from error

    def keep(self, engine: Engine, given: Sequence[Case], catalogue: Catalogue, scored: Sequence[Sequence[Scored]]) -> None:
        """Write down what was said. The file appears when it is whole."""
        path = self._path(engine, given, catalogue)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        rows = [(one.logprob, one.prior_logprob, one.tokens) for case in scored for one in case]
        with part.open("wb") as file:
            np.save(file, np.array(rows, dtype=np.float64), allow_pickle=False)
        part.replace(path)

    def _path(self, engine: Engine, given: Sequence[Case], catalogue: Catalogue) -> Path:
        content = hashlib.blake2b(f"{engine.model_id}|{engine.prompt_version}".encode(), digest_size=12)
        for case in given:
            content.update(json.encode((case.digest, [catalogue.at(catalogue.index(item)).title for item in case.items])))
        return self._folder / f"{engine.model_id.replace('@', '-')}-{content.hexdigest()}.npy"


class KeptSlates:
    """One file per checkpoint, set of cases, tower and policy: what the checkpoint imagined, and the slates.

    A change of the walk's code is not seen: a folder belongs to one state of the code.

    Args:
        folder: where the files lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, engine: Engine, given: Sequence[Case], retriever: Retriever, policy: ServePolicy) -> list[Imagined] | None:
        """What was shown before; None when it was not asked yet.

        Raises:
            LogError: the file is there and is none of ours.
        """
        path = self._path(engine, given, retriever, policy)
        if not path.exists():
            return None
        try:
            return json.decode(path.read_bytes(), type=list[Imagined])
        except DecodeError as error:
            message = f"{path}: holds no slates: {error}"
            raise LogError(message) from error

    def keep(
        self, engine: Engine, given: Sequence[Case], retriever: Retriever, policy: ServePolicy, shown: Sequence[Imagined]
    ) -> None:
        """Write down what was shown. The file appears when it is whole."""
        path = self._path(engine, given, retriever, policy)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(json.encode(shown))
        part.replace(path)

    def _path(self, engine: Engine, given: Sequence[Case], retriever: Retriever, policy: ServePolicy) -> Path:
        content = hashlib.blake2b(f"{engine.model_id}|{engine.prompt_version}|{policy}".encode(), digest_size=12)
        # One vector of all words that titles have: another tower gives another one.
        words = retriever.tower.encode(" ".join(retriever.titles.titles))
        content.update(json.encode((retriever.titles.name, words.tobytes(), list(given))))
        return self._folder / f"{engine.model_id.replace('@', '-')}-{content.hexdigest()}.json"


def _scored(values: Sequence[float]) -> Scored:
    logprob, prior_logprob, tokens = values
    return Scored(logprob, prior_logprob, int(tokens))
