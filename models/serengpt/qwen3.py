"""The network of a Qwen3 in torch, in two steps: a prompt is read once, and what may follow it is read after it.

`read` gives a prompt's keys and values; `extend` reads many continuations of each prompt against them. The prompt's keys are
never repeated per continuation: the queries of all continuations of a prompt meet them in one matrix product, so a decoding
step of thirty samples reads the prompt's cache once.

Shapes: U prompts, P their longest length, n continuations of each, L their length, H query heads, K key-value heads, D the
size of a head. Prompts are padded on the right, which a causal mask hides from all that counts.

Knows nothing about tokens, titles or requests. Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from models.errors import CheckpointError
from models.serengpt.shape import NetworkShape

_LOGITS_BYTES = 128 * 2**20  # of float32 logits at a time: a vocabulary of 152 thousand times 220 rows

Weight = Callable[[str, tuple[int, ...]], Tensor]  # the weight of a name and size, on its device in its precision
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer, queries, keys, values (all [.., heads, D]) to [.., H, D]


class Prefix(NamedTuple):
    """Prompts that were read: `keys` and `values` by layer [U, K, P, D]; `lengths` [U]; `last` tokens as read [U, hidden]."""

    keys: list[Tensor]
    values: list[Tensor]
    lengths: Tensor
    last: Tensor


class Tail:
    """Keys and values of continuations that grow token by token: room for `size` tokens, by layer [U, n, size, K, D]."""

    def __init__(self, keys: list[Tensor], values: list[Tensor]) -> None:
        self._keys = keys
        self._values = values
        self.length = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer with the new ones at their end; the length moves when the walk is over."""
        end = self.length + keys.shape[2]
        self._keys[layer][:, :, self.length : end] = keys
        self._values[layer][:, :, self.length : end] = values
        return self._keys[layer][:, :, :end], self._values[layer][:, :, :end]


class _Layer(NamedTuple):
    before_attention: Tensor
    queries_keys_values: Tensor
    of_queries: Tensor
    of_keys: Tensor
    out: Tensor
    before_feed: Tensor
    gate_up: Tensor
    down: Tensor


