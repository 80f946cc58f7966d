"""`seren train distil`: a linear scorer fitted to SerenGPT's own scores, from a score log. Needs no extra."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import config_option, json_option, print_json, settings_of
from streams.cli.progress import progress

if TYPE_CHECKING:
    from models.catalogue import Catalogue
    from models.distilled.scorer import Card, Distilled
    from models.entities import Digest
    from models.retrieval.vectors import Tower
    from models.training.distil import Agreement, Lesson
    from streams.config import Settings
    from streams.recorded.logs import RecordedLog
    from streams.scores.lessons import Teacher

_FOLDER = click.Path(file_okay=False, path_type=Path)
_TIMED_ITEMS, _TIMES = 60, 30  # of a slate's candidates, and how often, when the scorer's speed is measured


@click.command("distil")
@click.option("--log", "folder", type=_FOLDER, help="A log folder; the shipped one if left out.")
@click.option("--scores", required=True, metavar="FILE", help="Score log of `seren replay LOG --slates --scores FILE`; grows.")
@click.option("--out", type=_FOLDER, required=True, help="Folder for the scorer and its card.")
@click.option("--name", default="distilled-small", show_default=True, help="Of the scorer; part of its id.")
@click.option(
    "--people", type=click.IntRange(min=2), default=1_500, show_default=True, help="At most; those with scores first."
)
@click.option(
    "--drawn", type=click.IntRange(0, 1_000), default=60, show_default=True, help="Titles a person, of the catalogue."
)
@click.option("--partitions", type=click.IntRange(1, 1024), default=4, show_default=True, help="As in the replay.")
@config_option
@json_option
def distil(
    *,
    folder: Path | None,
    scores: str,
    out: Path,
    name: str,
    people: int,
    drawn: int,
    partitions: int,
    config: Path | None,
    as_json: bool,
) -> None:
    """Fit a scorer to what SerenGPT said of people's candidates, and measure it on people who were held out."""
    from models.distilled.scorer import Distilled, save
    from models.pretrained import tower_folder
    from models.retrieval.vectors import Tower
    from models.training.distil import DistilPlan, fit, is_held_out
    from streams.recorded.logs import RecordedLog, shipped_log

    settings, recorded = settings_of(config), RecordedLog(folder) if folder else shipped_log("online-retail")
    plan, tower = DistilPlan(), Tower.load(tower_folder())
    catalogue, lessons, teacher = _lessons(recorded, settings, scores, people=people, drawn=drawn, partitions=partitions)
    parts: dict[bool, list[Lesson]] = {True: [], False: []}
    for lesson in lessons:
        parts[is_held_out(lesson.user_id, plan.held_out)].append(lesson)
    started_s = time.monotonic()
    weights = fit(parts[False], tower, plan=plan)
    fit_s = time.monotonic() - started_s
    fitted = Distilled(weights, tower=tower, model_id=name)
    found = _measured(fitted, parts[True], parts[False], catalogue, tower)
    counts = {
        "people learned from": len(parts[False]),
        "people held out": len(parts[True]),
        "scores learned from": sum(len(one.items) for one in parts[False]),
        "scores held out": sum(len(one.items) for one in parts[True]),
    }
    card = save(weights, out, card=_card(name, teacher, found, counts, recorded))
    speed_us = _microseconds(fitted, parts[True] or parts[False], catalogue)
    (out / "README.md").write_text(_readme(card, recorded, fit_s=fit_s, speed_us=speed_us), encoding="utf-8")
    if as_json:
        print_json({"folder": str(out), "microseconds_per_item": speed_us, "fit_s": round(fit_s, 1)} | _as_json(card))
    else:
        _show(card, out, speed_us)


def _lessons(
    recorded: RecordedLog, settings: Settings, scores: str, *, people: int, drawn: int, partitions: int
) -> tuple[Catalogue, list[Lesson], tuple[str, int]]:
    from models.catalogue import Catalogue
    from streams.cli.replay_slates import open_scores
    from streams.engines.named import load_engine
    from streams.offline import Refusals, read_items
    from streams.offline.newest import newest_requests
    from streams.scores.lessons import Teacher

    catalogue, opened = Catalogue(read_items(recorded, Refusals())), open_scores(scores, settings)
    requests = asyncio.run(newest_requests(recorded, rules=settings.rules, partitions=partitions))
    model = settings.serengpt
    with closing(load_engine(model.engine, model.model, threads=model.threads, key_file=model.key_file)) as engine:
        teacher = Teacher(engine, opened.log, catalogue)
        digests = _digests(requests, catalogue, settings, teacher, limit=people)
        with progress("asking SerenGPT", len(digests)) as advance:

            def write_down(count: int) -> None:
                new = opened.log.take()
                if opened.file:
                    opened.file.append(new)
                advance(count)

            lessons = teacher.lessons(digests, drawn=drawn, advance=write_down)
        return catalogue, lessons, (engine.model_id, engine.prompt_version)


