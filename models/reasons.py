"""The reason table: what the reason id of a slate's item means, in words that a ranker may show.

Ids are public and never reused: a Go or Java reader keeps its own copy. `seren why` gives the whole chain behind one.
"""

from __future__ import annotations

REASONS: dict[int, str] = {
    0: "no reason recorded",
    1: "in line with what you looked for lately",
    2: "in line with what you have long liked",
    3: "goes with something that you got recently",
    4: "a new corner that people like you enjoy",
}
