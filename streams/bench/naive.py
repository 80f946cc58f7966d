"""The same work as an engine's, done as one would at first: transformers, one prompt for each pair and for each title.

Needs torch and transformers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config
from transformers.utils import logging

from models.serengpt.prompt import TITLE_TOKENS
from models.serengpt.qwen3 import Network
from models.serengpt.requests import REPETITION_PENALTY, TEMPERATURE
from models.serengpt.shape import NetworkShape
from models.serengpt.tokens import END, PAD, SPECIAL_TOKENS

_END, _PAD = SPECIAL_TOKENS.index(END), SPECIAL_TOKENS.index(PAD)


def stored_model(folder: Path, *, device: Any, precision: Any) -> Any:
    """A checkpoint as transformers loads it."""
    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=precision).to(device).eval()


def random_model(shape: NetworkShape, *, device: Any, precision: Any, seed: int) -> Any:
    """A model of random weights: what its answers cost, not what they say."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.feed_forward,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_size,
        max_position_embeddings=shape.positions,
        rms_norm_eps=shape.norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=shape.is_tied,
    )
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=precision).eval()


def network_of(model: Any, shape: NetworkShape) -> Network:
    """The engine's network with the weights of a transformers model; most of them are shared, not copied."""
    weights = {name: value.detach() for name, value in model.state_dict().items()}
    return Network(shape, lambda name, size: weights[name].reshape(size))


def scored_naively(model: Any, prompts: Sequence[Sequence[int]], titles: Sequence[Sequence[int]]) -> tuple[list[float], float]:
    """Log-probabilities of every title after every prompt, each pair read whole, and the seconds that it took."""
    found = []
    started_s = time.perf_counter()
    with torch.inference_mode():
        for prompt in prompts:
            for title in titles:
                ids = torch.tensor([[*prompt, *title, _END]], device=model.device)
                logits = model(ids[:, :-1], use_cache=False, logits_to_keep=len(title) + 1).logits[0].float()
                chosen = logits.gather(1, ids[0, len(prompt) :, None]).squeeze(1)
                found.append(float((chosen.double() - logits.logsumexp(1).double()).sum()))
    return found, time.perf_counter() - started_s


def imagined_naively(model: Any, prompts: Sequence[Sequence[int]], *, titles: int) -> float:
    """Seconds of `titles` samples after every prompt, each after a reading of its own."""
    started_s = time.perf_counter()
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([list(prompt)], device=model.device)
            for _ in range(titles):
                model.generate(
                    ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=True,
                    temperature=TEMPERATURE,
                    top_k=0,
                    repetition_penalty=REPETITION_PENALTY,
                    max_new_tokens=TITLE_TOKENS,
                    eos_token_id=_END,
                    pad_token_id=_PAD,
                ).tolist()  # waits for the device
    return time.perf_counter() - started_s
