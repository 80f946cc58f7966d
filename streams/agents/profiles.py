"""The profile worker: chunks of behaviour events in, checkpoints out. One Faust agent, concurrency 1.

It moves values and decides what an error means; what a record does to a profile is `streams.partition`, what becomes durable
in which order is `streams.checkpoint`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

from faust.types import TP

from models.entities import AttributesForgotten
from models.errors import SerenError, StoreError, StoreUnavailable, Verdict, verdict
from streams import topics
from streams.agents.arrivals import Arrivals, late_count
from streams.agents.clock import Clock
from streams.agents.footing import Footing
from streams.agents.journal import Journal
from streams.agents.limits import ProfilesLimits
from streams.agents.outages import Outages
from streams.checkpoint import PartitionLost, StoreRestarted, admit, checkpoint, take_over
from streams.deadletters.poison import apply_attributes_or_bury, apply_or_bury, withhold, withhold_changes
from streams.deadletters.repeats import without_repeats
from streams.forgetting.partition import forget, leave_blank
from streams.knowledge import Knowledge
from streams.marks import Blank, Forgetting, Part, origins_of, parts_of
from streams.observability.distribution import Distribution
from streams.observability.spans import NoSpans, Spans
from streams.partition import Partition, Rules
from streams.production import Produce
from streams.profiling.inferences import take_answers
from streams.records import Decoded, Record
from streams.state import Checkpoint, PartitionStore, ProfileStore
from streams.transport import Chunk

logger = logging.getLogger(__name__)

Commit = Callable[[Mapping[TP, int]], Awaitable[bool]]


class ProfilesWorker:
    """Owns the partitions that the broker assigns to this process.

    Args:
        knowledge: the catalogue and what was made of it.
        profiles, partitions: the durable state.
        produce: puts records on a topic.
        commit: commits offsets to Kafka.
        rules: what decides; the same in every worker.
        limits: what bounds this worker.
        clock: the machine's.
    """

    def __init__(
        self,
        *,
        knowledge: Knowledge,
        profiles: ProfileStore,
        partitions: PartitionStore,
        produce: Produce,
        commit: Commit,
        rules: Rules,
        limits: ProfilesLimits,
        clock: Clock = time,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.owned: dict[int, Partition] = {}
        self.assigned: frozenset[int] | None = None  # None: before the first assignment, and during a rebalance
        self.outages = Outages(clock, self.counts)
        self.spans: Spans = NoSpans()
        self.event_to_profile_s = Distribution()
        self.event_time_to_profile_s = Distribution()
        self.checkpoint_s = Distribution()
        self._knowledge = knowledge
        self._profiles = profiles
        self._partitions = partitions
        self._produce = produce
        self._commit = commit
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self._lock = asyncio.Lock()
        self._numbers: dict[int, int] = {}
        self._footings: dict[int, Footing] = {}
        self._lost_since_s: dict[int, float] = {}
        self._last_checkpoint_s: dict[int, float] = {}
        self._last_chunk_s: dict[int, float] = {}
        self._applied: Counter[int] = Counter()
        self._since: dict[int, Journal] = {}
        self._arrivals: dict[int, Arrivals] = {}

    # ------------------------------------------------------------------ assignment

    async def take_over(self, assigned: set[TP]) -> dict[TP, int]:
        """Acquires the assigned partitions with new epochs and says where each starts: where its state ends."""
        async with self._lock:
            self.owned.clear()
            self._applied.clear()
            self._lost_since_s.clear()
            starts: dict[TP, int] = {}
            self.assigned = frozenset(tp.partition for tp in assigned if tp.topic == topics.EVENTS)
            for number in sorted(self.assigned):
                try:
                    partition = await self.outages.retrying(
                        partial(self._acquire, number), what=f"take over partition {number}"
                    )
                except PartitionLost as error:
                    self._drop(number, error)
                    continue
                starts |= {TP(topic, number): place for topic, place in partition.places().items()}
            return {tp: start for tp, start in starts.items() if tp in assigned}

    async def _acquire(self, number: int) -> Partition:
        acquired_s = self._clock.monotonic()
        found = await self._partitions.acquire(number, floor=self._epoch_floor())
        partition = self._partition(number, found)
        partition.life = found.life
        await take_over(number, partition, profiles=self._profiles, partitions=self._partitions)
        if await self._partitions.life(number) != partition.life:
            message = f"Redis has restarted while partition {number} was taken over"
            raise StoreUnavailable(message)
        self.owned[number] = partition
        self._numbers[number] = found.number
        self._since[number] = Journal()
        self._last_checkpoint_s[number] = self._last_chunk_s[number] = self._clock.monotonic()
        self._footings[number] = Footing(
            acquired_s=acquired_s,
            durable_s=self._limits.durable_s,
            first=not (found.next_offset or found.next_attribute or found.next_answer),
        )
        self._arrivals[number] = Arrivals(
            self.event_to_profile_s, self.event_time_to_profile_s if self._rules.check_clock else None
        )
        logger.info("partition %d is ours: epoch %d, from offset %d", number, found.epoch, partition.next_offset)
        return partition

    def _partition(self, number: int, found: Checkpoint) -> Partition:
        partition = Partition(
            number,
            epoch=found.epoch,
            next_offset=found.next_offset or 0,
            watermark_ms=found.watermark_ms or 0,
            knowledge=self._knowledge,
            rules=self._rules,
            counts=self.counts,
        )
        partition.next_attribute, partition.next_answer = found.next_attribute, found.next_answer
        return partition

    def _epoch_floor(self) -> int:
        """Seconds since 1970: epochs rise even when Redis has lost the acquisitions before, whose epochs are in requests."""
        return int(self._clock.time())

    async def release(self, revoked: Iterable[TP]) -> None:
        """Before partitions are taken away: one last checkpoint of each, all of them within the rebalance's budget.

        It never fails: what could not be written is read again by the next owner, from the last checkpoint on.
        """
        self.assigned = None
        numbers = sorted({tp.partition for tp in revoked})
        deadline_s = asyncio.get_running_loop().time() + self._limits.release_s
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._lock.acquire()
        except TimeoutError:
            self._abandon(numbers, "a checkpoint is still waiting for Redis or Kafka")
            return
        try:
            for number in numbers:
                await self._release_one(number, deadline_s)
        finally:
            self._lock.release()

    async def _release_one(self, number: int, deadline_s: float) -> None:
        self._lost_since_s.pop(number, None)
        partition = self.owned.get(number)
        if partition is None:
            return
        left_s = max(0.0, deadline_s - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(left_s):
                await self._checkpoint(partition, within_s=left_s)
        except PartitionLost as error:
            logger.warning("%s; let go", error)
            self._count_lost(error)
        except (SerenError, TimeoutError) as error:
            self._abandon([number], str(error) or "time is up")
        self.owned.pop(number, None)

    def _abandon(self, numbers: Iterable[int], why: str) -> None:
        for number in numbers:
            if self.owned.pop(number, None) is not None:
                logger.error(
                    "partition %d is let go without its last checkpoint: %s; its next owner repeats the work", number, why
                )
                self.counts["releases_abandoned"] += 1

    # ------------------------------------------------------------------ records

    async def take(self, chunk: Chunk) -> None:
        """Applies one chunk, and checkpoints its partition when that is due."""
        async with self._lock:
            partition = self.owned.get(chunk.partition)
            if partition is None:
                return  # lost to a newer owner, who reads these records again
            try:
                partition = await self._take_or_start_over(partition, chunk)
                if self._is_due(partition):
                    await self._checkpoint(partition)
            except PartitionLost as error:
                self._drop(partition.number, error)

    async def _take_or_start_over(self, partition: Partition, chunk: Chunk) -> Partition:
        """Applies a chunk; should that fail for a reason that nobody foresaw, again from the last checkpoint, one by one.

        The profile in hand may be half-updated by then, so nothing in memory is trusted any more: it is dropped, and what came
        since the last checkpoint is applied to the stored states, with a copy of each profile at hand. So an event that fails
        costs its own letter and nobody's state.

        Returns:
            The partition that goes on: another object after a start over.

        Raises:
            Exception: what must stop this worker; also whatever fails outside of an event's own update.
        """
        try:
            await self._take_chunk(partition, chunk)
        except Exception as error:
            if verdict(error) is not Verdict.BURY:
                raise
            logger.exception("partition %d starts over from its last checkpoint, one event at a time", chunk.partition)
            fresh = await self._start_over(partition)
            for earlier in (*self._since[chunk.partition], chunk):
                await self._take_singly(fresh, earlier)
            await self._checkpoint(fresh)
            return fresh
        self._since[chunk.partition].add(chunk)
        return partition

    async def _take_chunk(self, partition: Partition, chunk: Chunk) -> None:
        if chunk.topic == topics.PROFILE_TAGS:
            await self._take_answers(partition, chunk)
        elif chunk.topic == topics.ATTRIBUTES:
            records = await self._without_repeats(partition, chunk.records)
            changes = partition.decode_attributes(record for record in records if not isinstance(record, Blank))
            await self._admit(partition, (change.user_id for _, change in changes))
            applied = withhold_changes(partition, changes, chunk.records)
            partition.apply_attributes(applied)
            partition.passed_attributes(chunk.records[-1].offset)
            for _, change in applied:
                if isinstance(change, AttributesForgotten) and change.is_user:
                    leave_blank(partition, change.user_id)
        else:
            for part in parts_of(await self._without_repeats(partition, chunk.records)):
                batch = await self._decode(partition, part)
                watermark_ms = partition.watermark_ms
                partition.apply(withhold(partition, batch, part.records))
                self.counts["late"] += late_count(batch, watermark_ms)
                self._arrivals[partition.number].applied(batch)
                await self._forget(partition, part.forgetting)
            self._last_chunk_s[partition.number] = self._clock.monotonic()
        self._applied[partition.number] += len(chunk.records)

    async def _take_answers(self, partition: Partition, chunk: Chunk, *, singly: bool = False) -> None:
        records = await self._without_repeats(partition, chunk.records)
        await take_answers(partition, records, admit=partial(self._admit, partition), singly=singly)

    async def _take_singly(self, partition: Partition, chunk: Chunk) -> None:
        if chunk.topic == topics.PROFILE_TAGS:
            await self._take_answers(partition, chunk, singly=True)
            return
        if chunk.topic == topics.ATTRIBUTES:
            for record in await self._without_repeats(partition, chunk.records):
                changes = [] if isinstance(record, Blank) else partition.decode_attributes([record])
                await self._admit(partition, (change.user_id for _, change in changes))
                for change in withhold_changes(partition, changes, [record]):
                    apply_attributes_or_bury(partition, change, record)
                    if isinstance(change[1], AttributesForgotten) and change[1].is_user:
                        leave_blank(partition, change[1].user_id)
                partition.passed_attributes(record.offset)
            return
        for record in await self._without_repeats(partition, chunk.records):
            for part in parts_of([record]):
                batch = await self._decode(partition, part)
                for one in withhold(partition, batch, part.records):
                    apply_or_bury(partition, one, record)
                await self._forget(partition, part.forgetting)

    async def _decode(self, partition: Partition, part: Part) -> list[Decoded]:
        batch = partition.decode(part.records)
        await self._admit(partition, partition.strangers(batch))
        return batch

    async def _without_repeats(self, partition: Partition, records: Sequence[Record]) -> Sequence[Record]:
        origins = origins_of(records)
        if not origins:
            return records
        unknown = [origin for origin in dict.fromkeys(origins.values()) if partition.redriven.get(origin) is None]
        noted = await self.outages.retrying(
            partial(self._partitions.read_redriven, partition.number, unknown), what="look up what was redriven"
        )
        return without_repeats(partition, records, origins=origins, noted=noted)

    async def _forget(self, partition: Partition, forgetting: Forgetting | None) -> None:
        if forgetting is not None:
            await self._admit(partition, [forgetting.user_id])
            forget(partition, forgetting)

    async def _start_over(self, partition: Partition) -> Partition:
        """The partition as it was at our last checkpoint, with nothing in memory but what has a timer.

        Raises:
            PartitionLost: somebody has taken it over since.
            StoreError: Redis has restarted since; what we dropped might have been needed to write it again.
        """
        number = partition.number
        self.counts["start_overs"] += 1
        found = await self.outages.retrying(partial(self._partitions.read, number), what="read a checkpoint")
        if found is None or found.epoch != partition.epoch:
            message = f"partition {number}: epoch {partition.epoch} has a successor"
            raise PartitionLost(message)
        fresh = self._partition(number, found)
        fresh.life, fresh.checkpoints = partition.life, partition.checkpoints
        # As at a takeover: until Redis cannot lose them any more, the states that we start from are not all in memory.
        self._footings[number] = Footing(
            acquired_s=self._clock.monotonic(), durable_s=self._limits.durable_s, first=not found.next_offset
        )
        await self.outages.retrying(
            partial(take_over, number, fresh, profiles=self._profiles, partitions=self._partitions),
            what=f"start partition {number} over",
        )
        await self._check_roots(fresh)
        if self.owned.get(number) is partition:  # else it was let go meanwhile, as the old one would have been
            self.owned[number] = fresh
        return fresh

    async def _admit(self, partition: Partition, user_ids: Iterable[str]) -> None:
        users = partition.missing(user_ids)
        if users:
            await self.outages.retrying(lambda: admit(partition, users, profiles=self._profiles), what="claim profiles")
            if len(partition.unreadable) > self._limits.max_unreadable:
                message = (
                    f"partition {partition.number}: {len(partition.unreadable)} stored profiles cannot be read, "
                    f"the bound is {self._limits.max_unreadable}; is this the right Redis?"
                )
                raise StoreError(message)
            if not self._footings[partition.number].rooted:
                await self._check_roots(partition)

    async def _check_roots(self, partition: Partition) -> None:
        """Holds claimed states against our start: both must be of one life of Redis while it may still lose them.

        Raises:
            StoreError: a claimed state may lack events that lie before our start. This process must end before it applies
                more: whoever takes over next starts where what survived ends.
        """
        life = await self.outages.retrying(partial(self._partitions.life, partition.number), what="look at Redis")
        if life != partition.life:
            message = f"Redis has restarted right after the takeover of partition {partition.number}"
            raise StoreError(message)

    # ------------------------------------------------------------------ time

    async def tick(self) -> None:
        """Called about ten times a second: moves a quiet live partition's time on, and checkpoints what is due."""
        async with self._lock:
            for partition in list(self.owned.values()):
                try:
                    self._move_clock(partition)
                    if self._is_due(partition):
                        await self._checkpoint(partition)
                except PartitionLost as error:
                    self._drop(partition.number, error)
            self._check_lost()

    def _check_lost(self) -> None:
        """Whoever takes a partition from its assigned owner causes a rebalance, unless it dies: then nobody has the partition.

        Raises:
            PartitionLost: nobody caused one; this process must end, so that its partitions are assigned anew.
        """
        for number, since_s in self._lost_since_s.items():
            if self._clock.monotonic() - since_s > self._limits.lost_s:
                message = f"partition {number} was lost {self._limits.lost_s:.0f} s ago and no rebalance has come"
                raise PartitionLost(message)

    def _move_clock(self, partition: Partition) -> None:
        """On a live topic, event time goes on while no event comes, so that the last trigger needs no next event."""
        due_ms = partition.next_due_ms()
        if not self._rules.check_clock or due_ms is None:
            return
        quiet_s = self._clock.monotonic() - self._last_chunk_s[partition.number]
        if partition.watermark_ms + int(quiet_s * 1000) >= due_ms:
            # From now on event time is counted from the due time: what has passed until then is used up.
            self._last_chunk_s[partition.number] += max(0, due_ms - partition.watermark_ms) / 1000
            partition.advance(due_ms, arrived_ms=int(self._clock.time() * 1000))

    def _is_due(self, partition: Partition) -> bool:
        number = partition.number
        if self._applied[number] >= self._limits.checkpoint_events:
            return True
        if partition.letter_bytes >= self._limits.checkpoint_letter_bytes:
            return True
        if self._since[number].value_bytes >= self._limits.checkpoint_value_bytes:
            return True
        patience_s = self._limits.checkpoint_s if self._has_changed(partition) else self._limits.idle_s
        return self._clock.monotonic() - self._last_checkpoint_s[number] >= patience_s

    def _has_changed(self, partition: Partition) -> bool:
        return bool(self._applied[partition.number] or partition.dirty or partition.dead_letters)

    async def _checkpoint(self, partition: Partition, within_s: float | None = None) -> None:
        number, begun_s = partition.number, self._clock.monotonic()
        with self.spans.during("checkpoint", {"seren.partition": number, "seren.users": len(partition.dirty)}):
            next_offset = await self.outages.retrying(
                partial(self._try_checkpoint, partition), what=f"checkpoint partition {number}", within_s=within_s
            )
        self._arrivals[number].durable(int(self._clock.time() * 1000))
        self._numbers[number] += 1
        self._applied[number] = 0
        self._since[number].clear()
        self._last_checkpoint_s[number] = self._clock.monotonic()
        self.checkpoint_s.add(self._last_checkpoint_s[number] - begun_s)
        offsets = {TP(topics.EVENTS, number): next_offset}
        if partition.next_attribute:
            offsets[TP(topics.ATTRIBUTES, number)] = partition.next_attribute
        if partition.next_answer:
            offsets[TP(topics.PROFILE_TAGS, number)] = partition.next_answer
        await self._commit(offsets)  # step 6
        self.counts["checkpoints"] += 1
        max_users = max(1, self._limits.max_users // max(1, len(self.owned)))
        partition.redriven.let_go(self._footings[number].durable)
        partition.forgotten.let_go(self._footings[number].durable)
        self.counts["evicted"] += partition.evict(max_users, durable=self._footings[number].durable)

    async def _try_checkpoint(self, partition: Partition) -> int:
        """One try.

        Raises:
            StoreError: Redis has restarted so soon after the takeover that states of the owner before us may be lost, which we
                cannot write again (see `_check_roots`).
        """
        number, footing, begun_s = partition.number, self._footings[partition.number], self._clock.monotonic()
        try:
            next_offset = await checkpoint(
                partition,
                number=self._numbers[number] + 1,
                profiles=self._profiles,
                partitions=self._partitions,
                produce=self._produce,
                ttl_ms=int(self._limits.profile_ttl_days * 86_400_000),
            )
        except StoreRestarted as error:
            self.counts["store_restarts"] += 1
            footing.restarted()
            if footing.rooted:
                partition.restore(error.life)
                raise
            # Not restored: the flush at this process's end must be refused as well.
            message = f"Redis has restarted right after the takeover of partition {number}"
            raise StoreError(message) from error
        footing.held(partition.checkpoints, begun_s=begun_s, ended_s=self._clock.monotonic())
        return next_offset

    def _drop(self, number: int, error: PartitionLost) -> None:
        logger.warning("%s; dropped", error)
        self._count_lost(error)
        self.owned.pop(number, None)
        self._lost_since_s[number] = self._clock.monotonic()

    def _count_lost(self, error: PartitionLost) -> None:
        self.counts["partitions_lost"] += 1
        if error.what:
            self.counts[f"fenced_{error.what}"] += 1

    # ------------------------------------------------------------------ what it tells of itself

    def positions(self) -> dict[TP, int]:
        """The first offset of each owned partition, of every topic that this worker reads, that is not applied."""
        owned = list(self.owned.items())
        return {TP(topic, number): place for number, each in owned for topic, place in each.places().items()}

    def checkpoint_age_s(self, number: int) -> float:
        """Since the partition's last checkpoint, or its takeover."""
        return self._clock.monotonic() - self._last_checkpoint_s.get(number, 0.0)

    def unsaved_s(self, number: int) -> float:
        """For how long changes of the partition have waited for a checkpoint, at most; 0 without changes."""
        partition = self.owned.get(number)
        return self.checkpoint_age_s(number) if partition is not None and self._has_changed(partition) else 0.0

    def unsaved_events(self, number: int) -> int:
        """Records of the partition that are applied and not yet durable."""
        return self._applied[number]
