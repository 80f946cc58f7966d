"""`seren train pairs`: which of the titles that a model wrote is the better one, for preference training. Needs `train`.

Exit codes: 0 done, 1 some prompts could not be judged (they give no pair), 2 an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.extras import need_train
from streams.cli.options import config_option, json_option, settings_of
from streams.cli.outcome import end
from streams.cli.progress import progress
from streams.cli.train_verdicts import QUESTIONS, alone_option, chosen_judge, judge_option

if TYPE_CHECKING:
    from models.alignment.decisions import Decision, Question
    from models.alignment.prompts import Prompt
    from models.alignment.records import PreferencePair
    from streams.alignment.pairs import Made
    from streams.config import Settings

_FOLDER = click.Path(file_okay=False, path_type=Path)
_IN_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("pairs")
@click.option("--data", type=_IN_FOLDER, required=True, help="Samples; the prompts are the visit days of its IPO half.")
@click.option("--log", help="A log folder or a shipped log, for its catalogue; the shipped one if left out.")
@click.option("--titles", type=_FILE, help='Titles by prompt, as JSON Lines: {"user_id","ts_ms","titles":[...]}.')
@click.option("--sampler", type=_IN_FOLDER, help="Else the SFT checkpoint that writes them; the configured one if left out.")
@click.option("--judge-model", "model", type=_FOLDER, help="Local: the SerenGPT that advises the judge; else the configured.")
@click.option("--limit", type=click.IntRange(min=1), help="Prompts, drawn evenly; all if left out.")
@click.option("--no-cdi", is_flag=True, help="The ablation: what was wanted against what the model wrote, no judge.")
@click.option("--decisions", "files", type=_FILE, multiple=True, help="Of `seren label`: people's word on close pairs.")
@click.option("--questions", "asked_before", type=_FILE, help="With --decisions: the questions that they answer.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for pairs.parquet, titles.jsonl and questions.jsonl.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of prompts and titles.")
@judge_option
@alone_option
@config_option
@json_option
def pairs(
    *,
    data: Path,
    log: str | None,
    titles: Path | None,
    sampler: Path | None,
    model: Path | None,
    limit: int | None,
    no_cdi: bool,
    files: tuple[Path, ...],
    asked_before: Path | None,
    out: Path,
    seed: int,
    judge_name: str,
    without_model: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Make pairs: titles of one prompt, scored 1 to 6; clear differences are pairs, close ones are questions to people."""
    if bool(files) != bool(asked_before):
        message = "--decisions and --questions belong together: the answers, and what was asked"
        raise click.UsageError(message)
    need_train("seren train pairs", "pyarrow")
    from models.alignment.prompts import prompts_of
    from streams.alignment.files import PAIRS, SAMPLES, read_samples, write_pairs
    from streams.alignment.labelling.decisions import write_questions

    settings = settings_of(config)
    prompts = prompts_of(read_samples(data / SAMPLES), limit=limit, seed=seed)
    written = _titles(prompts, titles, sampler, settings, out, seed=seed)
    if no_cdi:
        made = _unjudged(prompts, written, settings)
    else:
        with chosen_judge(judge_name, settings, model=model, is_alone=without_model) as judge:
            made = _judged(prompts, written, judge, settings, log)
    people = _of_people(files, asked_before)
    write_pairs(out / PAIRS, [*made.pairs, *people])
    write_questions(out / QUESTIONS, made.questions)
    outcome, following = _outcome(made, people, len(prompts), out), f"Next: seren label {out}/{QUESTIONS}"
    end("pairs", outcome, made.failed, what="prompts", caption=following, as_json=as_json)


def _titles(
    prompts: list[Prompt], file: Path | None, sampler: Path | None, settings: Settings, out: Path, *, seed: int
) -> dict[tuple[str, int], tuple[str, ...]]:
    from streams.alignment.pairs import read_titles, sampled, write_titles

    if file is not None:
        return read_titles(file)
    from streams.engines.named import load_engine

    serengpt = settings.serengpt
    engine = load_engine(serengpt.engine, str(sampler) if sampler else serengpt.model, threads=serengpt.threads)
    try:
        count = settings.alignment.pairing.titles_per_prompt
        batches = sampled(prompts, engine, count=count, seed=seed)
        found = dict(_watched(batches, len(prompts), "Writing titles"))
    finally:
        engine.close()
    write_titles(out / "titles.jsonl", found)
    return found


def _judged(
    prompts: list[Prompt], written: dict[tuple[str, int], tuple[str, ...]], judge: Any, settings: Settings, log: str | None
) -> Made:
    from models.alignment.grounding import Grounding
    from streams.alignment.pairs import Made, judged
    from streams.cli.train_data import log_of
    from streams.offline import Refusals, read_items

    grounding = Grounding(read_items(log_of(log or "online-retail"), Refusals()))
    made = Made()
    batches = judged(prompts, written, judge, grounding, settings.alignment.pairing)
    for _, part in _watched(batches, len(prompts), "Judging titles"):
        made.add(part)
    return made


def _unjudged(prompts: list[Prompt], written: dict[tuple[str, int], tuple[str, ...]], settings: Settings) -> Made:
    from streams.alignment.pairs import Made, unjudged_pairs

    return Made(pairs=unjudged_pairs(prompts, written, settings.alignment.pairing))


def _of_people(files: tuple[Path, ...], asked_before: Path | None) -> list[PreferencePair]:
    from models.alignment.decisions import majority, pair_of
    from streams.alignment.labelling.decisions import read_decisions, read_questions

    if asked_before is None:
        return []
    decisions: list[Decision] = [one for path in files for one in read_decisions(path)]
    questions: dict[str, Question] = {one.id: one for one in read_questions(asked_before) if one.kind == "pair"}
    said = majority(one for one in decisions if one.kind == "pair")
    return [pair_of(questions[name], is_first=yes, judged_by="person") for name, yes in said.items() if name in questions]


def _watched(batches: Iterator[tuple[Any, Any]], total: int, what: str) -> Iterator[tuple[Any, Any]]:
    with progress(what, total) as advance:
        for done, one in enumerate(batches, start=1):
            yield one
            advance(done)


def _outcome(made: Made, people: list[PreferencePair], prompts: int, out: Path) -> dict[str, Any]:
    from collections import Counter

    scores = Counter(score for candidates in made.scored for score in candidates)
    return {
        "folder": str(out),
        "prompts": prompts,
        "prompts_with_pairs": len({(pair.user_id, pair.ts_ms) for pair in made.pairs}),
        "pairs": len(made.pairs),
        "across_categories": made.across,
        "of_people": len(people),
        "questions": len(made.questions),
        "failed": len(made.failed),
        "titles_by_score": {str(score): scores[score] for score in sorted(scores)},
    }
