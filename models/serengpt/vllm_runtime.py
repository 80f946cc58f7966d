"""One vLLM server inside this process: its start, its two kinds of requests, its end. All of it runs on one event loop.

Four of vLLM's habits shape this file.

* Its settings are environment variables, and some are read when it is imported: `models.serengpt.vllm_engine` sets them.
* Which of its two model runners works depends on what is installed, and log-probabilities and logits processors differ between
  them. The one that runs on every machine is asked for.
* A request for the log-probabilities of a prompt takes nothing from the prefix cache, unless it says otherwise; then the
  numbers of what was skipped are whatever was in memory. `models.serengpt.shared_prefix` makes that safe.
* Its processes outlive a parent that is killed: `models.serengpt.vllm_guard`.

Knows nothing about digests. Needs vllm.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
from collections.abc import Sequence
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import vllm
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from models.errors import CheckpointError, RequestError, UnsoundAnswer
from models.serengpt.adapters import ADAPTED
from models.serengpt.prompt import TITLE_TOKENS
from models.serengpt.requests import REPETITION_PENALTY, TEMPERATURE
from models.serengpt.shared_prefix import Found, Reading
from models.serengpt.tokens import SPECIAL_TOKENS
from models.serengpt.vllm_limits import VllmLimits
from models.serengpt.vllm_penalty import ARGUMENT, NAME

DEAD = EngineDeadError  # what whoever waits for an answer gets when the processes have died

_SEEDS = 1024  # apart from each other, so that the samples of one request have no seed of another's
_CPU_BLOCK, _GPU_BLOCK = 32, 16  # tokens that the cache keeps together: the least that vLLM computes with
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that vLLM can make room for
_END_S = 1.0  # for the processes to end when they are asked to


class Runtime:
    """See `start`."""

    def __init__(self, llm: Any, *, block: int, processes: Sequence[BaseProcess]) -> None:
        self.block = block
        self.asked_tokens = 0  # of prompts and titles
        self.cached_tokens = 0  # of those, the ones that were not read anew
        self.in_hand = 0  # requests that it has not answered yet
        self.answered = 0  # and those that it has
        self._llm = llm
        self._processes = processes
        self._names = count()

    @property
    def is_dead(self) -> bool:
        """It answers no more."""
        return bool(self._llm.errored)

    async def read(self, prompt: Sequence[int], reading: Reading, *, priority: int, adapter: Any) -> Found:
        """Reads tokens after a prompt.

        Raises:
            RequestError: the request is one that vLLM does not take.
        """
        params = _sampling(
            max_tokens=1,
            temperature=0,
            prompt_logprobs=0,
            skip_reading_prefix_cache=False,
            logprob_token_ids=list(reading.nexts) or None,
        )
        output = await self._generated([*prompt, *reading.ids], params, priority=priority, adapter=adapter)
        read = output.prompt_logprobs.logprobs  # of every token but the first
        found = read[len(read) - len(reading.ids) :]
        nexts: dict[int, float] = {}
        if reading.nexts:
            after = output.outputs[0].logprobs
            nexts = {
                token: value for token, value in zip(after.token_ids, after.logprobs, strict=True) if token in reading.nexts
            }
        return Found(output.num_cached_tokens or 0, found, nexts)

    async def write(self, prompt: Sequence[int], *, n: int, seed: int, priority: int, adapter: Any) -> list[list[int]]:
        """Samples titles, as token ids.

        Raises:
            UnsoundAnswer: the probabilities are not finite.
            RequestError: the request is one that vLLM does not take.
        """
        params = _sampling(
            n=n,
            seed=seed * _SEEDS,
            temperature=TEMPERATURE,
            max_tokens=TITLE_TOKENS,
            stop_token_ids=list(range(len(SPECIAL_TOKENS))),
            logprobs=0,
            extra_args={ARGUMENT: REPETITION_PENALTY},
        )
        output = await self._generated(list(prompt), params, priority=priority, adapter=adapter)
        written = sorted(output.outputs, key=lambda one: one.index)
        if not all(math.isfinite(value) for one in written for value in one.logprobs.logprobs):
            message = "no finite probabilities after this digest"
            raise UnsoundAnswer(message)
        return [list(one.token_ids) for one in written]

    async def load(self, folder: Path) -> None:
        """Takes the weights of another checkpoint of the same shape; nothing may be under way."""
        await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        await self._llm.reset_prefix_cache()

    async def adapt(self, adapter: Any) -> None:
        """Loads an adapter beside what is under way."""
        await self._llm.add_lora(adapter)

    def kill(self) -> None:
        """Ends its processes at once: whatever waits for them fails."""
        for process in self._processes:
            process.kill()

    async def close(self) -> None:
        """Ends it; kills what does not end."""
        self._llm.shutdown(timeout=_END_S)
        self.kill()
        await asyncio.sleep(0)  # for the tasks that were cancelled

    async def _generated(self, ids: list[int], params: Any, *, priority: int, adapter: Any) -> Any:
        prompt, name = {"type": "token", "prompt_token_ids": ids}, str(next(self._names))
        self.in_hand += 1
        try:
            asked = self._llm.generate(prompt, params, name, priority=priority, lora_request=adapter)
            output = [one async for one in asked][-1]
        except (VLLMClientError, EngineGenerateError) as error:
            message = f"vLLM does not take this request: {error.__cause__ or error}"
            raise RequestError(message) from error
        finally:
            self.in_hand -= 1
        reasons = {one.finish_reason for one in output.outputs}
        if not reasons <= {"stop", "length"}:
            message = f"vLLM gave this request up: {reasons}"
            raise RequestError(message)
        self.answered += 1
        self.asked_tokens += len(ids)
        self.cached_tokens += output.num_cached_tokens or 0
        return output


async def start(folder: Path, *, tokens: int, adapter_rank: int, limits: VllmLimits) -> Runtime:
    """A server for a checkpoint; takes half a minute, and holds the event loop meanwhile.

    Args:
        folder: in transformers' format.
        tokens: of the longest prompt with its title.
        adapter_rank: of the largest adapter that it will be given; 0: none.
        limits: what it may take.

    Raises:
        CheckpointError: vLLM cannot run it here.
    """
    is_cpu = bool(current_platform.is_cpu())
    if is_cpu:
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # else it compiles C++ at the first request, for nothing here
    block = _CPU_BLOCK if is_cpu else _GPU_BLOCK
    on_cpu = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": limits.cpu_cache_bytes}
    on_gpu = {"dtype": "bfloat16", "gpu_memory_utilization": limits.gpu_memory_share}
    with_adapters = {
        "enable_lora": True,
        "max_loras": 2,  # the old one and the new one
        "lora_target_modules": [*sorted(ADAPTED), "qkv_proj", "gate_up_proj"],  # vLLM has some of them in one
    }
    before = set(multiprocessing.active_children())
    try:
        arguments = AsyncEngineArgs(
            model=str(folder),
            skip_tokenizer_init=True,
            generation_config="vllm",  # not the checkpoint's own temperature and penalties
            max_model_len=tokens + 1,
            block_size=block,
            enable_prefix_caching=True,
            scheduling_policy="priority",
            max_num_seqs=limits.sequences,
            # A prompt in pieces takes the seeded draws of its samples back, which a CPU's generators cannot (0.32: it dies).
            enable_chunked_prefill=False,
            max_num_batched_tokens=max(limits.step_tokens, tokens + 1),
            max_logprobs=-1,
            logits_processors=[NAME],
            disable_log_stats=True,
            **(on_cpu if is_cpu else on_gpu),
            **(
                with_adapters | {"max_lora_rank": min(rank for rank in _RANKS if rank >= adapter_rank)} if adapter_rank else {}
            ),
        )
        llm = AsyncLLM.from_engine_args(arguments)
    except Exception as error:  # whatever it is: the start of a server fails in many ways, and all mean that none is there
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        message = f"checkpoint {folder}: vLLM cannot run it: {error}"
        raise CheckpointError(message) from error
    return Runtime(
        llm, block=block, processes=sorted(set(multiprocessing.active_children()) - before, key=lambda one: one.name)
    )


def described() -> str:
    """What vLLM runs on here, in words."""
    return f"vllm {vllm.__version__}, {'float32 on the CPU' if current_platform.is_cpu() else 'bfloat16 on a GPU'}"


def adapter_named(name: str, number: int, folder: Path) -> Any:
    """An adapter as vLLM asks for it."""
    return LoRARequest(name, number, str(folder))


def _sampling(**arguments: Any) -> Any:
    return SamplingParams(detokenize=False, flat_logprobs=True, output_kind=RequestOutputKind.FINAL_ONLY, **arguments)
