"""What a vLLM server may take. Imports nothing of vLLM."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VllmLimits:
    """Bounds of one server."""

    gpu_memory_share: float = 0.9  # of a GPU's memory: weights, and keys and values in what they leave
    cpu_cache_bytes: int = 268_435_456  # for keys and values where there is no GPU; a prompt of the small model takes 0.3 MB
    sequences: int = 256  # read or written side by side; the others wait, by priority
    step_tokens: int = 8192  # read or written in one step; a prompt is read in one, whole
    # Deaths in a row, without an answer between, after which the process should end: then a new server will not help.
    deaths: int = 3
