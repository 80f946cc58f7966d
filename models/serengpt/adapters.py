"""The folder of a LoRA adapter, as PEFT writes it: `adapter_config.json` and `adapter_model.safetensors`.

Knows nothing about runtimes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from models.errors import CheckpointError, brief
from models.serengpt.checkpoint import sha256

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ID_DIGITS = 12  # as in a checkpoint's name
_MAX_RANK = 512  # that vLLM computes with
# What it may change. Of an adapted head vLLM cannot tell the log-probabilities of a prompt.
ADAPTED = frozenset(("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"))


class Adapter(NamedTuple):
    """A verified adapter whose weights are still on the disk; `model_id` names it by content."""

    name: str
    folder: Path
    rank: int
    model_id: str


class _Config(Struct, frozen=True, kw_only=True):
    """What is read of an `adapter_config.json`."""

    peft_type: str
    r: int
    target_modules: frozenset[str]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, and no checkpoint."""
    return (folder / ADAPTER_CONFIG).is_file()


def read_adapter(folder: Path) -> Adapter:
    """The adapter of a folder.

    Raises:
        CheckpointError: a file is missing or is no such file, or the adapter is of another kind.
    """
    try:
        config_json = (folder / ADAPTER_CONFIG).read_bytes()
        config = msgspec.json.decode(config_json, type=_Config)
        with (folder / ADAPTER_WEIGHTS).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, msgspec.MsgspecError) as error:
        message = f"adapter {folder}: {error}"
        raise CheckpointError(message) from error
    if config.peft_type != "LORA" or not 1 <= config.r <= _MAX_RANK:
        message = f"adapter {folder}: {brief(config.peft_type)} of rank {config.r}, must be LORA of rank 1 to {_MAX_RANK}"
        raise CheckpointError(message)
    if not config.target_modules <= ADAPTED:
        found, known = sorted(config.target_modules - ADAPTED), sorted(ADAPTED)
        message = f"adapter {folder}: target_modules {brief(', '.join(found))}, must be among {', '.join(known)}"
        raise CheckpointError(message)
    digits = sha256((sha256(config_json) + weights).encode())[:_ID_DIGITS]
    return Adapter(folder.name, folder, config.r, f"{folder.name}@{digits}")
