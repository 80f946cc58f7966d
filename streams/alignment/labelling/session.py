"""One person's session: which question is next, what was decided, how far people and the judge agree.

Knows nothing about HTTP. Calls come from several threads; each holds the session's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import msgspec
from msgspec import Struct

from models.alignment.decisions import CRITERIA, Choice, Criterion, Decision, Question, agreements
from models.errors import DecodeError, brief
from streams.alignment.labelling.decisions import DecisionFile
from streams.alignment.labelling.view import agreement_view, view

_CHOICES: dict[str, tuple[Choice, ...]] = {
    "sample": ("accept", "reject", "skip"),
    "pair": ("first", "second", "skip"),
}


class _Answer(Struct):
    id: str
    choice: Choice
    failed: Criterion | None = None


_answers = msgspec.json.Decoder(_Answer)


class Session:
    """A person at work.

    Args:
        questions: in the order in which they are asked.
        file: takes the decisions; what is in it is not asked again.
        person: who decides.
        others: decisions of other persons about the same questions, to measure agreement with.
        clock_ms: milliseconds since 1970.
        is_blind: do not show what the judge says.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        file: DecisionFile,
        *,
        person: str,
        others: Sequence[Decision],
        clock_ms: Callable[[], int],
        is_blind: bool,
    ) -> None:
        self._questions = {question.id: question for question in questions}
        self._file = file
        self._person = person
        self._others = [one for one in others if one.person != person]
        self._clock_ms = clock_ms
        self._is_blind = is_blind
        self._lock = Lock()

    def state(self) -> dict[str, Any]:
        """What the page shows now."""
        with self._lock:
            return self._state()

    def decide(self, body: bytes) -> dict[str, Any]:
        """Keeps an answer and gives the next state.

        Args:
            body: JSON: the question's id, the choice, and for a rejection the criterion that failed, where it is said.

        Raises:
            DecodeError: it is no answer to one of the questions.
            LogError: it could not be kept; nothing has changed.
        """
        try:
            answer = _answers.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"answer: {brief(str(error))}"
            raise DecodeError(message) from error
        with self._lock:
            question = self._questions.get(answer.id)
            if question is None:
                message = f"answer: id {brief(answer.id)!r} is none of the {len(self._questions)} questions"
                raise DecodeError(message)
            if answer.choice not in _CHOICES[question.kind]:
                message = f"answer: choice {answer.choice!r} of a {question.kind}; must be one of {_CHOICES[question.kind]}"
                raise DecodeError(message)
            if answer.failed is not None and answer.choice != "reject":
                message = f"answer: failed {answer.failed!r} with choice {answer.choice!r}; only a rejection has one"
                raise DecodeError(message)
            self._file.add(self._decision(question, answer))
            return self._state()

    def undo(self) -> dict[str, Any]:
        """Takes the last decision back, and asks that question again. Raises `LogError`."""
        with self._lock:
            self._file.undo()
            return self._state()

    def _decision(self, question: Question, answer: _Answer) -> Decision:
        return Decision(
            id=question.id,
            kind=question.kind,
            person=self._person,
            choice=answer.choice,
            failed=answer.failed,
            decided_ms=self._clock_ms(),
        )

    def _state(self) -> dict[str, Any]:
        decided = {one.id for one in self._file.decisions}
        left = [question for name, question in self._questions.items() if name not in decided]
        found = agreements([*self._file.decisions, *self._others], self._questions, seed=0)
        return {
            "person": self._person,
            "total": len(self._questions),
            "left": len(left),
            "can_undo": bool(self._file.decisions),
            "criteria": list(CRITERIA),
            "question": view(left[0], is_blind=self._is_blind) if left else None,
            "agreements": [agreement_view(one) for one in found if self._person in (one.first, one.second)],
        }
