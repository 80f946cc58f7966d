"""Python's garbage collector in a process whose objects come and go with a stream: workers, replays, benchmarks."""

from __future__ import annotations

import gc

# Cycles are rare here, and a chunk of records makes some 20,000 objects that are freed without the collector: at Python's
# default of 700 it took a ninth of a profile worker's time.
_THRESHOLDS = (100_000, 20, 20)


def expect_a_stream() -> None:
    """Leaves alone what is loaded now, and looks for cycles a hundred times less often; for the whole process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
