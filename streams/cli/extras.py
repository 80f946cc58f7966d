"""What a command says where its optional packages are missing. Knows nothing about what they are for."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import click

_WRONG_USE = 2


def need_train(command: str, *modules: str) -> None:
    """Ends the program with exit code 2, and with what to install, where a module of the `train` extra is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        click.echo(f"error: {command} needs {' and '.join(missing)}; install the extra: pip install 'seren[train]'", err=True)
        sys.exit(_WRONG_USE)
