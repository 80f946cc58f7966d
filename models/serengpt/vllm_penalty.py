"""The repetition penalty of titles inside vLLM: on the tokens that the title already has.

vLLM's own penalty counts the prompt's tokens, too: a title would shun the words of what its user bought, which the other
engines do not make it do. vLLM loads this class by its name, in the process that samples.

Knows nothing about prompts. Needs vllm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

ARGUMENT = "title_penalty"  # in a request's `extra_args`; requests without it are left alone
NAME = f"{__name__}:TitlePenalty"


class Writing(NamedTuple):
    """A title on its way; vLLM adds to `ids` what it writes."""

    penalty: float
    ids: list[int]


class TitlePenalty(LogitsProcessor):  # type: ignore[misc]  # vllm is not where the checks run
    """See `vllm.v1.sample.logits_processor.LogitsProcessor`."""

    def __init__(self, _config: Any, device: torch.device, _is_pin_memory: bool) -> None:
        self._device = device
        self._rows: dict[int, Writing] = {}

    def is_argmax_invariant(self) -> bool:
        """False: a penalty may change which token is the likeliest."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follows the requests to the rows that they have in the next step."""
        process_dict_updates(self._rows, batch_update, _writing)

    def apply(self, logits: Tensor) -> Tensor:
        """The logits of the next tokens, changed in place."""
        return penalised(logits, self._rows)


def penalised(logits: Tensor, rows: dict[int, Writing]) -> Tensor:
    """Makes the tokens that a row's title has less likely, each once, however often it has them; in place."""
    begun = {row: writing for row, writing in rows.items() if writing.ids}
    if not begun:
        return logits
    longest = max(len(writing.ids) for writing in begun.values())
    # Rows are filled up with a token that they have: it is set to the same value again.
    seen = torch.tensor([[*writing.ids, *writing.ids[:1] * (longest - len(writing.ids))] for writing in begun.values()])
    penalty = torch.tensor([[writing.penalty] for writing in begun.values()], dtype=logits.dtype)
    places, seen = torch.tensor(list(begun))[:, None].to(logits.device), seen.to(logits.device)
    penalty = penalty.to(logits.device)
    known = logits[places, seen]
    logits[places, seen] = torch.where(known > 0, known / penalty, known * penalty)
    return logits


def _writing(params: Any, _prompt: list[int] | None, written: list[int]) -> Writing | None:
    penalty = (params.extra_args or {}).get(ARGUMENT)
    return None if penalty is None else Writing(penalty, written)
