"""A small linear model that was fitted to SerenGPT's own aligned scores: microseconds an item, numpy alone.

    features.py   what is compared of a person's digest and an item
    scorer.py     `Distilled`: the weights in a folder, and the score

It stands in where SerenGPT cannot answer in time. Fitted by `models.training.distil`, which is not needed to run it.
"""

from __future__ import annotations

from models.distilled.scorer import Distilled

__all__ = ["Distilled"]
