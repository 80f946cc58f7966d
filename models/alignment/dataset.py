"""Labels as they came true, made into samples: each once, with its profile, on one side of every cut.

What keeps the parts apart:

* Time. What trains ended before the train end; what tests began at the test's start or later. A visit day that lies across a
  cut belongs to the validation part, for its labels share one profile.
* Users. A user's training samples are all in one half, SFT or IPO: the second half asks about people whose answers the first
  has not seen.
* Repeats. One user and item make one sample, the earliest: what was wanted before is no surprise, and no answer stands in two
  parts.
* Profiles. A sample whose profile holds anything from its own day or later is dropped.

Knows nothing about files or topics.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from models.alignment.records import AlignmentSample, Source, Split
from models.entities import Channel, Digest, SerendipityLabel
from models.profiles.policy import DAY_MS
from models.training.split import TimeSplit

TEST_SHARE = 0.1  # of samples, the newest: papers.md 1.4 (train : test 9 : 1)


class Dataset(Struct, frozen=True, kw_only=True):
    """Samples in the order of time, and how many labels were dropped for which reason."""

    samples: tuple[AlignmentSample, ...]
    split: TimeSplit
    labels: int
    dropped: Mapping[str, int]


def dataset(labels: Iterable[SerendipityLabel], split: TimeSplit | None, *, seed: int) -> Dataset:
    """The samples of labels.

    Args:
        labels: in any order, each at least once, as the topic holds them.
        split: the cuts in time; None: the newest `TEST_SHARE` tests, from the next midnight on, and nothing validates.
        seed: of the halves.

    Returns:
        The same for the same set of labels, whatever their order and repeats.
    """
    dropped: Counter[str] = Counter()
    given = 0
    by_id: dict[tuple[str, str], SerendipityLabel] = {}
    for label in labels:
        given += 1
        if (label.user_id, label.event_id) in by_id:
            dropped["delivered again"] += 1
        _keep_best(by_id, label)
    ordered = sorted(by_id.values(), key=lambda label: (label.ts_ms, label.user_id, label.offset, label.event_id))
    kept = _first_of_each(_with_digests(ordered, dropped), dropped)
    cuts = split or share_split([label.ts_ms for label, _ in kept])
    halves = _halves([label.user_id for label, _ in kept if _part(label.ts_ms, cuts) == "train"], seed)
    samples = tuple(_sample(label, digest, _split_of(label, cuts, halves)) for label, digest in kept)
    return Dataset(samples=samples, split=cuts, labels=given, dropped=dict(dropped))


def share_split(times_ms: Sequence[int], *, test_share: float = TEST_SHARE) -> TimeSplit:
    """A cut at the midnight (UTC) by which the newest share is over; at most that share of the times is after it.

    >>> share_split([0, DAY_MS, DAY_MS + 1, 2 * DAY_MS], test_share=0.3).train_end_ms // DAY_MS
    2
    """
    ordered = sorted(times_ms)
    tested = int(len(ordered) * test_share)
    edge = ordered[-tested] if tested else max(ordered, default=0) + 1
    cut = -(-edge // DAY_MS) * DAY_MS
    if sum(time >= cut for time in ordered) > tested:  # several at that very midnight
        cut += DAY_MS
    return TimeSplit(cut, cut)


def source_of(channel: Channel | None) -> Source:
    """The recommender behind a channel; events that name none come from the ordinary page.

    >>> source_of("serendipity"), source_of("personalised"), source_of(None)
    ('serendipity', 'accuracy', 'accuracy')
    """
    return "serendipity" if channel == "serendipity" else "accuracy"


def _keep_best(by_id: dict[tuple[str, str], SerendipityLabel], label: SerendipityLabel) -> None:
    """Of two deliveries the one with a profile: an owner that took over may have had none in memory."""
    known = by_id.get((label.user_id, label.event_id))
    if known is None or (known.digest is None and label.digest is not None):
        by_id[label.user_id, label.event_id] = label


def _with_digests(labels: Sequence[SerendipityLabel], dropped: Counter[str]) -> list[tuple[SerendipityLabel, Digest]]:
    """Labels with the profile of their visit day, which only the day's first one carries."""
    of_day: dict[tuple[str, int], Digest] = {}
    for label in labels:
        if label.digest is not None:
            of_day.setdefault((label.user_id, label.ts_ms // DAY_MS), label.digest)
    found = []
    for label in labels:
        day = label.ts_ms // DAY_MS
        digest = of_day.get((label.user_id, day))
        if digest is None:
            dropped["without a profile"] += 1
        elif any(behaviour.ts_ms >= day * DAY_MS for behaviour in digest.history):
            dropped["profile knows the day"] += 1
        else:
            found.append((label, digest))
    return found


def _first_of_each(
    labels: Sequence[tuple[SerendipityLabel, Digest]], dropped: Counter[str]
) -> list[tuple[SerendipityLabel, Digest]]:
    seen: set[tuple[str, str]] = set()
    found = []
    for label, digest in labels:
        if (label.user_id, label.item_id) in seen:
            dropped["wanted before"] += 1
            continue
        seen.add((label.user_id, label.item_id))
        found.append((label, digest))
    return found


def _part(ts_ms: int, cuts: TimeSplit) -> str:
    """The part of a visit day as a whole."""
    day_ms = ts_ms // DAY_MS * DAY_MS
    if day_ms + DAY_MS <= cuts.train_end_ms:
        return "train"
    return "test" if day_ms >= cuts.validation_end_ms else "validation"


def _halves(user_ids: Sequence[str], seed: int) -> dict[str, Split]:
    """SFT or IPO for each user: by the users' hashes, each to the half that is smaller so far."""
    counts = Counter(user_ids)
    halves: dict[str, Split] = {}
    sizes: dict[Split, int] = {"sft": 0, "ipo": 0}
    for user_id in sorted(counts, key=lambda one: (_hash(one, seed), one)):
        half: Split = "sft" if sizes["sft"] <= sizes["ipo"] else "ipo"
        halves[user_id] = half
        sizes[half] += counts[user_id]
    return halves


def _hash(text: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}|{text}".encode(), digest_size=8).digest()


def _split_of(label: SerendipityLabel, cuts: TimeSplit, halves: Mapping[str, Split]) -> Split:
    part = _part(label.ts_ms, cuts)
    if part == "train":
        return halves[label.user_id]
    return "test" if part == "test" else "validation"


def _sample(label: SerendipityLabel, digest: Digest, split: Split) -> AlignmentSample:
    return AlignmentSample(
        event_id=label.event_id,
        user_id=label.user_id,
        ts_ms=label.ts_ms,
        item_id=label.item_id,
        title=label.title,
        category=label.category,
        digest=digest,
        source=source_of(label.channel),
        visit_days=label.visit_days,
        split=split,
    )
