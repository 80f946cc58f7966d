"""The command line. Commands are loaded when they are called, so that `seren read` starts without Faust."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from models.errors import SerenError
from streams.garbage import expect_a_stream
from streams.native import refuse_stale, root_of_this

# command -> (module, name of the click command in it)
_COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("streams.cli.demo", "demo"),
    "worker": ("streams.cli.worker", "worker"),
    "topics": ("streams.cli.worker", "topics_command"),
    "replay": ("streams.cli.replay", "replay"),
    "import": ("streams.cli.imports", "import_group"),
    "read": ("streams.cli.read", "read"),
    "blend": ("streams.cli.read", "blend"),
    "why": ("streams.cli.read", "why"),
    "profile": ("streams.cli.profile", "profile"),
    "forget": ("streams.cli.forget", "forget"),
    "redrive": ("streams.cli.redrive", "redrive"),
    "doctor": ("streams.cli.doctor", "doctor"),
    "simulate": ("streams.simulation.__main__", "main"),
    "bench": ("streams.cli.bench", "bench"),
    "train": ("streams.cli.train", "train_group"),
    "models": ("streams.cli.models", "models_group"),
    "label": ("streams.cli.label", "label"),
    "judge": ("streams.cli.judge", "judge"),
    "combine": ("streams.cli.judge", "combine"),
    "evaluate": ("streams.cli.evaluate", "evaluate_group"),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of a first day with seren."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None when there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seren")
def cli() -> None:
    """Seren: a nearline serendipity engine. Behaviour events on Kafka in, unexpected and wanted items in Redis out."""


def main() -> None:
    """Runs the command line; an error that seren raises on purpose is one line on standard error, and exit code 2."""
    try:
        refuse_stale(root_of_this())
        expect_a_stream()
        cli()
    except SerenError as error:
        click.echo(f"seren: {error}", err=True)
        sys.exit(2)
