"""`seren evaluate`: how good the parts are on the part of a recorded log that nothing was trained on."""

from __future__ import annotations

import click

from streams.cli.evaluate_ablation import ablation
from streams.cli.evaluate_compression import compression
from streams.cli.evaluate_diversity import diversity, gate
from streams.cli.evaluate_imagine import imagine
from streams.cli.evaluate_judge import judge_command
from streams.cli.evaluate_profiles import profiles
from streams.cli.evaluate_ranking import ranking


@click.group("evaluate")
def evaluate_group() -> None:
    """Measure the parts on a recorded log."""


evaluate_group.add_command(ranking)
evaluate_group.add_command(diversity)
evaluate_group.add_command(gate)
evaluate_group.add_command(ablation)
evaluate_group.add_command(compression)
evaluate_group.add_command(profiles)
evaluate_group.add_command(imagine)
evaluate_group.add_command(judge_command)
