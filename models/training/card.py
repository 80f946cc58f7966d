"""The model card: what a checkpoint was made from, how, and how well it does. Pure text; knows nothing about training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from models.serengpt.prompt import PROMPT_TOKENS, PROMPT_VERSION
from models.training.split import TimeSplit

# What a card's table shows, of all that a ranking measures.
_SHOWN = ("HR@1", "HR@5", "HR@10", "NDCG@10", "MAP@10")


class Made(Struct, frozen=True, kw_only=True):
    """What came out: sizes, and each phase with its settings and results in the order of its columns."""

    name: str
    parameters: int
    vocabulary: int
    phases: tuple[Mapping[str, Any], ...]
    sha256: Mapping[str, str]


class Origin(Struct, frozen=True, kw_only=True):
    """What went in, and how the run was started. `counts`: visit days and items by part."""

    data: str
    licence: str
    source: str
    split: TimeSplit
    counts: Mapping[str, int]
    seed: int
    command: str
    hardware: str
    seconds: float


class Ranked(Struct, frozen=True, kw_only=True):
    """One ranker's means on the validation part."""

    name: str
    metrics: Mapping[str, float]


def model_card(made: Made, origin: Origin, ranked: Sequence[Ranked], *, cases: int) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        made: the checkpoint.
        origin: data, split, seed, command and machine.
        ranked: rankers on the validation part; empty leaves the table out.
        cases: how many questions each of them answered.
    """
    parts = (_head(made, origin), _data(origin), _training(made, origin), _ranking(ranked, cases), _files(made), _LIMITS)
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(made: Made, origin: Origin) -> str:
    return f"""---
license: cc0-1.0
library_name: transformers
pipeline_tag: text-generation
---

# {made.name}

A Qwen3-architecture causal language model of {made.parameters:,} parameters with its own BPE tokenizer of {made.vocabulary:,}
tokens, trained from nothing on {origin.data}. Given a cognition profile (static facts, long-term and short-term tags,
recent history), it writes the title of the next item that the user will want from a category that is new to them, and says
how likely a given title is.

Prompt version {PROMPT_VERSION}, at most {PROMPT_TOKENS} tokens. Sampling: temperature 0.95, repetition penalty 1.05, 30
samples."""


def _data(origin: Origin) -> str:
    ends = [datetime.fromtimestamp(end / 1000, UTC).strftime("%Y-%m-%d") for end in origin.split]
    counts = _table(("part", "count"), ((name, f"{count:,}") for name, count in origin.counts.items()))
    return f"""## Data

{origin.data}, {origin.licence}: {origin.source}. Split by time: train before {ends[0]}, validation before {ends[1]}, test
from then on. Tokenizer, starting vectors and weights saw the train part alone; the validation part ended the phases; the test
part was not used.

{counts}"""


def _training(made: Made, origin: Origin) -> str:
    columns = tuple(made.phases[0]) if made.phases else ()
    phases = _table(columns, (tuple(str(phase[column]) for column in columns) for phase in made.phases))
    return f"""## Training

Seed {origin.seed}, {origin.seconds / 60:.0f} minutes on {origin.hardware}:

    {origin.command}

{phases}

Validation loss: nats per token of the serendipitous titles of the validation part, for the weights that the phase handed
on."""


def _ranking(ranked: Sequence[Ranked], cases: int) -> str:
    if not ranked:
        return ""
    metrics = tuple(metric for metric in _SHOWN if metric in ranked[0].metrics)
    rows = ((one.name, *(f"{one.metrics[metric]:.3f}" for metric in metrics)) for one in ranked)
    return f"""## Validation

Items that became serendipitous, each among 99 of categories that were new to the user, {cases:,} cases of the validation
part, ranked by the int8 conversion:

{_table(("ranker", *metrics), rows)}"""


def _files(made: Made) -> str:
    return "## Files\n\n" + _table(("file", "SHA-256"), ((file, f"`{digest}`") for file, digest in made.sha256.items()))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


_LIMITS = """## Limits

It knows one shop's names of one year. Sampled titles may be of items that nobody sells; they are meant to be looked up in a
catalogue, never to be shown. It was not aligned with people's judgement of surprise: Definition 1 stands in for that."""
