"""The shape of SerenGPT's network, from a checkpoint's `config.json` or by the name of a published one.

Knows nothing about weights or runtimes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from models.errors import CheckpointError, brief

ARCHITECTURE = "Qwen3ForCausalLM"


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """A Qwen3: rotary positions, grouped keys and values with a norm of their own, SwiGLU, RMS norms, no biases."""

    vocabulary: int
    hidden: int
    layers: int
    feed_forward: int
    heads: int
    key_value_heads: int
    head_size: int
    positions: int  # longest prompt with its title, in tokens
    rope_base: float
    norm_epsilon: float = 1e-6
    is_tied: bool  # the head is the embedding

    @property
    def layer_weights(self) -> int:
        """Weights in the matrices of all layers: what every token is multiplied with.

        Example:
            >>> SHAPES["qwen3-8b"].layer_weights
            6945767424
        """
        attention = self.hidden * self.head_size * 2 * (self.heads + self.key_value_heads)
        return self.layers * (attention + 3 * self.hidden * self.feed_forward)

    @property
    def cached_values(self) -> int:
        """Numbers that the key-value cache keeps of one token.

        Example:
            >>> SHAPES["qwen3-8b"].cached_values
            73728
        """
        return 2 * self.layers * self.key_value_heads * self.head_size


# Published shapes, for benchmarks with random weights.
SHAPES: dict[str, NetworkShape] = {
    "qwen3-0.6b": NetworkShape(
        vocabulary=151_936,
        hidden=1024,
        layers=28,
        feed_forward=3072,
        heads=16,
        key_value_heads=8,
        head_size=128,
        positions=40_960,
        rope_base=1e6,
        is_tied=True,
    ),
    "qwen3-8b": NetworkShape(
        vocabulary=151_936,
        hidden=4096,
        layers=36,
        feed_forward=12_288,
        heads=32,
        key_value_heads=8,
        head_size=128,
        positions=40_960,
        rope_base=1e6,
        is_tied=False,
    ),
}


class _Config(Struct, frozen=True, kw_only=True):
    """What is read of a `config.json`; the base of the rotary positions has had two places."""

    architectures: list[str]
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    tie_word_embeddings: bool
    rope_theta: float | None = None
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    hidden_act: str = "silu"
    attention_bias: bool = False
    use_sliding_window: bool = False


def read_shape(config_json: bytes) -> NetworkShape:
    """The shape that a `config.json` describes.

    Raises:
        CheckpointError: it is no such file, of another architecture, or uses what the engines do not compute.
    """
    try:
        named = msgspec.json.decode(config_json, type=dict[str, Any]).get("architectures")
        if named != [ARCHITECTURE]:
            message = f"config.json: architectures {brief(str(named))}, must be [{ARCHITECTURE!r}]"
            raise CheckpointError(message)
        config = msgspec.json.decode(config_json, type=_Config)
    except msgspec.MsgspecError as error:
        message = f"config.json: {brief(str(error))}"
        raise CheckpointError(message) from error
    rope = config.rope_parameters or {}
    _refuse("hidden_act", config.hidden_act, "silu")
    _refuse("attention_bias", config.attention_bias, False)
    _refuse("use_sliding_window", config.use_sliding_window, False)
    _refuse("rope_scaling", config.rope_scaling, None)
    _refuse("rope_parameters.rope_type", rope.get("rope_type", "default"), "default")
    base = rope.get("rope_theta", config.rope_theta)
    if not isinstance(base, int | float) or base <= 1:
        message = f"config.json: rope_theta {base}, must be a number above 1"
        raise CheckpointError(message)
    return NetworkShape(
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        feed_forward=config.intermediate_size,
        heads=config.num_attention_heads,
        key_value_heads=config.num_key_value_heads,
        head_size=config.head_dim,
        positions=config.max_position_embeddings,
        rope_base=float(base),
        norm_epsilon=config.rms_norm_eps,
        is_tied=config.tie_word_embeddings,
    )


def _refuse(name: str, value: object, needed: object) -> None:
    if value != needed:
        message = f"config.json: {name} {brief(repr(value))}, must be {needed!r}"
        raise CheckpointError(message)
