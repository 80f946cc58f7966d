"""`seren train denoise`: small judges from what people decided, held to their bounds, on all samples. Needs `train`.

Exit codes: 0 done, 2 an error; the judge that is below its bounds is one, and then nothing is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.extras import need_train
from streams.cli.options import config_option, json_option, print_json, settings_of
from streams.cli.progress import progress
from streams.cli.train_verdicts import alone_option, model_option

if TYPE_CHECKING:
    from models.alignment.records import AlignmentSample
    from models.judging.buffer import Labelled
    from models.judging.cooperative import CooperativeJudge
    from models.judging.gate import Milestone
    from streams.config import Settings

_FOLDER = click.Path(file_okay=False, path_type=Path)
_IN_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_BATCH = 256


@click.command("denoise")
@click.option("--data", type=_IN_FOLDER, required=True, help="Samples: of `train data` or `train verdicts`.")
@click.option(
    "--decisions",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="Of `seren label`, this round's; one file for each person.",
)
@click.option("--judge", "folder", type=_FOLDER, required=True, help="The small judges: their labels of all rounds so far.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for samples.parquet with people's labels and scores.")
@click.option("--seed", type=int, default=7, show_default=True, help="Of folds, samples and intervals.")
@model_option
@alone_option
@config_option
@json_option
def denoise(
    *,
    data: Path,
    files: tuple[Path, ...],
    folder: Path,
    out: Path,
    seed: int,
    model: Path | None,
    without_model: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Learn from people's decisions which samples are noise, and score all samples of the training parts.

    A judge for each criterion (wanted, unexpected, a real thing, and the whole) is trained on the labels of all rounds. The
    one of the round before is first held against the new labels. A criterion below `alignment.gate` is not used; where the
    whole is below it, nothing is written.
    """
    need_train("seren train denoise", "pyarrow")
    from models.alignment.denoising import WHOLE, labelled, with_people, with_scores
    from models.judging.cooperative import admitted, train
    from models.judging.gate import require
    from streams.alignment.files import SAMPLES, read_samples, write_samples
    from streams.alignment.judge_folder import read_buffer, read_judge, write_judge
    from streams.alignment.labelling.decisions import read_decisions

    settings = settings_of(config)
    policy = settings.alignment
    decisions = [one for path in files for one in read_decisions(path)]
    samples = with_people(read_samples(data / SAMPLES), decisions)
    before, buffer = read_judge(folder), read_buffer(folder)
    inputs = _inputs(samples, settings, model=model, is_alone=without_model)
    number = max((one.round for one in buffer), default=0) + 1
    fresh = labelled(samples, inputs, decisions, number=number)
    checked = _checked(before, fresh, settings, seed=seed)
    trained = train([*buffer, *fresh], policy.buffer, seed=seed, fewest=policy.gate.each_label)
    whole = [found for found in trained.milestones if found.criterion == WHOLE]
    require(whole[0] if whole else _nothing(fresh), policy.gate)
    judge, refused = admitted(trained, policy.gate)
    scored = with_scores(samples, _scores(judge, samples, inputs))
    write_judge(folder, judge, [*buffer, *fresh])
    write_samples(out / SAMPLES, scored)
    outcome = _outcome(judge, scored, checked, number=number) | {"not_used": refused}
    if as_json:
        print_json({"folder": str(out), **outcome})
    else:
        _show(outcome, out)


def _inputs(
    samples: list[AlignmentSample], settings: Settings, *, model: Path | None, is_alone: bool
) -> dict[str, tuple[float, ...]]:
    from models.alignment.decisions import sample_key
    from models.judging.local import Ask, inputs_of
    from streams.alignment.judges import local_judge
    from streams.engines.named import checkpoint_folder

    serengpt = settings.serengpt
    checkpoint = None if is_alone else checkpoint_folder(str(model) if model else serengpt.model)
    found: dict[str, tuple[float, ...]] = {}
    with (
        local_judge(settings.judge, engine=serengpt.engine, checkpoint=checkpoint, threads=serengpt.threads) as judge,
        progress("Reading the samples", len(samples)) as advance,
    ):
        for start in range(0, len(samples), _BATCH):
            batch = samples[start : start + _BATCH]
            asks = [Ask(sample.digest, sample.title, sample.category) for sample in batch]
            for sample, ask, heard in zip(batch, asks, judge.hear(asks), strict=True):
                found[sample_key(sample)] = inputs_of(ask, heard, visit_days=sample.visit_days)
            advance(len(found))
    return found


