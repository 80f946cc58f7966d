"""How near the torch engine's network comes to what its device can do: matrix products in prefill, memory in decoding.

The device's rates are measured beside, in the network's own precision: a data sheet's are met by nobody. Needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from models.serengpt.prompt import TITLE_TOKENS
from models.serengpt.qwen3 import Network
from streams.bench.figures import Meaning

_MEASURED_S = 0.5  # of each rate at least; a shorter time measures the first call
_MATRIX = {"cpu": 1024, "cuda": 8192}  # rows and columns of a square product that keeps the device busy
_COPIED_BYTES = {"cpu": 2**28, "cuda": 2**30}  # beyond any cache


def roofline_meanings(network: Network, *, samples: int) -> dict[str, Meaning]:
    """What the numbers of `roofline` stand for."""
    precision = str(network.precision).removeprefix("torch.")
    return {
        "matrix rate": Meaning("TFLOP/s", f"measured: square products in {precision}"),
        "memory bandwidth": Meaning("GB/s", "measured: a copy, read and written bytes"),
        "prefill": Meaning("tokens/s", "one batch of prompts"),
        "prefill, share of the matrix rate": Meaning("ratio", "its floating-point operations, by the matrix rate"),
        "decode step": Meaning("ms", f"one token for {samples} samples of each prompt of the batch, logits included"),
        "decode, share of the bandwidth": Meaning("ratio", "weights once and every prompt's cache once, by the bandwidth"),
    }


def roofline(network: Network, prompts: Sequence[Sequence[int]], *, samples: int) -> dict[str, float]:
    """One run, over prompts that are read as one batch and go on in `samples` ways each."""
    with torch.inference_mode():
        matrix, bandwidth = _matrix_rate(network), _bandwidth(network)
        prefill_s = _seconds(network, lambda: network.read(prompts))
        step_s = _step_seconds(network, prompts, samples)
    tokens = sum(map(len, prompts))
    return {
        "matrix rate": matrix / 1e12,
        "memory bandwidth": bandwidth / 1e9,
        "prefill": tokens / prefill_s,
        "prefill, share of the matrix rate": _prefill_operations(network, prompts) / prefill_s / matrix,
        "decode step": step_s * 1_000,
        "decode, share of the bandwidth": _step_bytes(network, tokens) / step_s / bandwidth,
    }


def peak_memory_mib(network: Network) -> float | None:
    """The most device memory that this process has held; None on the CPU."""
    return torch.cuda.max_memory_allocated(network.device) / 2**20 if network.device.type == "cuda" else None


def used_memory_mib() -> float | None:
    """The device memory that is in use now, by all processes; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return float(total - free) / 2**20


def _prefill_operations(network: Network, prompts: Sequence[Sequence[int]]) -> float:
    """Two for each weight and token; and in attention two products over half of each square, for that is what is causal."""
    shape = network.shape
    weights = 2.0 * shape.layer_weights * sum(map(len, prompts))
    return weights + sum(2.0 * len(prompt) ** 2 * shape.heads * shape.head_size * shape.layers for prompt in prompts)


def _step_bytes(network: Network, prompt_tokens: int) -> float:
    shape = network.shape
    values = shape.layer_weights + shape.vocabulary * shape.hidden + prompt_tokens * shape.cached_values
    return float(network.precision.itemsize * values)


def _step_seconds(network: Network, prompts: Sequence[Sequence[int]], samples: int) -> float:
    prefix = network.read(prompts)
    ids = torch.full((len(prompts), samples, 1), len(prompts[0]), device=network.device)

    def title() -> None:
        tail = network.tail(len(prompts), samples, TITLE_TOKENS)
        for _ in range(TITLE_TOKENS):
            hidden = network.extend(ids, prefix, tail).flatten(0, 2)
            for piece in network.in_pieces(len(hidden)):
                network.logits(hidden[piece])

    return _seconds(network, title) / TITLE_TOKENS


def _matrix_rate(network: Network) -> float:
    size = _MATRIX[network.device.type]
    one, other = (torch.randn((size, size), device=network.device, dtype=network.precision) for _ in range(2))
    return 2.0 * size**3 / _seconds(network, lambda: one @ other)


def _bandwidth(network: Network) -> float:
    count = _COPIED_BYTES[network.device.type]
    source = torch.zeros(count, dtype=torch.uint8, device=network.device)
    target = torch.empty_like(source)
    return 2.0 * count / _seconds(network, lambda: target.copy_(source))


def _seconds(network: Network, work: Callable[[], object]) -> float:
    """Of one call, over as many as fill the time; the first is not counted."""
    work()
    _wait(network)
    calls, started_s = 0, time.perf_counter()
    while True:
        work()
        calls += 1
        _wait(network)
        spent_s = time.perf_counter() - started_s
        if spent_s >= _MEASURED_S:
            return spent_s / calls


def _wait(network: Network) -> None:
    if network.device.type == "cuda":
        torch.cuda.synchronize(network.device)
