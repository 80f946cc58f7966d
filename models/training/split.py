"""Where in time training ends, validation ends and the test begins; the one place that says so.

Everything that learns (tokenizer, SerenGPT, retrieval towers, popularity counts) may look at the train part, every choice
between variants at the validation part, and nothing but the final evaluation at the test part. The split is by time, as in
service: a model that is asked today has seen no tomorrow.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Part = Literal["train", "validation", "test"]


class TimeSplit(NamedTuple):
    """Two instants that cut a log into three parts. Units: milliseconds since 1970, UTC."""

    train_end_ms: int
    validation_end_ms: int

    def part(self, ts_ms: int) -> Part:
        """The part that an instant belongs to; an end belongs to the later part.

        Example:
            >>> TimeSplit(10, 20).part(9), TimeSplit(10, 20).part(10), TimeSplit(10, 20).part(20)
            ('train', 'validation', 'test')
        """
        if ts_ms < self.train_end_ms:
            return "train"
        return "validation" if ts_ms < self.validation_end_ms else "test"


# 1 Dec 2010 - 9 Dec 2011: train up to 15 Oct 2011 (85 % of the time, three quarters of the lines), validate on the rest of
# October, test on November and December, which is also the part that the recorded demo plays.
ONLINE_RETAIL = TimeSplit(train_end_ms=1_318_636_800_000, validation_end_ms=1_320_105_600_000)
