"""The small SerenGPT from a recorded log: which commands, in which order, and whether what came out may be shipped.

Knows nothing about how the commands do their work.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from models.errors import ConfigError
from models.registry import Gate, Metrics, Registry
from models.serengpt.checkpoint import MANIFEST
from streams.training.stages import Stage

PROMPTS = 600  # of the IPO half that get pairs, from 8 titles each: more than the steps of alignment read
# Of the validation part, that each checkpoint is measured on: all of the shipped log's, for the gate asks for certainty. Torch
# reads a title at once and is several times faster here.
CASES = ("--limit", "400", "--slates", "400", "--engine", "torch")
MAX_BYTES = 10_000_000  # of a checkpoint in the repository, both precisions and the tokenizer
METRICS = "metrics.json"

# variant -> what `seren train align` is told beside the pairs; the ablation of papers.md 1.7
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "ipo": ("--method", "ipo"),
    "dpo": ("--method", "dpo", "--tau", "0.1"),
    "kto": ("--method", "kto", "--tau", "0.1"),
    "ipo-without-cdi": ("--method", "ipo"),
    "sft-on-all-data": ("--method", "sft"),
    "ipo-without-profile": ("--method", "ipo", "--without-profile"),
}
SFT_WITHOUT_PROFILE, IPO_WITHOUT_PROFILE = "sft-without-profile", "ipo-without-profile"
WITHOUT_PROFILE = (SFT_WITHOUT_PROFILE, IPO_WITHOUT_PROFILE)  # taught with the history alone, and so asked
# Of the test part, for the ablation's table: as many as make intervals of HR@10 of .03 and of hit rates of .06 to each side.
TABLE = ("--part", "test", "--limit", "500", "--slates", "150", "--engine", "torch")


class Packaged(Struct, frozen=True, kw_only=True):
    """What became of a candidate: its version, why the gate refused it (empty: it did not), and whether it ranks better.

    Better than the shipped checkpoint, by the mean; one that the gate refused never is.
    """

    name: str
    version: int
    refusals: tuple[str, ...]
    megabytes: float
    is_better: bool


def stages(
    folder: Path, *, shipped: Path, log: Path | None, seed: int, threads: int, size: str, steps: int | None, ablation: bool
) -> list[Stage]:
    """The commands from a log to measured checkpoints.

    Args:
        folder: for everything that is made.
        shipped: the checkpoint that is there already; measured beside the new ones.
        log: the log's folder; None: the shipped one.
        seed: of every stage.
        threads: of torch and of the engines.
        size: of the network, see `models.training.recipe.recipe_of`.
        steps: at most so many of each training; None: the recipes' own.
        ablation: also the variants that the recipe does not ship.
    """
    few = () if steps is None else ("--steps", str(steps))
    sized = () if size == "small" else ("--size", size)
    of_log = () if log is None else ("--log", str(log))
    seeded, threaded = ("--seed", str(seed)), ("--threads", str(threads))
    data, sft = folder / "data", folder / "sft"
    samples = data / "samples.parquet"
    made = [
        Stage("data", _seren("train", "data", "--out", data, *of_log, *seeded), samples),
        Stage(
            "sft",
            _seren(
                "train", "sft", "--samples", samples, "--out", sft, "--cases", "0", *sized, *of_log, *few, *seeded, *threaded
            ),
            sft / MANIFEST,
        ),
        _pairs(folder / "pairs", data, sft, (*of_log, *seeded)),
    ]
    align = partial(_aligned, folder, (*few, *seeded, *threaded))
    measure = partial(_measured, folder, (*of_log, *threaded))
    made += [align("ipo"), measure("shipped", shipped), measure("sft", sft), measure("ipo", folder / "ipo")]
    tower = folder / "tower"
    made.append(Stage("tower", _seren("train", "tower", "--out", tower, *of_log, *few, *seeded), tower / "tower.npz"))
    if ablation:  # behind the rest, which it does not change
        taught = ("train", "sft", "--samples", samples, "--cases", "0", *sized, *of_log, *seeded, *threaded)
        made += _ablation(folder, taught, align, few=few, log=of_log, more=(*of_log, *seeded))
        own_tower = () if log is None else ("--tower", tower)  # the shipped one was made of the shipped log
        made.append(_table(folder, shipped, (*of_log, *threaded, *own_tower)))
    return made


def _ablation(
    folder: Path,
    taught: tuple[object, ...],
    align: Callable[[str], Stage],
    *,
    few: tuple[str, ...],
    log: tuple[str, ...],
    more: tuple[str, ...],
) -> list[Stage]:
    """The checkpoints of the ablation's rows, and the sequential baseline."""
    plain, nothing, sasrec = folder / SFT_WITHOUT_PROFILE, folder / "untrained", folder / "sasrec"
    unjudged = (*more, "--no-cdi", "--titles", str(folder / "pairs" / "titles.jsonl"))
    return [
        _pairs(folder / "pairs-without-cdi", folder / "data", folder / "sft", unjudged),
        *(align(name) for name in VARIANTS if name not in ("ipo", IPO_WITHOUT_PROFILE)),
        Stage("untrained", _seren(*taught, "--out", nothing, "--untrained"), nothing / MANIFEST),
        Stage(plain.name, _seren(*taught, "--out", plain, "--without-profile", *few), plain / MANIFEST),
        align(IPO_WITHOUT_PROFILE),
        Stage("sasrec", _seren("train", "sasrec", "--out", sasrec, *log), sasrec / "sasrec.json"),
    ]


