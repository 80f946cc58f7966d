"""The weights that come with the package, by folder. Knows nothing about what is in them."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def serengpt_folder() -> Path:
    """The SerenGPT checkpoint that was trained on the shipped log."""
    return _HERE / "serengpt-small"


def tower_folder() -> Path:
    """The vector channel's tower that was trained on the shipped log."""
    return _HERE / "tower-small"


def distilled_folder() -> Path:
    """The scorer that was fitted to the scores of that SerenGPT, in the space of that tower."""
    return _HERE / "distilled-small"


def words_folder() -> Path:
    """The judge's table of word meanings, made of WordNet."""
    return _HERE / "words-small"
