"""How often SerenGPT is asked, beside scoring on every event, and whether anybody's slate is older than was promised.

Counts of a recorded log, in event time: the same on every machine. Every question counts, also those that a queue would put
together with a newer one about the same user; so these are the most that a judging worker can be asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.profiles import Profile
from models.profiles.window import NO_VISIT
from models.trigger import TriggerPolicy
from streams import codec
from streams.bench.figures import Figure
from streams.bench.profiles import knowledge_of
from streams.bench.workload import Workload
from streams.partition import Partition


class Asked(NamedTuple):
    """When users were there, by their events, and when they were asked about; by user, in milliseconds of event time."""

    events: Mapping[str, Sequence[int]]
    questions: Mapping[str, Sequence[int]]


def model_calls(work: Workload) -> list[Figure]:
    """The workload's questions per event, and who was past the freshness bound."""
    asked = questions_of(work)
    policy = work.rules.trigger
    events = len(work.routed)
    questions = sum(len(times) for times in asked.questions.values())
    late = sum(
        past_bound(times, asked.questions.get(user_id, ()), policy) > 0 for user_id, times in sorted(asked.events.items())
    )
    hours, minutes = policy.slate_age_s / 3600, _grace_ms(policy) // 60_000
    bound = f"a slate at most {hours:.0f} h old, or asked about within {minutes} min, whenever its user was there"
    rows = [
        ("questions", "per 1,000 events", 1_000 * questions / events, "each is one set of titles and one of scores"),
        ("fewer than scoring on every event", "times", events / questions, "a model that scores a user's items at each event"),
        ("users past their freshness bound", "users", late, f"of {len(asked.events):,}: {bound}"),
    ]
    return [Figure(name=name, unit=unit, what=what, n=events, runs=(float(value),)) for name, unit, value, what in rows]


def questions_of(work: Workload) -> Asked:
    """Runs the workload through its partitions, one event at a time, so that no question hides another."""
    events: defaultdict[str, list[int]] = defaultdict(list)
    questions: defaultdict[str, list[int]] = defaultdict(list)
    knowledge = knowledge_of(work)
    records = defaultdict(list)
    for number, record in work.routed:
        records[number].append(record)
    for number in sorted(records):
        partition = Partition(number, epoch=1, next_offset=0, watermark_ms=0, knowledge=knowledge, rules=work.rules)
        batch = partition.decode(records[number])
        for user_id in partition.missing(one.event.user_id for one in batch if one.event is not None):
            partition.admit(user_id, Profile())
        for one in batch:
            partition.apply([one])
            if one.event is not None and one.event.type not in NO_VISIT:
                events[one.event.user_id].append(one.event.ts_ms)
            _collect(partition, questions)
        partition.advance(work.last_ms + _grace_ms(work.rules.trigger))
        _collect(partition, questions)
    return Asked(events, questions)


def past_bound(events: Sequence[int], questions: Sequence[int], policy: TriggerPolicy) -> int:
    """How many of a user's events found a slate that was too old, with no question on its way.

    Args:
        events: their times in milliseconds.
        questions: as-of times, ascending.
        policy: how old a slate may be, and how long a trigger may wait.
    """
    oldest_ms, grace_ms = int(policy.slate_age_s * 1000), _grace_ms(policy)
    missed = 0
    for ts_ms in events:
        place = bisect_left(questions, ts_ms - oldest_ms)
        missed += place == len(questions) or questions[place] > ts_ms + grace_ms
    return missed


def _grace_ms(policy: TriggerPolicy) -> int:
    """The longest that a trigger waits: for its user to pause, and for the cool-down of the question before it."""
    return int(max(policy.max_wait_s, policy.cool_down_s) * 1000)


def _collect(partition: Partition, questions: defaultdict[str, list[int]]) -> None:
    for user_id, fired in partition.requests.items():
        questions[user_id].append(codec.decode_request(fired.request).as_of_ms)
    partition.requests.clear()
