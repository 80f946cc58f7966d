"""One partition of behaviour events: records in; profiles, requests, labels and dead letters out. It does no I/O of its own.

This is the whole of a profile worker's thinking, step by step:

    decode(records) -> batch        bytes to events; what cannot be decoded becomes a dead letter
    missing(users)  -> users        whose profiles must be admitted first (from the store, or new)
    apply(batch)                    event time moves on, due triggers fire, each event is folded into its profile;
                                    only now do its offsets count as passed
    snapshot()      -> Snapshot     what has to become durable before these offsets may be committed

Everything here depends on the records and their order alone, never on how they were cut into batches, on the clock, or on when
a checkpoint was taken: that is what makes a replay end in the same bytes. (One exception: a label's digest is left out where
it is not in memory.) It belongs to one worker at a time (`epoch`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import chain, islice
from typing import Final

from models import trigger
from models.entities import (
    AttributeChange,
    AttributesForgotten,
    Digest,
    Event,
    PackedRequest,
    SerendipityLabel,
)
from models.errors import DecodeError, Verdict, verdict
from models.fingerprints import fingerprint
from models.profiles import (
    Profile,
    ProfilePolicy,
    decode,
    digest,
    update,
    update_attributes,
)
from models.profiles.exchange import ProfilingReason, ProfilingRequest
from models.profiles.inference import ask
from models.profiles.policy import day_of
from models.profiles.window import days_before
from models.serendipity import Flags
from models.trigger import TriggerPolicy
from streams import codec, topics
from streams.deadletters.letter import DeadLetter, letter
from streams.kept import Kept
from streams.knowledge import Knowledge
from streams.observability.tracing import context_of
from streams.records import Decoded, Record, check_key, watermark_of
from streams.resident import Resident
from streams.snapshot import Fired, Snapshot

logger = logging.getLogger(__name__)

# Users of a partition; with more, profiles rest as bytes between checkpoints (1.5 KB instead of 13 KB).
MAX_LIVE: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What decides how records become profiles and requests; the same for every partition and every worker."""

    surface: str = "home"
    profile: ProfilePolicy = field(default_factory=ProfilePolicy)
    trigger: TriggerPolicy = field(default_factory=TriggerPolicy)
    check_clock: bool = True  # hold events against the broker's clock; off for replays of old logs
    # A user's first label of a day carries the digest from before it, for training; none when not in memory.
    label_digests: bool = True


