"""`seren train verdicts`: a judge's word on samples, and the questions for people. Needs the `train` extra.

Exit codes: 0 done, 1 some samples could not be judged (they keep no verdict), 2 an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.extras import need_train
from streams.cli.options import config_option, json_option, settings_of
from streams.cli.outcome import end
from streams.cli.progress import progress

if TYPE_CHECKING:
    from models.alignment.records import AlignmentSample
    from models.alignment.verdicts import Verdict
    from models.errors import RequestError
    from streams.alignment.judges import Judge
    from streams.config import Settings

QUESTIONS = "questions.jsonl"
_FOLDER = click.Path(file_okay=False, path_type=Path)
_BATCH = 64  # samples that are judged together, between two moves of the bar

judge_option = click.option(
    "--judge",
    "judge_name",
    type=click.Choice(["local", "teacher"]),
    default="local",
    show_default=True,
    help="The judge of `seren judge`, or the model of the configuration's section [teacher].",
)
model_option = click.option("--model", type=_FOLDER, help="Local: the SerenGPT that advises it; else the configured one.")
alone_option = click.option("--without-model", is_flag=True, help="Local: judge by the history alone.")


@contextmanager
def chosen_judge(name: str, settings: Settings, *, model: Path | None, is_alone: bool) -> Iterator[Judge]:
    """The judge that a command was asked to use."""
    from streams.alignment.judges import LocalAlignmentJudge, Teacher, local_judge
    from streams.engines.chat import ChatEndpoint
    from streams.engines.named import checkpoint_folder

    if name == "teacher":
        yield Teacher(ChatEndpoint(settings.teacher, os.environ).ask)
        return
    folder = None if is_alone else checkpoint_folder(str(model) if model else settings.serengpt.model)
    serengpt = settings.serengpt
    with local_judge(settings.judge, engine=serengpt.engine, checkpoint=folder, threads=serengpt.threads) as judge:
        yield LocalAlignmentJudge(judge, settings.alignment)


@click.command("verdicts")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="Of `train data`.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for samples.parquet with verdicts, and questions.jsonl.")
@click.option("--count", type=click.IntRange(min=0), default=400, show_default=True, help="Training samples; 0: all.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of which samples.")
@judge_option
@model_option
@alone_option
@config_option
@json_option
def verdicts(
    *,
    data: Path,
    out: Path,
    count: int,
    seed: int,
    judge_name: str,
    model: Path | None,
    without_model: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Ask a judge whether samples of the training parts are serendipitous, and write the questions for `seren label`."""
    need_train("seren train verdicts", "pyarrow")
    from models.alignment.decisions import question_of_sample
    from models.alignment.denoising import drawn, with_verdicts
    from streams.alignment.files import SAMPLES, read_samples, write_samples
    from streams.alignment.labelling.decisions import write_questions

    settings = settings_of(config)
    samples = read_samples(data / SAMPLES)
    places = drawn(samples, count=count or len(samples), seed=seed)
    with chosen_judge(judge_name, settings, model=model, is_alone=without_model) as judge:
        heard = _ask(judge, [samples[place] for place in places])
    judged = with_verdicts(samples, dict(zip(places, heard, strict=True)))
    write_samples(out / SAMPLES, judged)
    asked = [judged[place] for place in places if judged[place].verdict is not None]
    write_questions(out / QUESTIONS, [question_of_sample(sample) for sample in asked])
    failed = [str(one) for one in heard if isinstance(one, Exception)]
    outcome = {
        "folder": str(out),
        "judge": judge_name,
        "asked": len(places),
        "serendipitous": sum(sample.verdict is True for sample in asked),
        "not_serendipitous": sum(sample.verdict is False for sample in asked),
        "failed": len(failed),
    }
    end("verdicts", outcome, failed, what="samples", caption=f"Next: seren label {out}/{QUESTIONS}", as_json=as_json)


def _ask(judge: Judge, samples: list[AlignmentSample]) -> list[Verdict | RequestError]:
    from models.judging.local import Ask

    heard: list[Verdict | RequestError] = []
    with progress("Judging", len(samples)) as advance:
        for start in range(0, len(samples), _BATCH):
            batch = samples[start : start + _BATCH]
            heard.extend(judge.verdicts([Ask(sample.digest, sample.title, sample.category) for sample in batch]))
            advance(len(heard))
    return heard