class Network:
    """A Qwen3 with its weights.

    Args:
        shape: its sizes.
        weight: gives each weight by its name in a transformers checkpoint.
    """

    def __init__(self, shape: NetworkShape, weight: Weight) -> None:
        self.shape = shape
        self._embedding = weight("model.embed_tokens.weight", (shape.vocabulary, shape.hidden))
        self._layers = [_layer(shape, weight, f"model.layers.{number}.") for number in range(shape.layers)]
        self._norm = weight("model.norm.weight", (shape.hidden,))
        self._head = self._embedding if shape.is_tied else weight("lm_head.weight", (shape.vocabulary, shape.hidden))
        self.device, self.precision = self._embedding.device, self._embedding.dtype

    def read(self, prompts: Sequence[Sequence[int]]) -> Prefix:
        """Reads prompts side by side; none may be empty."""
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        ids = torch.zeros((len(prompts), int(lengths.max())), dtype=torch.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = torch.tensor(prompt)
        keys: list[Tensor] = []
        values: list[Tensor] = []

        def attend(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys.append(k.transpose(1, 2).contiguous())
            values.append(v.transpose(1, 2).contiguous())
            return _causal(q.transpose(1, 2), keys[-1], values[-1]).transpose(1, 2)

        positions = torch.arange(ids.shape[1], device=self.device)[None]
        hidden = self._walk(ids.to(self.device), positions, attend)
        lengths = lengths.to(self.device)
        return Prefix(keys, values, lengths, hidden[torch.arange(len(prompts), device=self.device), lengths - 1])

    def tail(self, prompts: int, continuations: int, size: int) -> Tail:
        """An empty tail."""
        shape = (prompts, continuations, size, self.shape.key_value_heads, self.shape.head_size)
        keys, values = (
            [torch.empty(shape, device=self.device, dtype=self.precision) for _ in range(self.shape.layers)] for _ in range(2)
        )
        return Tail(keys, values)

    def extend(self, ids: Tensor, prefix: Prefix, tail: Tail | None = None) -> Tensor:
        """Reads continuations [U, n, L] after their prompts and, where there is one, after the tail, which grows by them.

        Returns:
            What the network makes of each token, [U, n, L, hidden].
        """
        past, length = tail.length if tail else 0, ids.shape[2]
        order = torch.arange(past + length, device=self.device)
        own = order[None] > order[past:, None]  # [L, past + L]: what comes later
        padding = torch.arange(prefix.keys[0].shape[2], device=self.device)[None] >= prefix.lengths[:, None]
        hidden_from = torch.cat(
            [padding[:, None].expand(-1, length, -1), own[None].expand(len(padding), -1, -1)], dim=-1
        )  # [U, L, P + past + L]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if tail:
                k, v = tail.append(layer, k, v)
            return _branching(q, (prefix.keys[layer], prefix.values[layer]), (k, v), hidden_from)

        positions = (prefix.lengths[:, None] + order[past:])[:, None]
        hidden = self._walk(ids, positions, attend)
        if tail:
            tail.length += length
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits in single precision, of a few rows: see `in_pieces`."""
        return functional.linear(hidden, self._head).float()

    def in_pieces(self, rows: int) -> list[slice]:
        """Cuts rows so that the logits of a piece fit the bound."""
        size = max(1, _LOGITS_BYTES // (4 * self.shape.vocabulary))
        return [slice(start, start + size) for start in range(0, rows, size)]

    def log_probabilities(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Natural log-probabilities of `targets` [rows] after `hidden` [rows, hidden], in double precision."""
        found = torch.empty(len(targets), dtype=torch.float64, device=self.device)
        for piece in self.in_pieces(len(targets)):
            logits = self.logits(hidden[piece])
            chosen = logits.gather(1, targets[piece][:, None]).squeeze(1)
            found[piece] = chosen.double() - logits.logsumexp(1).double()
        return found

    def _walk(self, ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        shape = self.shape
        heads = (shape.heads, shape.key_value_heads, shape.key_value_heads)
        hidden = functional.embedding(ids, self._embedding)
        turn = self._rotation(positions)
        for number, layer in enumerate(self._layers):
            mixed = functional.linear(self._normed(hidden, layer.before_attention), layer.queries_keys_values)
            q, k, v = mixed.unflatten(-1, (sum(heads), shape.head_size)).split(heads, dim=-2)
            q, k = _turned(self._normed(q, layer.of_queries), turn), _turned(self._normed(k, layer.of_keys), turn)
            hidden = hidden + functional.linear(attend(number, q, k, v).flatten(-2), layer.out)
            gate, up = functional.linear(self._normed(hidden, layer.before_feed), layer.gate_up).chunk(2, dim=-1)
            hidden = hidden + functional.linear(functional.silu(gate) * up, layer.down)
        return self._normed(hidden, self._norm)

    def _normed(self, values: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(values, weight.shape, weight, self.shape.norm_epsilon)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the positions, [.., 1, D]."""
        even = torch.arange(0, self.shape.head_size, 2, device=self.device, dtype=torch.float32)
        angles = positions[..., None].float() * self.shape.rope_base ** (-even / self.shape.head_size)
        angles = torch.cat([angles, angles], dim=-1)[..., None, :]
        return angles.cos().to(self.precision), angles.sin().to(self.precision)


def _turned(values: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cosines, sines = turn
    first, second = values.chunk(2, dim=-1)
    return values * cosines + torch.cat([-second, first], dim=-1) * sines


def _causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention within prompts: q [U, H, P, D], k and v [U, K, P, D]."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def _branching(q: Tensor, prefix: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor], hidden_from: Tensor) -> Tensor:
    """Attention of continuations to their prompt, which all of a user share, and each to itself.

    Args:
        q: [U, n, L, H, D].
        prefix: keys and values [U, K, P, D].
        own: keys and values [U, n, T, K, D]; the last L of the T are those of the queries.
        hidden_from: [U, L, P + T], true where a query may not look.
    """
    users, count, length, heads, size = q.shape
    shared, k = prefix[0].shape[1], own[0].permute(0, 3, 1, 4, 2)  # k: [U, K, n, D, T]
    q = q.unflatten(3, (shared, heads // shared)).permute(0, 3, 1, 4, 2, 5) * size**-0.5  # [U, K, n, group, L, D]
    to_prefix = (q.flatten(2, 4) @ prefix[0].transpose(2, 3)).unflatten(2, q.shape[2:5])
    to_own = (q.flatten(3, 4) @ k).unflatten(3, q.shape[3:5])
    scores = torch.cat([to_prefix, to_own], dim=-1).float()
    scores.masked_fill_(hidden_from[:, None, None, None], -torch.inf)
    shares = scores.softmax(dim=-1).to(q.dtype)
    width = to_prefix.shape[-1]
    of_prefix = (shares[..., :width].flatten(2, 4) @ prefix[1]).unflatten(2, q.shape[2:5])
    of_own = (shares[..., width:].flatten(3, 4) @ own[1].permute(0, 3, 1, 2, 4)).unflatten(3, q.shape[3:5])
    return (of_prefix + of_own).permute(0, 2, 4, 1, 3, 5).reshape(users, count, length, heads, size)


def _layer(shape: NetworkShape, weight: Weight, name: str) -> _Layer:
    queries, shared = shape.heads * shape.head_size, shape.key_value_heads * shape.head_size
    attention, feed = f"{name}self_attn.", f"{name}mlp."
    hidden, wide = shape.hidden, shape.feed_forward
    return _Layer(
        before_attention=weight(f"{name}input_layernorm.weight", (hidden,)),
        queries_keys_values=torch.cat(
            [
                weight(f"{attention}q_proj.weight", (queries, hidden)),
                weight(f"{attention}k_proj.weight", (shared, hidden)),
                weight(f"{attention}v_proj.weight", (shared, hidden)),
            ]
        ),
        of_queries=weight(f"{attention}q_norm.weight", (shape.head_size,)),
        of_keys=weight(f"{attention}k_norm.weight", (shape.head_size,)),
        out=weight(f"{attention}o_proj.weight", (hidden, queries)),
        before_feed=weight(f"{name}post_attention_layernorm.weight", (hidden,)),
        gate_up=torch.cat([weight(f"{feed}{part}_proj.weight", (wide, hidden)) for part in ("gate", "up")]),
        down=weight(f"{feed}down_proj.weight", (hidden, wide)),
    )


def stored_network(shape: NetworkShape, files: Sequence[Path], *, device: Any, precision: Any) -> Network:
    """The network whose weights are in safetensors files, one weight at a time on its way to the device.

    Raises:
        CheckpointError: a file cannot be read, or a weight is missing or of another size.
    """
    try:
        opened = [safe_open(str(file), framework="pt") for file in files]
    except (OSError, SafetensorError) as error:
        message = f"checkpoint: cannot read {', '.join(file.name for file in files)}: {error}"
        raise CheckpointError(message) from error
    places = {name: stored for stored in opened for name in stored.keys()}

    def weight(name: str, size: tuple[int, ...]) -> Tensor:
        if name not in places:
            message = f"checkpoint: no weight {name} in {', '.join(file.name for file in files)}"
            raise CheckpointError(message)
        found = places[name].get_tensor(name)
        if tuple(found.shape) != size:
            message = f"checkpoint: weight {name} has size {tuple(found.shape)}, config.json asks for {size}"
            raise CheckpointError(message)
        return found.to(device=device, dtype=precision)

    return Network(shape, weight)
