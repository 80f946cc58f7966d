"""Constrained decoding in torch: the logits of what may follow the beginnings of titles, of many prompts side by side.

Knows nothing about requests or tokenizers. Needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from models.serengpt.constrained import Beginning, Logits
from models.serengpt.qwen3 import Network, Prefix


def continued(
    network: Network, prefix: Prefix, wanted: Sequence[Sequence[Beginning]], *, side_by_side: int
) -> list[list[Logits]]:
    """The logits of what may follow each beginning, after its prompt.

    Args:
        network: on its device.
        prefix: prompts that were read.
        wanted: the beginnings of each prompt's titles.
        side_by_side: most of one prompt that are read at once.
    """
    found: list[list[Logits]] = [[] for _ in wanted]
    for start in range(0, max(map(len, wanted)), side_by_side):
        rows = [beginnings[start : start + side_by_side] for beginnings in wanted]
        hidden = _ends(network, prefix, rows)
        flat = [(place, one) for place, beginnings in enumerate(rows) for one in beginnings]
        for (place, _), logits in zip(flat, _chosen(network, hidden, [one.ids for _, one in flat]), strict=True):
            found[place].append(logits)
    return found


def _ends(network: Network, prefix: Prefix, rows: Sequence[Sequence[Beginning]]) -> Tensor:
    """What the network makes of the last token of each beginning, or of the prompt where it is empty: [beginnings, hidden]."""
    users = torch.tensor([place for place, beginnings in enumerate(rows) for _ in beginnings], device=network.device)
    lengths = [len(one.path) for beginnings in rows for one in beginnings]
    if not any(lengths):
        return prefix.last[users]
    ids = torch.zeros((len(rows), max(map(len, rows)), max(lengths)), dtype=torch.int64)
    for place, beginnings in enumerate(rows):
        for number, one in enumerate(beginnings):
            ids[place, number, : len(one.path)] = torch.tensor(one.path)
    after = network.extend(ids.to(network.device), prefix)
    before = prefix.last[:, None, None].expand(-1, after.shape[1], 1, -1)
    numbers = torch.tensor([number for beginnings in rows for number in range(len(beginnings))], device=network.device)
    return torch.cat([before, after], dim=2)[users, numbers, torch.tensor(lengths, device=network.device)]


def _chosen(network: Network, hidden: Tensor, ids: Sequence[np.ndarray]) -> Iterator[Logits]:
    """The logits of some ids of each row; only they leave the device."""
    for piece in network.in_pieces(len(ids)):
        wanted = [torch.from_numpy(row) for row in ids[piece]]
        padded = torch.nn.utils.rnn.pad_sequence(wanted, batch_first=True).to(network.device)
        found = network.logits(hidden[piece]).gather(1, padded).double().cpu().numpy()
        for row, logits in zip(wanted, found, strict=True):
            yield logits[: len(row)]