def _checked(before: CooperativeJudge | None, fresh: list[Labelled], settings: Settings, *, seed: int) -> list[dict[str, Any]]:
    """The milestone check: the judges of the round before on labels that they have not seen."""
    from models.judging.gate import is_clearly_worse, milestone

    if before is None:
        return []
    rows = []
    for was in before.milestones:
        new = [one for one in fresh if one.criterion == was.criterion]
        if not new or was.criterion not in before.judges:
            continue
        scores = before.judges[was.criterion].probability([one.inputs for one in new]).tolist()
        now = milestone(was.criterion, scores, [one.label for one in new], [one.user_id for one in new], seed=seed)
        worse = is_clearly_worse(now, was, settings.alignment.gate)
        rows.append(_row(now) | {"was_auc": was.auc.mean if was.auc else None, "is_clearly_worse": worse})
    return rows


def _nothing(fresh: list[Labelled]) -> Milestone:
    """What the gate is told where there were too few labels for a judge."""
    from models.alignment.denoising import WHOLE
    from models.judging.gate import Milestone

    of_whole = [one.label for one in fresh if one.criterion == WHOLE]
    return Milestone(
        criterion=WHOLE, cases=len(of_whole), positives=sum(of_whole), accuracy=0.0, auc=None, ap=None, kappa=None
    )


def _scores(judge: CooperativeJudge, samples: list[AlignmentSample], inputs: dict[str, tuple[float, ...]]) -> list[float]:
    from models.alignment.decisions import sample_key

    found: list[float] = judge.scores([inputs[sample_key(sample)] for sample in samples]).tolist()
    return found


def _outcome(
    judge: CooperativeJudge, samples: list[AlignmentSample], checked: list[dict[str, Any]], *, number: int
) -> dict[str, Any]:
    from models.judging.gate import PASSES_AT

    training = [sample for sample in samples if sample.split in ("sft", "ipo")]
    scores = [sample.classifier_score or 0.0 for sample in training]
    return {
        "round": number,
        "before_on_new_labels": checked,
        "held_out": [_row(found) for found in judge.milestones],
        "people_labelled": sum(sample.person_label is not None for sample in samples),
        "training_samples": len(training),
        "pass": sum(score >= PASSES_AT for score in scores),
    }


def _row(found: Milestone) -> dict[str, Any]:
    from msgspec import to_builtins

    row: dict[str, Any] = to_builtins(found)
    return row


def _show(outcome: dict[str, Any], out: Path) -> None:
    from streams.cli.tables import show_table

    rows = [
        (
            one["criterion"],
            f"{one['cases']:,}",
            f"{one['positives']:,}",
            *(_cell(one[name]) for name in ("auc", "ap", "kappa")),
        )
        for one in outcome["held_out"]
    ]
    title = f"Round {outcome['round']}: {outcome['pass']:,} of {outcome['training_samples']:,} training samples pass, in {out}"
    show_table(title, ("criterion", "labels", "yes", "AUC held out", "AP", "kappa"), rows)
    for refused in outcome["not_used"]:
        click.echo(f"seren: {refused}", err=True)
    for one in outcome["before_on_new_labels"]:
        if one["is_clearly_worse"]:
            click.echo(
                f"seren: the judge of {one['criterion']} of the round before is clearly worse on the new labels", err=True
            )


def _cell(interval: list[float] | None) -> str:
    """A figure and its bounds in 13 characters, so that the table fits a narrow terminal."""
    if interval is None:
        return "not defined"
    mean, low, high = (f"{value:.2f}".replace("0.", ".", 1) for value in interval)
    return f"{mean} [{low} {high}]"
