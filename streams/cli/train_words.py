"""`seren train words`: the judge's table of word meanings, from WordNet. Needs the `train` extra."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.extras import need_train
from streams.cli.options import json_option, print_json


@click.command("words")
@click.argument("wordnet", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write words.npz to.")
@json_option
def words_command(*, wordnet: Path, out: Path, as_json: bool) -> None:
    """Make word vectors of the data files in the folder WORDNET (Debian: package wordnet-base, /usr/share/wordnet)."""
    need_train("seren train words", "torch")
    from rich.console import Console

    from models.training.words import WordPlan, word_vectors

    with Console(stderr=True).status("Reading explanations"):
        found = word_vectors(wordnet, WordPlan())
    found.save(out)
    outcome = {"folder": str(out), "words": len(found.words), "bytes": (out / "words.npz").stat().st_size}
    if as_json:
        print_json(outcome)
    else:
        click.echo(f"{outcome['words']:,} words, {outcome['bytes']:,} bytes, in {out}")
