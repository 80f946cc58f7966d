"""SerenGPT's engines by the names that the configuration has for them; torch is imported only where it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from msgspec import convert

from models.errors import ConfigError
from models.pretrained import serengpt_folder
from models.registry import Registry, is_registry, model_key
from models.serengpt import embedded
from models.serengpt.address import Decoding
from models.serengpt.engine import Engine
from models.serengpt.prompt import PROMPT_TOKENS
from models.serengpt.vllm_limits import VllmLimits
from streams.engines.calls import MeasuredEngine, ModelCalls, TokenCounts
from streams.engines.changes import ModelChanges
from streams.engines.hosting.engine import HostedEngine, HostPolicy
from streams.engines.live import LiveEngine
from streams.scores.engine import LoggedEngine
from streams.scores.log import ScoreLog

# Engines that need the extra of their name, and its packages; such an engine is imported when it is asked for.
_NEEDS = {"torch": ("torch", "safetensors"), "vllm": ("vllm",)}


class LoadedEngine(Engine, Protocol):
    """An engine that holds memory, a device, perhaps threads; `runtime` says in words what it runs on."""

    @property
    def runtime(self) -> str:
        """Software, precision and device."""
        ...

    def close(self) -> None:
        """Ends what it holds; it answers no more."""
        ...


def load_engine(
    engine: str,
    model: str,
    *,
    threads: int,
    prompt_tokens: int = PROMPT_TOKENS,
    key_file: str = "",
    vllm: Mapping[str, float] | None = None,
    changes: ModelChanges | None = None,
) -> LoadedEngine:
    """The engine of a name with its checkpoint.

    Args:
        engine: `ctranslate2`, `torch` or `vllm`: see `streams.config.ENGINES`.
        model: a checkpoint folder, or a registry of versions, which is then followed; empty for the one in the package.
        threads: on the CPU.
        prompt_tokens: budget of a prompt.
        key_file: holds the key that a registry's versions must be signed with; empty: none.
        vllm: what a server of vLLM may take, by the names of `VllmLimits`; None: the defaults.
        changes: told which model serves, and of every change.

    Raises:
        ConfigError: there is no engine of that name, or it needs packages that are not installed.
        CheckpointError: the folder is missing, corrupt, or of another prompt version or architecture.
    """
    folder = Path(model) if model else serengpt_folder()
    load = partial(_load, engine, threads=threads, prompt_tokens=prompt_tokens, vllm=vllm)
    return _followed(folder, load, key_file=key_file, changes=changes)


def load_hosted_engine(
    engine: str,
    model: str,
    *,
    threads: int,
    key_file: str = "",
    vllm: Mapping[str, float] | None = None,
    policy: HostPolicy,
    on_restart: Callable[[str], None],
    changes: ModelChanges | None = None,
) -> LoadedEngine:
    """The same in a process of its own, which a watchdog replaces when it ends or does no work.

    Of a registry each version has its process, so that what a version held goes with it; but an engine that can swap, for it
    has no room for two, changes inside of its process.

    Args:
        engine: see `load_engine`, like the next three.
        model: a checkpoint folder or a registry; empty for the one in the package.
        threads: on the CPU.
        key_file: of a registry.
        vllm: see `load_engine`.
        policy: how long is too long.
        on_restart: told why a process was replaced.
        changes: see `load_engine`.

    Raises:
        ConfigError: see `load_engine`.
        CheckpointError: see `load_engine`.
        EngineDead: the process ended while it loaded the model, or took too long.
    """

    def load(folder: Path) -> LoadedEngine:
        arguments = {"engine": engine, "model": str(folder), "threads": threads, "vllm": vllm}
        return HostedEngine("streams.engines.named:load_engine", arguments, policy=policy, on_restart=on_restart)

    return _followed(Path(model) if model else serengpt_folder(), load, key_file=key_file, changes=changes)


def _followed(
    folder: Path, load: Callable[[Path], LoadedEngine], *, key_file: str, changes: ModelChanges | None
) -> LoadedEngine:
    """The engine of a checkpoint folder; of a registry, one that follows it."""
    if is_registry(folder):
        return LiveEngine(Registry(folder, key=model_key(key_file)), load, changes=changes)
    engine = load(folder)
    if changes is not None:
        changes.serves(engine.model_id)
    return engine


def checkpoint_folder(model: str, *, key_file: str = "") -> Path:
    """The checkpoint that `serengpt.model` means now: the folder itself, or the one that serves of a registry, verified.

    Raises:
        CheckpointError: no version of the registry serves, or it does not verify.
    """
    folder = Path(model) if model else serengpt_folder()
    if not is_registry(folder):
        return folder
    registry = Registry(folder, key=model_key(key_file))
    return registry.checkpoint(registry.verify(registry.current()).number)


def metered(
    calls: ModelCalls, scores: ScoreLog | None = None, tokens: TokenCounts | None = None
) -> Callable[[Engine], Engine]:
    """What goes around an engine that serves: a meter of what it is asked, and outside of it the log of what it answered.

    Args:
        calls: the meter; what the log answers is no call.
        scores: the log; None: the engine is always asked.
        tokens: how the meter counts tokens; None: it does not.
    """

    def around(engine: Engine) -> Engine:
        measured = MeasuredEngine(engine, calls, tokens)
        return measured if scores is None else LoggedEngine(measured, scores, decoding=Decoding.of())

    return around


def _load(engine: str, folder: Path, *, threads: int, prompt_tokens: int, vllm: Mapping[str, float] | None) -> LoadedEngine:
    if engine == "ctranslate2":
        return embedded.load_engine(folder, threads=threads, prompt_tokens=prompt_tokens)
    if engine not in _NEEDS:
        message = f"configuration: serengpt.engine = {engine} is no engine"
        raise ConfigError(message)
    missing = [name for name in _NEEDS[engine] if find_spec(name) is None]
    if missing:
        message = f"configuration: serengpt.engine = {engine} needs {' and '.join(missing)}: pip install 'seren[{engine}]'"
        raise ConfigError(message)
    load = partial(import_module(f"models.serengpt.{engine}_engine").load_engine, folder, threads=threads)
    if engine == "vllm" and vllm is not None:
        load = partial(load, limits=convert(vllm, VllmLimits))
    return cast(LoadedEngine, load(prompt_tokens=prompt_tokens))