class Partition:
    """The state of one assigned partition.

    Args:
        number: the partition.
        epoch: the fence that this owner got when it took the partition over.
        next_offset: the first offset that is not covered by the last checkpoint.
        watermark_ms: event time at that checkpoint.
        knowledge: catalogue and tags.
        rules: thresholds.
        counts: what happened, by name; a worker shares one between its partitions.
    """

    def __init__(
        self,
        number: int,
        *,
        epoch: int,
        next_offset: int,
        watermark_ms: int,
        knowledge: Knowledge,
        rules: Rules,
        counts: Counter[str] | None = None,
    ) -> None:
        self.number = number
        self.epoch = epoch
        self.next_offset = next_offset
        self.watermark_ms = watermark_ms
        self.next_attribute = 0  # the first offset of user attributes that is not applied
        self.next_answer = 0  # and of a language model's tags
        self.life = ""  # of the Redis that holds our states; empty where nobody looks
        self.checkpoints = 0
        self.max_live = MAX_LIVE
        self.residents: dict[str, Resident] = {}  # the one touched longest ago first
        self.dirty: set[str] = set()
        self.requests: dict[str, Fired] = {}
        self.questions: dict[str, bytes] = {}  # for a language model
        self.profile_policy = rules.profile
        self.asks_model = rules.profile.inference.enabled
        self.redriven = Kept[int]()  # origin of a redriven record -> where it lies
        self.forgotten = Kept[int]()  # user -> the offset up to which everything is forgotten
        self.unreadable: dict[str, str] = {}  # users whose stored profiles cannot be read, and what is wrong with them
        self.counts: Counter[str] = Counter() if counts is None else counts
        self.dead_letters: list[DeadLetter] = []
        self.letter_bytes = 0  # of keys and values that wait as dead letters
        self.labels: list[SerendipityLabel] = []
        self.label_contexts: dict[int, bytes] = {}  # of the labels' events, by offset
        self._admitted: list[str] = []  # since profiles were last let rest
        self._contexts: dict[int, bytes] = {}  # of the batch in hand, by offset
        self._timers: list[tuple[int, str]] = []
        self._batches = 0
        self._loose = self._strict = 0  # flags of the batch in hand
        self._knowledge = knowledge
        self._rules = rules
        self._checks_clock = rules.check_clock
        self.surface = rules.surface

    # ------------------------------------------------------------------ records in

    def decode(self, records: Iterable[Record]) -> list[Decoded]:
        """The events of the records; those that are none become dead letters. Offsets already passed are left out."""
        batch: list[Decoded] = []
        next_offset = self.next_offset
        for record in records:
            offset = record.offset
            if offset < next_offset:
                self.counts["redelivered"] += 1
                continue
            next_offset = offset + 1
            try:
                batch.append(self._decode_one(record, offset))
                if record.headers:
                    self._note_context(record)
            except DecodeError as error:
                self.bury(topics.EVENTS, record, error)
                batch.append(Decoded(offset, None, 0, record.timestamp))
        return batch

    def _decode_one(self, record: Record, offset: int) -> Decoded:
        """On a live topic no event moves event time past the broker's clock, which no user sets."""
        value, arrived_ms, event = record.value, record.timestamp, None
        if value is None:
            told_ms = watermark_of(record)
        else:
            event = codec.decode_event(value, clock_ms=arrived_ms if self._checks_clock else None)
            check_key(record, event.user_id)
            told_ms = event.ts_ms
        return Decoded(offset, event, min(told_ms, arrived_ms) if self._checks_clock else told_ms, arrived_ms)

    def _note_context(self, record: Record) -> None:
        context = context_of(record.headers)
        if context:
            self._contexts[record.offset] = context

    def bury(self, topic: str, record: Record, error: Exception) -> None:
        """Lets the next checkpoint put the record on the dead-letter topic."""
        self.counts[f"dead_letters_{type(error).__name__}"] += 1
        self.dead_letters.append(letter(topic, self.number, record, error))
        self.letter_bytes += len(record.key or b"") + len(record.value or b"")

    def strangers(self, batch: list[Decoded]) -> list[str]:
        """The users of a batch whose profiles are not in memory, in order of appearance."""
        residents = self.residents
        found: dict[str, None] = {}
        for one in batch:
            event = one.event
            if event is not None:
                user_id = event.user_id
                if user_id not in residents:
                    found[user_id] = None
        return list(found)

    def missing(self, user_ids: Iterable[str]) -> list[str]:
        """Those of the users whose profiles are not in memory, in order of appearance."""
        residents = self.residents
        return list({user_id: None for user_id in user_ids if user_id not in residents})

    def admit(self, user_id: str, profile: Profile, context: bytes = b"") -> None:
        """Takes a user's stored (or new) profile into memory, with the trace context of its pending trigger."""
        resident = Resident(profile, context)
        resident.touched = self._batches
        self.residents[user_id] = resident
        self._admitted.append(user_id)
        self.unreadable.pop(user_id, None)
        due = trigger.due_ms(profile, self._rules.trigger)
        if due is not None:
            heappush(self._timers, (due, user_id))

    # ------------------------------------------------------------------ events applied

    def apply(self, batch: list[Decoded]) -> None:
        """Folds a batch in; every user in it must have been admitted."""
        self._batches += 1
        residents, timers = self.residents, self._timers
        known = duplicates = applied = 0
        for one in batch:
            self.watermark_ms = max(self.watermark_ms, one.watermark_ms)
            if timers and timers[0][0] <= self.watermark_ms:
                self._fire_due(one.arrived_ms)
            offset, event = one.offset, one.event
            self.next_offset = offset + 1
            if event is None:
                continue
            user_id = event.user_id
            resident = residents[user_id]
            if resident.touched != self._batches:
                resident.touched = self._batches
                del residents[user_id]
                residents[user_id] = resident  # now the last that `evict` comes to
            profile = resident.profile
            name = fingerprint(event.event_id)
            if offset <= profile.offset:
                known += 1
            elif profile.knows_recent(name):
                duplicates += 1
            else:
                self._apply_one(resident, profile, event, user_id, name, offset)
                applied += 1
        self._contexts.clear()
        counts = self.counts
        counts["events"] += applied
        counts["duplicates"] += duplicates
        counts["already_applied"] += known
        counts["related_loose"] += self._loose
        counts["related_strict"] += self._strict
        self._loose = self._strict = 0

    def _apply_one(self, resident: Resident, profile: Profile, event: Event, user_id: str, name: int, offset: int) -> None:
        rules, item, item_id = self._rules, None, event.item_id
        query_tags: tuple[str, ...] = ()
        if item_id is not None:
            item = self._knowledge.features.get(item_id)
            if item is None:
                self.counts["unknown_items"] += 1
        if item is None:
            query = event.query
            if query:
                query_tags = self._knowledge.query_tags.find(query)
        if rules.label_digests:
            self._remember_before(resident, profile, event.ts_ms)
        resident.change()
        flags = update(profile, event, item, query_tags, offset=offset, policy=rules.profile, event_name=name)
        if flags is not None:
            self._loose += flags.related_loose
            self._strict += flags.related_loose and flags.related_strict
            if flags.label:
                self._label(resident, event, offset, flags)
        if trigger.consider(profile, event, rules.trigger):
            heappush(self._timers, (trigger.due_ms(profile, rules.trigger) or 0, user_id))
        if self._contexts and offset in self._contexts and profile.pending is not None:
            resident.context = self._contexts[offset]
        self.dirty.add(user_id)

    def _remember_before(self, resident: Resident, profile: Profile, ts_ms: int) -> None:
        """On a user's first event of a day: the profile as it was; a label's sample must not contain its own basket."""
        if ts_ms < profile.last_ms:
            return
        day = day_of(ts_ms)
        if profile.events and day <= day_of(profile.last_ms):
            return
        window = self._rules.profile.window
        enough = len(days_before(profile, day, window)) >= window.min_visit_days
        resident.before, resident.before_ms = resident.pack() if enough else b"", ts_ms

    def _label(self, resident: Resident, event: Event, offset: int, flags: Flags) -> None:
        item = self._knowledge.catalogue.get(event.item_id or "")
        if item is None:
            return
        self.counts["labels"] += 1
        if offset in self._contexts:
            self.label_contexts[offset] = self._contexts[offset]
        self.labels.append(
            SerendipityLabel(
                event_id=event.event_id,
                user_id=event.user_id,
                item_id=item.item_id,
                title=item.title,
                category=item.leaf,
                ts_ms=event.ts_ms,
                partition=self.number,
                offset=offset,
                channel=event.channel,
                related_strict=flags.related_strict,
                related_loose=flags.related_loose,
                visit_days=flags.visit_days,
                digest=self._digest_before(resident, day_of(event.ts_ms)),
            )
        )

    def _digest_before(self, resident: Resident, day: int) -> Digest | None:
        """The digest from before the day, for its first label; None for the others, and where it is not in memory."""
        if not resident.before or day_of(resident.before_ms) != day:
            return None
        rules, catalogue = self._rules.profile, self._knowledge.catalogue
        found = digest(decode(resident.before), catalogue.get, resident.before_ms, rules)
        resident.before = b""
        return found

    # ------------------------------------------------------------------ time and triggers

    def advance(self, now_ms: int, *, arrived_ms: int = -1) -> None:
        """Moves event time on to `now_ms` and fires the triggers that became due, in the order of their due times."""
        self.watermark_ms = max(self.watermark_ms, now_ms)
        self._fire_due(arrived_ms)

    def _fire_due(self, arrived_ms: int) -> None:
        timers = self._timers
        while timers and timers[0][0] <= self.watermark_ms:
            set_for, user_id = heappop(timers)
            resident = self.residents.get(user_id)
            due = resident.due_ms(self._rules.trigger) if resident else None
            if resident is None or due is None:
                continue
            if due > set_for:
                heappush(timers, (due, user_id))  # later events have moved it
                continue
            try:
                self._fire(user_id, resident, due, caused_ms=arrived_ms)
            except Exception as error:
                if verdict(error) is not Verdict.BURY:
                    raise
                logger.exception("partition %d: a bug keeps the question about user %r from being asked", self.number, user_id)
                self.counts["requests_failed"] += 1
                self.dirty.add(user_id)

    def next_due_ms(self) -> int | None:
        """The earliest time at which a trigger may fire."""
        return self._timers[0][0] if self._timers else None

    def _fire(self, user_id: str, resident: Resident, due_ms: int, *, caused_ms: int) -> None:
        profile = resident.change()
        drift, last_asked_ms = trigger.drift(profile), profile.asked_ms
        reason = trigger.fire(profile, due_ms)
        profiling_reason = ask(profile, due_ms, self._rules.profile) if self.asks_model else None
        request = PackedRequest(
            user_id=user_id,
            surface=self._rules.surface,
            reason=reason,
            as_of_ms=due_ms,
            epoch=self.epoch,
            partition=self.number,
            offset=profile.offset,
            drift=drift,
            last_asked_ms=last_asked_ms,
            profile=resident.pack(),
        )
        self.counts["requests_superseded"] += user_id in self.requests  # the newest wins, before it is sent as well as after
        self.requests[user_id] = Fired(codec.encode_request(request), caused_ms, resident.context)
        resident.context = b""
        self.dirty.add(user_id)
        self.counts[f"requests_{reason}"] += 1
        if profiling_reason is not None:
            self._question(request, profiling_reason)

    def _question(self, request: PackedRequest, reason: ProfilingReason) -> None:
        """A language model is asked about the same profile."""
        question = ProfilingRequest(
            user_id=request.user_id,
            reason=reason,
            as_of_ms=request.as_of_ms,
            epoch=request.epoch,
            partition=request.partition,
            offset=request.offset,
            profile=request.profile,
        )
        self.questions[request.user_id] = codec.encode_question(question)
        self.counts[f"questions_{reason}"] += 1

    # ------------------------------------------------------------------ attributes

    def decode_attributes(self, records: Iterable[Record]) -> list[tuple[int, AttributeChange]]:
        """The changes in the records, with their offsets; those that are none become dead letters."""
        changes: list[tuple[int, AttributeChange]] = []
        for record in records:
            try:
                if record.value is None:
                    is_user = any(name == topics.FORGET_HEADER for name, _ in record.headers)
                    user_id = codec.decode_key(record.key, "user_id")
                    changes.append((record.offset, AttributesForgotten(user_id, is_user)))
                    continue
                change = codec.decode_attributes(record.value)
                check_key(record, change.user_id)
                changes.append((record.offset, change))
            except DecodeError as error:
                self.bury(topics.ATTRIBUTES, record, error)
        return changes

    def apply_attributes(self, changes: Iterable[tuple[int, AttributeChange]]) -> None:
        """Folds changes of user attributes in; every user in them must have been admitted."""
        for offset, change in changes:
            self.passed_attributes(offset)
            profile = self.residents[change.user_id].change()
            if offset <= profile.attributes_offset:
                continue
            if isinstance(change, AttributesForgotten):
                profile.attributes = {}
            else:
                refused = update_attributes(profile, change, max_bytes=self._rules.profile.attribute_bytes)
                self.counts["attributes_refused"] += len(refused)
            profile.attributes_offset = offset
            self.dirty.add(change.user_id)

    def passed_attributes(self, offset: int) -> None:
        """Notes that everything up to this offset of the attributes is applied, or is a dead letter."""
        self.next_attribute = max(self.next_attribute, offset + 1)

    # ------------------------------------------------------------------ checkpoint

    def snapshot(self) -> Snapshot:
        """What must become durable now. Stays the same until `settled`, so that a failed checkpoint is simply tried again."""
        return Snapshot(
            self.next_offset,
            self.watermark_ms,
            sorted(self.dirty),
            list(self.dead_letters),
            list(self.labels),
            sorted(self.requests.items()),
            sorted(self.questions.items()),
        )

    def settled(self, snapshot: Snapshot) -> None:
        """Forgets what a checkpoint has made durable; nothing may have been applied since the snapshot."""
        self.checkpoints += 1
        self.redriven.settled(self.checkpoints)
        self.forgotten.settled(self.checkpoints)
        for user_id in snapshot.users:
            self.residents[user_id].saved = self.checkpoints
        if len(self.residents) > self.max_live:
            for user_id in self.residents.keys() & chain(snapshot.users, self._admitted):  # some are evicted
                self.residents[user_id].rest(self._rules.trigger)
            self._admitted.clear()
        self.dirty.difference_update(snapshot.users)
        del self.dead_letters[: len(snapshot.dead_letters)]
        self.letter_bytes = 0
        del self.labels[: len(snapshot.labels)]
        self.label_contexts.clear()
        self.requests.clear()
        self.questions.clear()

    def restore(self, life: str) -> None:
        """Redis is in a new life and may have lost what we wrote last: the next checkpoint writes all of memory again."""
        self.life = life
        self.redriven.restore()
        self.forgotten.restore()
        residents = self.residents
        gone = {user_id for user_id in self.forgotten.pending if user_id in residents and residents[user_id].profile.is_blank}
        self.dirty.update(residents.keys() - gone)

    def places(self) -> dict[str, int]:
        """The first offset that is not applied, of each topic that this partition reads."""
        found = {topics.EVENTS: self.next_offset, topics.ATTRIBUTES: self.next_attribute}
        return found | {topics.PROFILE_TAGS: self.next_answer} if self.asks_model else found

    def timer_of(self, user_id: str) -> int | None:
        """The durable timer of a user: when its trigger fires, if nothing else happens."""
        return self.residents[user_id].due_ms(self._rules.trigger)

    def evict(self, max_users: int, *, durable: int | None = None) -> int:
        """Lets the users go that were touched longest ago, down to `max_users`; never one with unsaved changes or a timer.

        Args:
            max_users: how many may stay.
            durable: the last of our checkpoints that Redis cannot lose any more; users that a later one wrote stay, because
                only their owner could write them again. None where Redis loses nothing.

        Returns:
            How many went.
        """
        excess = len(self.residents) - max_users
        if excess <= 0:
            return 0
        idle = (
            user_id
            for user_id, resident in self.residents.items()
            if user_id not in self.dirty
            and resident.due_ms(self._rules.trigger) is None
            and self.forgotten.get(user_id) is None  # else Redis might bring back what was there before
            and (durable is None or resident.saved <= durable)
        )
        gone = list(islice(idle, excess))
        for user_id in gone:
            del self.residents[user_id]
        return len(gone)
