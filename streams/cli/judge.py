"""`seren judge` and `seren combine`: JSON Lines in, as many JSON Lines out, in any domain.

Exit codes: 0 all lines were judged, 1 some could not be (each is named on standard error), 2 an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import config_option, settings_of

if TYPE_CHECKING:
    from models.judging.home import Adviser
    from models.judging.policy import JudgePolicy
    from streams.config import SerenGPTSettings
    from streams.verdicts.lines import Line
    from streams.verdicts.wire import Answer

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("judge")
@click.option("--model", type=_FOLDER, help="A SerenGPT checkpoint; the configured one, or else the shipped one.")
@click.option("--without-model", is_flag=True, help="Judge by the history alone.")
@click.option("--rating-max", type=click.FloatRange(min=0, min_open=True), help="Top of the rating scale; else guessed.")
@click.option("--seed", type=int, default=0, show_default=True, help="The judge draws nothing: every seed gives the same.")
@config_option
def judge(*, model: Path | None, without_model: bool, rating_max: float | None, seed: int, config: Path | None) -> None:
    """Judge how serendipitous an item would be to a person: lines in, scores out.

    A line in: {"id", "user": {"static"?, "history": [{"title", "category"?, "rating"?, "ts_ms"?}], "queries"?}, "item":
    {"title", "category"?}}. A line out: {"id", "serendipity", "relevance", "unexpectedness", "reason"}, or {"id", "error"}. A
    category may name several labels (Action|Comedy) or a path (Food > Dairy). What is asked on one line is answered before
    more is waited for.
    """
    from models.judging.meaning import Meaning
    from models.pretrained import words_folder
    from streams.verdicts.wire import JudgedLines

    settings = settings_of(config)
    policy = settings.judge
    if rating_max is not None:
        tastes = replace(policy.portrait.tastes, rating_max=rating_max)
        policy = replace(policy, portrait=replace(policy.portrait, tastes=tastes))
    meaning = Meaning.load(words_folder())
    if without_model:
        _answer_all(JudgedLines(None, policy, meaning).answers)
    else:
        with _adviser(model, settings.serengpt, policy) as adviser:
            _answer_all(JudgedLines(adviser, policy, meaning).answers)


@click.command("combine")
@config_option
def combine(*, config: Path | None) -> None:
    """Make serendipity of its parts: lines in, scores out.

    A line in: {"id"?, "relevance"?, "unexpectedness"?, "novelty"?, "timeliness"?}, each part in 0..1; one that is missing or
    null counts as 0.5, neither for nor against. A line out: {"id"?, "serendipity"}, or {"id", "error"}. The formula is the
    one that ranks slates, with the weights of `judge.combine` in the configuration.
    """
    from streams.verdicts.wire import combined

    policy = settings_of(config).judge.combine
    _answer_all(lambda lines: combined(lines, policy))


@contextmanager
def _adviser(model: Path | None, serengpt: SerenGPTSettings, policy: JudgePolicy) -> Iterator[Adviser]:
    from models.judging.home import Adviser
    from models.serengpt.checkpoint import TOKENIZER
    from models.serengpt.tokens import TitleTokenizer
    from streams.engines.named import checkpoint_folder, load_engine

    folder = model or checkpoint_folder(serengpt.model, key_file=serengpt.key_file)
    with closing(load_engine(serengpt.engine, str(folder), threads=serengpt.threads)) as engine:
        tokenizer = TitleTokenizer.load(folder / TOKENIZER)
        yield Adviser(engine, tokenizer, policy=policy.home, tastes=policy.portrait.tastes)


def _answer_all(answers: Callable[[Sequence[Line]], list[Answer]]) -> None:
    from streams.cli.tables import plain
    from streams.verdicts.lines import line_batches
    from streams.verdicts.wire import LINE_BYTES

    source, sink = click.get_binary_stream("stdin"), click.get_binary_stream("stdout")
    is_any_refused = False
    for lines in line_batches(source, max_bytes=LINE_BYTES):  # type: ignore[arg-type]
        found = answers(lines)
        sink.write(b"".join(answer.content + b"\n" for answer in found))
        sink.flush()
        for answer in found:
            if answer.error is not None:
                is_any_refused = True
                click.echo(f"seren: {plain(answer.error)}", err=True)
    if is_any_refused:
        sys.exit(1)