def _digests(
    requests: Mapping[str, bytes], catalogue: Catalogue, settings: Settings, teacher: Teacher, *, limit: int
) -> dict[str, Digest]:
    """The people whose digests the score log knows, by id, and then others."""
    from models.profiles import unpack
    from streams import codec

    digests = {
        user_id: unpack(codec.decode_request(value), catalogue, settings.rules.profile).digest
        for user_id, value in sorted(requests.items())
    }
    known = [user_id for user_id, digest in digests.items() if teacher.known(digest)]
    chosen = list(dict.fromkeys([*known, *digests]))[:limit]
    return {user_id: digests[user_id] for user_id in chosen}


def _measured(
    fitted: Distilled, held_out: Sequence[Lesson], learned: Sequence[Lesson], catalogue: Catalogue, tower: Tower
) -> list[Agreement]:
    """The scorer beside what anybody could have built."""
    import numpy as np

    from models.category_rule import affinities, departments_of
    from models.distilled.features import PAIR_FEATURES, item_side, pair_features, person_side
    from models.training.distil import agreements

    departments = departments_of(catalogue)
    wanted = Counter(one.title for lesson in learned for one in lesson.digest.history)
    near = PAIR_FEATURES.index("cosine: history, newer more")
    draw = np.random.default_rng(7)

    def by_tower(lesson: Lesson) -> Sequence[float]:
        pairs = pair_features(person_side(lesson.digest, tower), [item_side(item, tower) for item in lesson.items])
        column: list[float] = pairs[:, near].tolist()
        return column

    rankers: dict[str, Callable[[Lesson], Sequence[float]]] = {
        "distilled": lambda lesson: fitted.aligned(lesson.digest, lesson.items),
        "title prior": lambda lesson: [fitted.prior(item) for item in lesson.items],
        "popularity in histories": lambda lesson: [float(wanted[item.title]) for item in lesson.items],
        "cosine with the history": by_tower,
        "category rule": lambda lesson: affinities(lesson.digest, lesson.items, departments=departments),
        "random": lambda lesson: draw.random(len(lesson.items)).tolist(),
    }
    return agreements(held_out, rankers)


def _microseconds(fitted: Distilled, lessons: Sequence[Lesson], catalogue: Catalogue) -> float:
    """Of one item among a slate's candidates that were seen before: the median over some digests."""
    items, seconds = catalogue.items[:_TIMED_ITEMS], []
    fitted.aligned(lessons[0].digest, items)
    for number in range(_TIMES):
        started_s = time.perf_counter()
        fitted.aligned(lessons[number % len(lessons)].digest, items)
        seconds.append(time.perf_counter() - started_s)
    return round(sorted(seconds)[_TIMES // 2] / len(items) * 1e6, 1)


def _card(
    name: str, teacher: tuple[str, int], found: Sequence[Agreement], counts: dict[str, int], recorded: RecordedLog
) -> Card:
    from models.distilled.features import PAIR_FEATURES
    from models.distilled.scorer import Card, tower_sha256
    from models.pretrained import tower_folder

    return Card(
        name=name,
        teacher=teacher[0],
        prompt_version=teacher[1],
        sha256="",
        tower_sha256=tower_sha256(tower_folder()),
        features=PAIR_FEATURES,
        counts=counts,
        metrics={one.name: {"spearman": round(one.spearman, 4), "top 10": round(one.top, 4)} for one in found},
        source=f"{recorded.about.name}, {recorded.about.licence}",
    )


def _readme(card: Card, recorded: RecordedLog, *, fit_s: float, speed_us: float) -> str:
    rows = [f"| {name} | {one['spearman']:.3f} | {one['top 10']:.3f} |" for name, one in card.metrics.items()]
    counts = [f"| {what} | {count:,} |" for what, count in card.counts.items()]
    return f"""# {card.name}

A linear scorer fitted to the aligned scores of {card.teacher} (prompt version {card.prompt_version}): `distilled.npz` and
its `card.json`. It stands in where that model cannot answer in time, and needs the tower by whose vectors it was fitted.

Data: the newest digests of people of {recorded.about.name} ({recorded.about.licence}), split by people's ids, so that
nobody is on both sides. Each person's items are the candidates of a slate and titles drawn from the whole catalogue.

| what | count |
| --- | --- |
{chr(10).join(counts)}

    {" ".join(("seren", *sys.argv[1:]))}

Order of the items of people who were held out against the order of the teacher's aligned scores, means over people:

| ranker | Spearman | of the teacher's first 10 |
| --- | --- | --- |
{chr(10).join(rows)}

The fit took {fit_s:.0f} s on one core, a score takes {speed_us} us (60 items seen before, one thread, numpy).

The title prior is the teacher's own log-probability of a title with nobody in mind, and most of what orders a random set; what
is told on top of it is what the scorer knows of the person. It was fitted to one model's scores: not to what people liked.
"""


def _as_json(card: Card) -> dict[str, object]:
    return {"name": card.name, "teacher": card.teacher, "counts": card.counts, "metrics": card.metrics}


def _show(card: Card, out: Path, speed_us: float) -> None:
    from streams.cli.tables import show_table

    rows = [(name, f"{one['spearman']:.3f}", f"{one['top 10']:.3f}") for name, one in card.metrics.items()]
    show_table(f"{card.name} in {out}, {speed_us} us an item", ("ranker", "Spearman", "of the first 10"), rows)
