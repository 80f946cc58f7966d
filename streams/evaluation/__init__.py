"""Puts together what `seren evaluate` measures: questions from a log, rankers that answer, and tables."""
