"""The models behind the profiling stage, by the names that the configuration has for them.

local      SerenGPT, as `serengpt` configures it: no other model is needed, and little is inferred
endpoint   any model behind an endpoint that speaks OpenAI's chat completions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from models.errors import SerenError
from models.pretrained import tower_folder
from models.profiles import ProfilePolicy
from models.profiling.local import LocalProfileModel
from models.profiling.model import ProfileModel, Question
from models.profiling.policy import LocalPolicy, StagePolicy
from models.profiling.question import answer_schema
from models.profiling.relevance import Relevance
from models.profiling.stage import ProfilingStage
from models.retrieval.vectors import Tower
from models.serengpt.engine import Engine
from streams.engines.chat import ChatEndpoint
from streams.knowledge import Knowledge
from streams.profiling.settings import ProfilingSettings


class EndpointProfileModel:
    """A model that is asked over HTTP, several questions at a time.

    Args:
        endpoint: one question, one answer.
        schema: of the answer; None where the endpoint cannot be held to one.
        concurrency: questions at the same time.
    """

    def __init__(self, endpoint: ChatEndpoint, schema: Mapping[str, Any] | None, *, concurrency: int) -> None:
        self.model_id = f"endpoint/{endpoint.model_id}"[:256]
        self._endpoint = endpoint
        self._schema = schema
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="profile-model")

    def infer(self, questions: Sequence[Question]) -> list[str | SerenError]:
        """See `ProfileModel`; a question that met an endpoint that is away is an error that says so."""
        return list(self._pool.map(self._ask, questions))

    def close(self) -> None:
        """Asks nothing more."""
        self._pool.shutdown()

    def _ask(self, question: Question) -> str | SerenError:
        try:
            return self._endpoint.ask(question.system, question.user, schema=self._schema, seed=question.seed)
        except SerenError as error:
            return error


def endpoint_model(settings: ProfilingSettings, environment: Mapping[str, str]) -> EndpointProfileModel:
    """The endpoint of the configuration.

    Raises:
        ConfigError: its URL or model is missing.
    """
    endpoint = ChatEndpoint(settings.endpoint, environment, section="profiling.endpoint")
    schema = answer_schema(settings.stage.question, max_tag_chars=settings.stage.approval.max_tag_chars)
    return EndpointProfileModel(endpoint, schema if settings.with_schema else None, concurrency=settings.concurrency)


def local_model(engine: Engine, knowledge: Knowledge, policy: LocalPolicy) -> LocalProfileModel:
    """SerenGPT in the place of a larger model."""
    return LocalProfileModel(engine, knowledge.query_tags, policy)


def load_stage(
    model: ProfileModel,
    knowledge: Knowledge,
    *,
    profile: ProfilePolicy,
    policy: StagePolicy,
    with_tower: bool,
) -> ProfilingStage:
    """The profiling walk with everything that it needs.

    Args:
        model: infers.
        knowledge: catalogue and tags; both may grow while the stage is in use.
        profile: the policy of the profile workers that ask.
        policy: of the stage.
        with_tower: the shipped tower judges relevance beside words.

    Raises:
        CheckpointError: the tower is missing or corrupt.
    """
    encode = Tower.load(tower_folder()).encode if with_tower else None
    return ProfilingStage(
        model=model,
        catalogue=knowledge.catalogue,
        queries=knowledge.query_tags,
        profile=profile,
        policy=policy,
        relevance=Relevance(policy.relevance, encode),
    )
