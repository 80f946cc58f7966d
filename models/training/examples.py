"""From samples to rows of token ids: what the tokenizer learns from, and what the network learns from.

Knows nothing about networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from models.entities import Item
from models.serengpt.prompt import prompt_ids, title_ids
from models.serengpt.tokens import TitleTokenizer
from models.training.samples import Sample


class Example(NamedTuple):
    """One visit day: prompt ids without the answer cue, the ids of the titles that may be asked for, and when it was."""

    prompt: tuple[int, ...]
    titles: tuple[tuple[int, ...], ...]
    as_of_ms: int


Task = Literal["title", "query"]


def corpus(samples: Iterable[Sample], item: Callable[[str], Item | None]) -> Iterator[str]:
    """Every text that prompts and answers of these samples are made of, items in order of id; the tokenizer's corpus."""
    wanted: set[str] = set()
    for sample in samples:
        wanted.update(sample.serendipitous, sample.others)
        yield from sample.digest.static
        yield from sample.searches
    for item_id in sorted(wanted):
        found = item(item_id)
        if found is not None:
            yield from (found.title, found.leaf, *(tag.partition(":")[2] or tag for tag in found.tags))
            if found.brand:
                yield found.brand


def examples(
    samples: Iterable[Sample],
    item: Callable[[str], Item | None],
    tokenizer: TitleTokenizer,
    *,
    serendipitous_only: bool,
    task: Task = "title",
) -> list[Example]:
    """Rows of the samples that have something to ask for.

    Args:
        samples: of one part of the log.
        item: looks an item up by id; items that it does not know are left out.
        tokenizer: of the checkpoint.
        serendipitous_only: ask for Definition-1 items only, or for queries that led to one; otherwise for all of the day.
        task: what is asked for: titles of items, or search queries (papers.md 1.5.7).
    """
    rows = []
    for sample in samples:
        texts = _queries(sample, serendipitous_only) if task == "query" else _titles(sample, item, serendipitous_only)
        kept = tuple(ids for text in texts if (ids := title_ids(text, tokenizer)))
        if kept:
            rows.append(Example(tuple(prompt_ids(sample.digest, tokenizer)[:-1]), kept, sample.as_of_ms))
    return rows


def _titles(sample: Sample, item: Callable[[str], Item | None], serendipitous_only: bool) -> list[str]:
    wanted = sample.serendipitous if serendipitous_only else (*sample.serendipitous, *sample.others)
    return [found.title for item_id in wanted if (found := item(item_id)) is not None]


def _queries(sample: Sample, serendipitous_only: bool) -> Sequence[str]:
    return sample.led if serendipitous_only else sample.searches


def documents(rows: Sequence[Example]) -> Iterator[frozenset[int]]:
    """The tokens that stood together on each visit day, in the prompt or among the titles."""
    for row in rows:
        yield frozenset(row.prompt).union(*row.titles)
