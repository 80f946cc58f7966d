"""The prompts of preference training: the visit days of the IPO half, one each. Knows nothing about titles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from models.alignment.records import AlignmentSample
from models.entities import Digest
from models.profiles.policy import DAY_MS


class Prompt(Struct, frozen=True, kw_only=True):
    """One profile before one visit day; `wanted` are the titles that became serendipitous on it, in order of time."""

    user_id: str
    ts_ms: int
    digest: Digest
    wanted: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        """What names it."""
        return self.user_id, self.ts_ms

    def seed(self, seed: int) -> int:
        """A seed of its own, the same wherever and whenever it is asked."""
        text = f"{seed}|{self.ts_ms}|{self.user_id}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def prompts_of(samples: Iterable[AlignmentSample], *, limit: int | None, seed: int) -> list[Prompt]:
    """One prompt for each visit day of the IPO half, in order of time and user; with a limit, drawn evenly from all.

    A prompt's time is that of its day's first sample.
    """
    days: dict[tuple[str, int], list[AlignmentSample]] = {}
    for sample in samples:
        if sample.split == "ipo":
            days.setdefault((sample.user_id, sample.ts_ms // DAY_MS), []).append(sample)
    prompts = [_prompt(sorted(day, key=lambda one: (one.ts_ms, one.event_id))) for day in days.values()]
    if limit is not None:
        prompts = sorted(prompts, key=lambda one: (one.seed(seed), one.key))[:limit]
    return sorted(prompts, key=lambda one: (one.ts_ms, one.user_id))


def _prompt(day: list[AlignmentSample]) -> Prompt:
    first = day[0]
    wanted = tuple(dict.fromkeys(one.title for one in day))
    return Prompt(user_id=first.user_id, ts_ms=first.ts_ms, digest=first.digest, wanted=wanted)