def _table(folder: Path, shipped: Path, more: tuple[object, ...]) -> Stage:
    out, asked = folder / "ablation", [word for name in WITHOUT_PROFILE for word in ("--history-only", name)]
    words = ("evaluate", "ablation", folder, "--reference", "sft", "--model", f"shipped={shipped}", *asked, *TABLE)
    kept = ("--sasrec", folder / "sasrec", "--cache", out / "said", "--out", out)
    return Stage("table", _seren(*words, *kept, *more), out / "ablation.json")


def package(folder: Path, *, shipped: Path, candidates: tuple[str, ...], created_ms: int) -> list[Packaged]:
    """Adds the shipped checkpoint and the candidates to a registry below `folder`, and lets the gate decide, one by one.

    Args:
        folder: where `stages` have made and measured them.
        shipped: version 1; what serves if no candidate passes.
        candidates: names, in the order in which they ask to be promoted.
        created_ms: now.
    """
    registry = Registry(_fresh(folder / "registry"))
    before = _metrics(folder, "shipped")
    registry.add(shipped, metrics=before, parent=None, created_ms=created_ms)
    registry.promote(1, gate=Gate())
    found = []
    for name in candidates:
        metrics, size = _metrics(folder, name), _bytes(folder / name)
        version = registry.add(folder / name, metrics=metrics, parent=None, created_ms=created_ms)
        why = registry.promote(version.number, gate=Gate())
        is_better = not why and metrics.ranking.mean > before.ranking.mean
        found.append(
            Packaged(name=name, version=version.number, refusals=why, megabytes=round(size / 1e6, 2), is_better=is_better)
        )
    return found


def _pairs(out: Path, data: Path, sft: Path, more: tuple[str, ...]) -> Stage:
    words = ("train", "pairs", "--data", data, "--sampler", sft, "--judge-model", sft, "--limit", PROMPTS, "--out", out)
    return Stage(out.name, _seren(*words, *more), out / "pairs.parquet")


def _aligned(folder: Path, more: tuple[str, ...], name: str) -> Stage:
    pairs = folder / ("pairs-without-cdi" if name == "ipo-without-cdi" else "pairs") / "pairs.parquet"
    taught = ("--samples", folder / "data" / "samples.parquet") if name == "sft-on-all-data" else ("--pairs", pairs)
    base = folder / (SFT_WITHOUT_PROFILE if name == IPO_WITHOUT_PROFILE else "sft")
    words = (*VARIANTS[name], *taught, "--base", base, "--out", folder / name, "--name", "serengpt-small", *more)
    return Stage(name, _seren("train", "align", *words), folder / name / MANIFEST)


def _measured(folder: Path, more: tuple[str, ...], name: str, checkpoint: Path) -> Stage:
    found = folder / "measured" / f"{name}.json"
    command = _seren("evaluate", "gate", "--model", checkpoint, "--json", *CASES, *more)
    return Stage(f"measure {name}", command, found, output=found)


def _seren(*words: object) -> tuple[str, ...]:
    return (sys.executable, "-m", "streams", *map(str, words))


def _metrics(folder: Path, name: str) -> Metrics:
    path = folder / "measured" / f"{name}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Metrics)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path}: no metrics: {error}"
        raise ConfigError(message) from error


def _bytes(checkpoint: Path) -> int:
    return sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())


def _fresh(folder: Path) -> Path:
    """A folder that is not there yet: the first of `registry`, `registry-2`..."""
    number, found = 1, folder
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found
