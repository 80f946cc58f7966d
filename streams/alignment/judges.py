"""Who gives verdicts and scores for alignment: the judge of this machine, or a teacher behind an endpoint.

Both offer the same two things, so that commands need not know which it is. Knows nothing about files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from models.alignment.policy import AlignmentPolicy
from models.alignment.records import Candidate, JudgedBy
from models.alignment.rubric import local_score
from models.alignment.verdicts import (
    Messages,
    Verdict,
    local_verdict,
    read_scores,
    read_verdict,
    scores_question,
    verdict_question,
)
from models.entities import Digest
from models.errors import RequestError
from models.judging.home import Adviser
from models.judging.local import Ask, LocalJudge
from models.judging.meaning import Meaning
from models.judging.policy import JudgePolicy
from models.pretrained import words_folder
from models.retrieval.text import words
from models.serengpt.checkpoint import TOKENIZER
from models.serengpt.tokens import TitleTokenizer
from streams.engines.named import load_engine

PARALLEL = 8  # questions to a teacher at a time: a server with continuous batching answers them together

_T = TypeVar("_T")


class Title(NamedTuple):
    """A title that a model wrote, with the leaf category of the item behind it; None: nothing of the kind is sold."""

    text: str
    leaf: str | None


class Judge(Protocol):
    """Who can be asked. An error stands for what could not be judged; nothing else is touched by it."""

    name: JudgedBy

    def verdicts(self, asks: Sequence[Ask]) -> list[Verdict | RequestError]:
        """Whether each item is serendipitous, and why."""

    def scores(self, prompts: Sequence[tuple[Digest, Sequence[Title]]]) -> list[list[Candidate] | RequestError]:
        """A score of 1..6 for each title of each prompt."""


class LocalAlignmentJudge:
    """The judge of `seren judge`, its figures brought to verdicts and scores by named bounds.

    Args:
        judge: of asks.
        policy: the bounds.
    """

    name: JudgedBy = "judge"

    def __init__(self, judge: LocalJudge, policy: AlignmentPolicy) -> None:
        self._judge = judge
        self._policy = policy

    def verdicts(self, asks: Sequence[Ask]) -> list[Verdict | RequestError]:
        """See `Judge.verdicts`."""
        return [local_verdict(heard.judgement, self._policy.verdicts) for heard in self._judge.hear(asks)]

    def scores(self, prompts: Sequence[tuple[Digest, Sequence[Title]]]) -> list[list[Candidate] | RequestError]:
        """See `Judge.scores`."""
        asks = [Ask(digest, title.text, title.leaf or "") for digest, titles in prompts for title in titles]
        heard = iter(self._judge.hear(asks))
        found: list[list[Candidate] | RequestError] = []
        for digest, titles in prompts:
            had = {tuple(sorted(words(one.title))) for one in digest.history}
            candidates = []
            for title in titles:
                is_had = tuple(sorted(words(title.text))) in had
                score = local_score(next(heard).judgement, self._policy.rubric, is_had=is_had, is_real=title.leaf is not None)
                candidates.append(Candidate(title.text, score, title.leaf))
            found.append(candidates)
        return found


class Teacher:
    """A large model that is told the rubric.

    Args:
        ask: `ChatEndpoint.ask`, or what stands for it.
        parallel: questions at a time.
    """

    name: JudgedBy = "teacher"

    def __init__(self, ask: Callable[..., str], *, parallel: int = PARALLEL) -> None:
        self._ask = ask
        self._parallel = parallel

    def verdicts(self, asks: Sequence[Ask]) -> list[Verdict | RequestError]:
        """See `Judge.verdicts`. Raises `EngineError` when the endpoint is away."""
        return self._all([(verdict_question(ask.digest, ask.title, ask.category), read_verdict) for ask in asks])

    def scores(self, prompts: Sequence[tuple[Digest, Sequence[Title]]]) -> list[list[Candidate] | RequestError]:
        """See `Judge.scores`. Raises `EngineError` when the endpoint is away."""
        questions: list[tuple[Messages, Callable[[str], list[int]]]] = []
        for digest, titles in prompts:
            asked = scores_question(digest, [title.text for title in titles])
            questions.append((asked, partial(read_scores, count=len(titles))))
        found: list[list[Candidate] | RequestError] = []
        for (_, titles), scores in zip(prompts, self._all(questions), strict=True):
            if isinstance(scores, RequestError):
                found.append(scores)
            else:
                found.append([Candidate(one.text, score, one.leaf) for one, score in zip(titles, scores, strict=True)])
        return found

    def _all(self, questions: Sequence[tuple[Messages, Callable[[str], _T]]]) -> list[_T | RequestError]:
        with ThreadPoolExecutor(self._parallel) as pool:
            return list(pool.map(lambda one: self._one(*one), questions))

    def _one(self, asked: Messages, read: Callable[[str], _T]) -> _T | RequestError:
        try:
            return read(self._ask(asked.system, asked.material, schema=asked.schema))
        except RequestError as error:
            return error


@contextmanager
def local_judge(judge: JudgePolicy, *, engine: str, checkpoint: Path | None, threads: int) -> Iterator[LocalJudge]:
    """The judge of this machine, with SerenGPT's opinion where a checkpoint is given.

    Args:
        judge: its policy.
        engine: SerenGPT's runtime.
        checkpoint: None judges by the history alone.
        threads: of the engine.
    """
    meaning = Meaning.load(words_folder())
    if checkpoint is None:
        yield LocalJudge(judge, None, meaning)
        return
    with closing(load_engine(engine, str(checkpoint), threads=threads)) as running:
        tokenizer = TitleTokenizer.load(checkpoint / TOKENIZER)
        adviser = Adviser(running, tokenizer, policy=judge.home, tastes=judge.portrait.tastes)
        yield LocalJudge(judge, adviser, meaning)
