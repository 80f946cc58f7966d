"""`python -m streams` is the `seren` command."""

from streams.cli import main

main()
