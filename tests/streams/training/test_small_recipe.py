"""Laws of the small recipe: its commands exist, follow each other, and only what is better is shipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
import pytest

from models.errors import ConfigError
from models.pretrained import serengpt_folder
from models.registry import Metrics
from streams.cli import cli
from streams.training.small_recipe import VARIANTS, package, stages
from streams.training.stages import Stage

Measure = Callable[..., Metrics]


def planned(folder: Path, *, ablation: bool = True) -> list[Stage]:
    return stages(folder, shipped=serengpt_folder(), log=None, seed=7, threads=1, size="base", steps=5, ablation=ablation)


@pytest.mark.parametrize("stage", planned(Path("made")), ids=lambda stage: stage.name)
def test_every_stage_is_a_command_that_takes_its_options(stage: Stage) -> None:
    command: click.Command = cli
    words = list(stage.command[3:])
    context = click.Context(cli)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_what_a_stage_reads_below_the_folder_an_earlier_one_has_made(tmp_path: Path) -> None:
    made: set[Path] = set()
    for stage in planned(tmp_path):
        own = stage.makes.relative_to(tmp_path).parts[0]
        below = [Path(word).relative_to(tmp_path).parts[:1] for word in stage.command if word.startswith(str(tmp_path))]
        assert {Path(part) for parts in below for part in parts if part != own} <= made, stage.name
        made.add(Path(own))


def test_variants_of_the_ablation_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    names = [stage.name for stage in planned(tmp_path, ablation=False)]
    assert names == ["data", "sft", "pairs", "ipo", "measure shipped", "measure sft", "measure ipo", "tower"]
    assert set(VARIANTS) < {stage.name for stage in planned(tmp_path)}


def test_who_is_taught_without_profile_begins_without_one_and_is_asked_without_one(tmp_path: Path) -> None:
    found = {stage.name: stage.command for stage in planned(tmp_path)}
    taught = [name for name, command in found.items() if "--without-profile" in command]
    asked = [found["table"][place + 1] for place, word in enumerate(found["table"]) if word == "--history-only"]
    assert asked == taught == ["sft-without-profile", "ipo-without-profile"]
    assert str(tmp_path / "sft-without-profile") in found["ipo-without-profile"]
    assert all(str(tmp_path / "sft") in found[name] for name in VARIANTS if name not in taught)


def test_candidate_is_shipped_if_it_passes_the_gate_and_ranks_better(tmp_path: Path, measure: Measure) -> None:
    shipped = serengpt_folder()
    (tmp_path / "measured").mkdir()

    def measured(folder: Path, name: str, **means: float) -> None:
        (folder / "measured" / f"{name}.json").write_bytes(msgspec.json.encode(measure(shipped, **means)))

    for name in ("sft", "ipo"):
        shutil.copytree(shipped, tmp_path / name)
    measured(tmp_path, "shipped", ranking=0.25)
    measured(tmp_path, "sft", ranking=0.249)
    measured(tmp_path, "ipo", ranking=0.27)
    found = package(tmp_path, shipped=shipped, candidates=("sft", "ipo"), created_ms=1)
    assert [(one.name, one.version, one.refusals, one.is_better) for one in found] == [
        ("sft", 2, (), False),
        ("ipo", 3, (), True),
    ]
    measured(tmp_path, "ipo", ranking=0.27, novelty=0.4)
    [_, refused] = package(tmp_path, shipped=shipped, candidates=("sft", "ipo"), created_ms=1)
    assert (len(refused.refusals), refused.is_better) == (1, False)


def test_checkpoint_that_was_not_measured_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"shipped\.json"):
        package(tmp_path, shipped=serengpt_folder(), candidates=(), created_ms=1)
