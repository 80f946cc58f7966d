"""The card of an aligned checkpoint: from which one, on what, by which loss. Pure text; knows nothing about training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from models.serengpt.prompt import PROMPT_TOKENS, PROMPT_VERSION


class AlignmentRecord(Struct, frozen=True, kw_only=True):
    """How a checkpoint was aligned, as `alignment.json` beside it says."""

    name: str
    task: str
    method: str
    reference: str  # model_id of the supervised fine-tuned checkpoint
    data: str
    data_sha256: str
    rows: int
    without_profile: bool
    policy: Mapping[str, Any]
    seed: int
    first_loss: float
    last_loss: float
    parameters_trained: int
    seconds: float
    command: str


def align_card(record: AlignmentRecord, sha256: Mapping[str, str]) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        record: of the run.
        sha256: of the checkpoint's files.
    """
    settings = "\n".join(f"| {name} | {value} |" for name, value in {**record.policy, "seed": record.seed}.items())
    files = "\n".join(f"| {name} | `{digest}` |" for name, digest in sha256.items())
    return f"""---
license: cc0-1.0
library_name: transformers
pipeline_tag: text-generation
---

# {record.name}

SerenGPT, {record.method.upper()} from `{record.reference}`: the same network and tokenizer, another set of weights. Given a
cognition profile it writes {_WRITES[record.task]}. Prompt version {PROMPT_VERSION}, at most {PROMPT_TOKENS} tokens.

## Data

{record.rows:,} rows of `{record.data}` (SHA-256 `{record.data_sha256}`){_BLIND if record.without_profile else ""}.

## Loss

{_LOSS[record.method]}

The reference is the checkpoint that it began as, its log-probabilities computed once before the first step. LoRA on all linear
layers ({record.parameters_trained:,} parameters), merged into the weights here; `adapter/` holds it apart, so that the
reference is these weights less the adapter. The prior of a score stays the prompt of nobody, asked of these weights.

| setting | value |
| --- | --- |
{settings}

Mean loss of the first tenth of the steps {record.first_loss:.4f}, of the last {record.last_loss:.4f}; {record.seconds:.0f} s.

    {record.command}

## Files

| file | SHA-256 |
| --- | --- |
{files}
"""


_WRITES = {
    "title": "the title of the next item that the user will want from a category that is new to them",
    "query": "the search query with which the user will next find something of a new category",
}
_BLIND = ", their digests with the recent history alone"
_SFT_PART = "Plus `sft_weight` times the cross-entropy of the chosen titles, a token on average."
_LOSS = {
    "ipo": f"""IPO, **per token**: (h - 1 / (2 tau))², h the mean gain per token of the chosen title over the
reference, less that of the rejected one. {_SFT_PART}""",
    "dpo": f"""DPO, **per title**: -log sigmoid(tau h), h the gain of the chosen title over the reference, summed over
its tokens, less that of the rejected one. {_SFT_PART}""",
    "kto": "KTO, **per title**, beta = tau: each judged title alone, wanted or not, against the drift of mismatched ones.",
    "sft": "Cross-entropy of the wanted titles.",
}
