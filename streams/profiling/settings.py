"""The configuration of the profiling stage. Imports nothing that is heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.profiling.policy import LocalPolicy, StagePolicy
from streams.agents.limits import ProfilingLimits
from streams.engines.chat import ChatSettings

MODELS = ("local", "endpoint")  # `streams.profiling.models` loads them


@dataclass(frozen=True, kw_only=True)
class ProfilingEndpoint(ChatSettings):
    """Where the model that infers tags is; see `ChatSettings`."""

    key_variable: str = "PROFILING_API_KEY"
    attempts: int = 2  # of a question; the worker itself tries again for as long as the endpoint is away
    max_tokens: int = 2048  # twelve tags with their reasons, and the steps before them


@dataclass(frozen=True, kw_only=True)
class ProfilingSettings:
    """Who infers tags, and how. Whether anybody is asked about is `rules.profile.inference.enabled`."""

    model: str = "local"
    endpoint: ProfilingEndpoint = field(default_factory=ProfilingEndpoint)
    concurrency: int = 4  # questions that an endpoint answers at the same time
    with_schema: bool = True  # the endpoint can be held to a JSON schema; False for those that refuse one
    with_tower: bool = True  # vectors, too, say whether a tag is about an item; False: words alone
    local: LocalPolicy = field(default_factory=LocalPolicy)
    stage: StagePolicy = field(default_factory=StagePolicy)
    limits: ProfilingLimits = field(default_factory=ProfilingLimits)
