"""SerenGPT's engines by the names that the configuration has for them; torch is imported only where it was asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from models.errors import ConfigError
from models.pretrained import serengpt_folder
from models.serengpt import embedded
from models.serengpt.engine import Engine
from models.serengpt.prompt import PROMPT_TOKENS

_TORCH_NEEDS = ("torch", "safetensors")


class LoadedEngine(Engine, Protocol):
    """An engine that holds memory, a device, perhaps threads; `runtime` says in words what it runs on."""

    runtime: str

    def close(self) -> None:
        """Ends what it holds; it answers no more."""
        ...


def load_engine(engine: str, model: str, *, threads: int, prompt_tokens: int = PROMPT_TOKENS) -> LoadedEngine:
    """The engine of a name with its checkpoint.

    Args:
        engine: `ctranslate2` or `torch`: see `streams.config.ENGINES`.
        model: a checkpoint folder; empty for the one in the package.
        threads: on the CPU.
        prompt_tokens: budget of a prompt.

    Raises:
        ConfigError: there is no engine of that name, or it needs packages that are not installed.
        CheckpointError: the folder is missing, corrupt, or of another prompt version or architecture.
    """
    folder = Path(model) if model else serengpt_folder()
    if engine == "ctranslate2":
        return embedded.load_engine(folder, threads=threads, prompt_tokens=prompt_tokens)
    if engine != "torch":
        message = f"configuration: serengpt.engine = {engine} is no engine"
        raise ConfigError(message)
    missing = [name for name in _TORCH_NEEDS if find_spec(name) is None]
    if missing:
        message = f"configuration: serengpt.engine = torch needs {' and '.join(missing)}: pip install 'seren[torch]'"
        raise ConfigError(message)
    torch_engine = import_module("models.serengpt.torch_engine")
    return cast(LoadedEngine, torch_engine.load_engine(folder, threads=threads, prompt_tokens=prompt_tokens))
