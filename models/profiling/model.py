"""The port behind which a language model infers tags, and the question that it gets.

Knows nothing about runtimes or connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from models.entities import Digest
from models.errors import SerenError
from models.profiling.pieces import Piece

Level = Literal["short_term", "long_term"]


class Question(Struct, frozen=True, kw_only=True):
    """One question: the instructions and the data as text, and the same data for models that read no text.

    The answer is JSON as `models.profiling.answers` reads it; its evidence are numbers of `pieces`, from 1. The same question
    with the same seed should have the same answer, as far as the model can promise that.
    """

    level: Level
    system: str
    user: str
    pieces: tuple[Piece, ...]
    digest: Digest
    seed: int


class ProfileModel(Protocol):
    """A model that infers tags. `model_id` goes into every answer."""

    model_id: str

    def infer(self, questions: Sequence[Question]) -> list[str | SerenError]:
        """One text for each question, in order, or the error that it met. Blocks.

        Raises:
            EngineError: the whole call failed; a retriable one is tried again.
        """
        ...
