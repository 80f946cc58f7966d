"""From prompts to pairs: titles sampled or read, looked up in the catalogue, scored by a judge, paired.

Knows nothing about commands. Works through prompts in batches, so that progress shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from models.alignment.decisions import Question, question_of_pair
from models.alignment.grounding import Grounding
from models.alignment.pairing import PairingPolicy, paired, unjudged
from models.alignment.prompts import Prompt
from models.alignment.records import Candidate, JudgedBy, PreferencePair
from models.errors import LogError, RequestError, SerenError, brief
from models.retrieval import distinct
from models.serengpt.engine import Engine, ImagineRequest
from streams.alignment.judges import Judge, Title
from streams.recorded.logs import read_lines, write_lines

_BATCH = 16  # prompts that are asked together, between two moves of the bar

Key = tuple[str, int]
Titles = Mapping[Key, tuple[str, ...]]


class _Written(Struct):
    user_id: str
    ts_ms: int
    titles: tuple[str, ...]


_written = msgspec.json.Decoder(_Written)
_encoder = msgspec.json.Encoder()


@dataclass
class Made:
    """Pairs, the questions that are left to people, and what could not be judged. `across`: pairs of two categories."""

    pairs: list[PreferencePair] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    scored: list[list[int]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    across: int = 0

    def add(self, other: Made) -> None:
        """Takes the other's in."""
        self.pairs += other.pairs
        self.questions += other.questions
        self.scored += other.scored
        self.failed += other.failed
        self.across += other.across


def sampled(prompts: Sequence[Prompt], engine: Engine, *, count: int, seed: int) -> Iterator[tuple[Key, tuple[str, ...]]]:
    """Titles that a model writes for each prompt, as they came; none where it could not answer.

    Raises:
        EngineError: it failed as a whole.
    """
    for start in range(0, len(prompts), _BATCH):
        batch = prompts[start : start + _BATCH]
        asked = [ImagineRequest(digest=one.digest, n=count, seed=one.seed(seed)) for one in batch]
        for prompt, titles in zip(batch, engine.imagine(asked), strict=True):
            yield prompt.key, () if isinstance(titles, SerenError) else titles


def judged(
    prompts: Sequence[Prompt], titles: Titles, judge: Judge, grounding: Grounding, policy: PairingPolicy
) -> Iterator[tuple[Key, Made]]:
    """What each prompt gives, in their order; a prompt without two different titles gives nothing.

    Raises:
        EngineError: the judge is away.
    """
    for start in range(0, len(prompts), _BATCH):
        batch = prompts[start : start + _BATCH]
        asked = [(one.digest, _looked_up(titles.get(one.key, ()), grounding)) for one in batch]
        for prompt, outcome in zip(batch, judge.scores(asked), strict=True):
            yield prompt.key, _made(prompt, outcome, judge.name, policy)


def unjudged_pairs(prompts: Iterable[Prompt], titles: Titles, policy: PairingPolicy) -> list[PreferencePair]:
    """The ablation's pairs: the first thing wanted on the day against what the model wrote that was not wanted."""
    found = []
    for prompt in prompts:
        wanted = set(distinct(prompt.wanted))
        others = [title for title in titles.get(prompt.key, ()) if set(distinct([*wanted, title])) != wanted]
        for chosen, rejected in unjudged(prompt.wanted[0], others, policy):
            found.append(_pair(prompt, chosen, rejected, (None, None), "none"))
    return found


def read_titles(path: Path) -> dict[Key, tuple[str, ...]]:
    """Titles by prompt. Raises `LogError` when a line is none."""
    found: dict[Key, tuple[str, ...]] = {}
    for number, line in read_lines(path):
        try:
            one = _written.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"{path}, line {number}: {brief(str(error))}"
            raise LogError(message) from error
        found[one.user_id, one.ts_ms] = one.titles
    return found


def write_titles(path: Path, titles: Titles) -> None:
    """Writes titles by prompt, for another run of the same prompts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_lines(path, (_encoder.encode(_Written(*key, found)) for key, found in titles.items()))


def _looked_up(titles: Sequence[str], grounding: Grounding) -> list[Title]:
    found = []
    for title in distinct(titles):
        item = grounding.find(title)
        found.append(Title(title, item.leaf if item else None))
    return found


def _made(prompt: Prompt, outcome: list[Candidate] | RequestError, name: JudgedBy, policy: PairingPolicy) -> Made:
    if isinstance(outcome, RequestError):
        return Made(failed=[f"user {prompt.user_id}: {outcome}"])
    found = paired(outcome, policy, key=f"{prompt.user_id}|{prompt.ts_ms}")
    pairs = [
        _pair(prompt, one.chosen.title, one.rejected.title, (one.chosen.score, one.rejected.score), name)
        for one in found.clear
    ]
    questions = [
        question_of_pair(one, user_id=prompt.user_id, ts_ms=prompt.ts_ms, digest=prompt.digest) for one in found.close
    ]
    return Made(
        pairs=pairs,
        questions=questions,
        scored=[[one.score for one in outcome]],
        across=sum(one.is_across for one in found.clear),
    )


def _pair(
    prompt: Prompt, chosen: str, rejected: str, scores: tuple[float | None, float | None], name: JudgedBy
) -> PreferencePair:
    return PreferencePair(
        user_id=prompt.user_id,
        ts_ms=prompt.ts_ms,
        digest=prompt.digest,
        chosen=chosen,
        rejected=rejected,
        chosen_score=scores[0],
        rejected_score=scores[1],
        judged_by=name,
    )
