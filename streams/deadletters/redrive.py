"""Dead letters sent back to where their records came from.

The promise: **a record that failed once is applied at most once again, however often and however far `redrive` runs.** Three
things hold it up.

1. What is sent carries its origin, the place of the record that failed, in a header (`streams.marks`), and goes to the very
   partition that it came from.
2. Of one origin, the owner of that partition applies only the first record in the log. Where that one lies is noted in Redis
   before a checkpoint passes it, so it is so after a crash, too (`ProfilesWorker`). Requests need no note: their slates are
   fenced. Nor do questions for a language model: a profile takes one answer to each.
3. Redrive notes what it has sent, after the broker has it. A run that dies between the two sends again, which 2 makes
   harmless; any other run passes over what is noted.

What it cannot know: whether the record was applied *and* buried. That can happen when its owner died within one checkpoint,
after the letter was sent, and its heir could use the record (another release, a profile that could be read again). Then only
the profile's memory of its last 16 event ids sees the repetition.

A record that fails again is a letter of its own, with another place and one attempt more. Knows nothing about what is wrong
with the records.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.errors import BrokerError, BrokerUnavailable
from streams import topics
from streams.deadletters.letter import ATTEMPT_HEADER, CUT_HEADER, FORGOTTEN, attempt_of
from streams.marks import REDRIVEN_HEADER, header_of
from streams.observability.tracing import context_of, headers_of
from streams.state import PartitionStore

# Topics whose records are dead-lettered; a letter that names another one is not followed.
ORIGINS = frozenset({topics.EVENTS, topics.ATTRIBUTES, topics.REQUESTS, topics.PROFILING, topics.PROFILE_TAGS})
_BATCH = 500  # letters between two notes: what a run that dies sends again at most

Fate = Literal["sent", "repeated", "cut", "exhausted", "forgotten", "unusable"]
FATES: dict[Fate, str] = {
    "sent": "sent back (with --dry-run: would be)",
    "repeated": "was sent back before",
    "cut": "key or value was too long for a letter; its whole is only at its origin",
    "exhausted": "failed in --max-attempts attempts",
    "forgotten": "of a user who was forgotten since",
    "unusable": "does not say where it came from, or that place is no more",
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which letters to send back; None chooses all. Times are when the letter was written, in ms since 1970."""

    error: str | None = None
    user_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None
    max_attempts: int = 3  # in all, the first one included: what fails after two redrives needs a person, not a third
    is_forgotten_wanted: bool = False


class Letter(NamedTuple):
    """A dead letter as it lies on its topic."""

    topic: str
    partition: int
    offset: int
    error: str
    attempt: int
    is_cut: bool
    record: Any

    @property
    def origin(self) -> str:
        """The place of the record that failed."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass
class Redriven:
    """What became of the letters that were chosen: by the error's class, then by fate."""

    read: int = 0
    by_class: defaultdict[str, Counter[Fate]] = field(default_factory=lambda: defaultdict(Counter))

    def count(self, fate: Fate) -> int:
        """How many had this fate."""
        return sum(fates[fate] for fates in self.by_class.values())


async def redrive(bootstrap: str, choice: Choice, *, partitions: PartitionStore, dry_run: bool = False) -> Redriven:
    """Sends the chosen letters back, in the order of their topic, up to its end as it is now.

    Args:
        bootstrap: Kafka's address.
        choice: which letters.
        partitions: where is noted what was sent.
        dry_run: tell what would become of them, and send nothing.

    Raises:
        BrokerUnavailable, BrokerError: Kafka is away, or refused a record. All batches before are sent and noted.
        StoreUnavailable: Redis is away; the same.
    """
    done = Redriven()
    async with _connected(bootstrap) as (consumer, producer):
        with _translated(bootstrap):
            there = ORIGINS & await consumer.topics()  # the newest ones may not be made yet
            places = {topic: await producer.partitions_for(topic) for topic in sorted(there)}
            forgotten = await _forgotten(consumer)
            async for records in _all(consumer):
                done.read += len(records)
                batch = _Batch(choice, done, forgotten=forgotten, places=places)
                for record in records:
                    batch.take(record)
                await batch.pass_over_noted(partitions)
                if not dry_run:
                    await batch.send(producer, partitions)
                if choice.limit is not None and done.count("sent") >= choice.limit:
                    break
    return done


class _Batch:
    """Some letters on their way."""

    def __init__(self, choice: Choice, done: Redriven, *, forgotten: dict[bytes, int], places: dict[str, set[int]]) -> None:
        self._choice = choice
        self._done = done
        self._forgotten = forgotten
        self._places = places
        self._wanted: dict[str, Letter] = {}

    def take(self, record: Any) -> None:
        """Takes a letter in if it is chosen and may be sent."""
        letter, choice = _letter(record), self._choice
        error = (header_of(record, "error") or b"?").decode(errors="replace")
        if error == FORGOTTEN or not _is_chosen(record, error, choice):
            return
        fate = self._refusal(letter)
        if letter is None or fate is not None:
            self._done.by_class[error][fate or "unusable"] += 1
        elif letter.origin not in self._wanted:  # an owner that died may have written a letter twice
            self._wanted[letter.origin] = letter

    def _refusal(self, letter: Letter | None) -> Fate | None:
        if letter is None or letter.partition not in self._places.get(letter.topic, ()):
            return "unusable"
        if not letter.record.key and letter.record.value is None:  # Kafka cannot carry it, and it says nothing
            return "unusable"
        if letter.is_cut:
            return "cut"
        if letter.attempt >= self._choice.max_attempts:
            return "exhausted"
        if not self._choice.is_forgotten_wanted and letter.record.offset < self._forgotten.get(letter.record.key or b"", -1):
            return "forgotten"
        return None

    async def pass_over_noted(self, partitions: PartitionStore) -> None:
        """Leaves out what was sent before, then what is over the limit."""
        for number, letters in self._by_partition():
            noted = await partitions.read_redriven(number, [letter.origin for letter in letters])
            for letter in letters:
                if letter.origin in noted:
                    del self._wanted[letter.origin]
                    self._done.by_class[letter.error]["repeated"] += 1
        limit = self._choice.limit
        room = len(self._wanted) if limit is None else max(0, limit - self._done.count("sent"))
        self._wanted = dict(list(self._wanted.items())[:room])
        for letter in self._wanted.values():
            self._done.by_class[letter.error]["sent"] += 1

    async def send(self, producer: AIOKafkaProducer, partitions: PartitionStore) -> None:
        """Sends, then notes."""
        sent = [await _send(producer, letter) for letter in self._wanted.values()]
        await asyncio.gather(*sent)
        for number, letters in self._by_partition():
            await partitions.note_sent(number, [letter.origin for letter in letters])

    def _by_partition(self) -> Sequence[tuple[int, list[Letter]]]:
        found: defaultdict[int, list[Letter]] = defaultdict(list)
        for letter in self._wanted.values():
            found[letter.partition].append(letter)
        return sorted(found.items())


def _is_chosen(record: Any, error: str, choice: Choice) -> bool:
    return (
        (choice.error is None or error == choice.error)
        and (choice.user_id is None or record.key == choice.user_id.encode())
        and (choice.since_ms is None or record.timestamp >= choice.since_ms)
        and (choice.until_ms is None or record.timestamp < choice.until_ms)
    )


def _letter(record: Any) -> Letter | None:
    """The letter in a record; None when it does not say where it came from."""
    topic = (header_of(record, "topic") or b"").decode(errors="replace")
    partition, offset = header_of(record, "partition") or b"", header_of(record, "offset") or b""
    if topic not in ORIGINS or not (partition.isdigit() and offset.isdigit()):
        return None
    error = (header_of(record, "error") or b"?").decode(errors="replace")
    is_cut = header_of(record, CUT_HEADER) is not None
    return Letter(topic, int(partition), int(offset), error, attempt_of(record.headers), is_cut, record)


async def _send(producer: AIOKafkaProducer, letter: Letter) -> asyncio.Future[Any]:
    headers = [
        (REDRIVEN_HEADER, letter.origin.encode()),
        (ATTEMPT_HEADER, str(letter.attempt + 1).encode()),
        *headers_of(context_of(letter.record.headers)),
    ]
    sent: asyncio.Future[Any] = await producer.send(
        letter.topic, letter.record.value, key=letter.record.key, partition=letter.partition, headers=headers
    )
    return sent


async def _forgotten(consumer: AIOKafkaConsumer) -> dict[bytes, int]:
    """Where the last letter is that says of a key's user that everything before it is forgotten."""
    found: dict[bytes, int] = {}
    async for records in _all(consumer):
        for record in records:
            if record.key is not None and header_of(record, "error") == FORGOTTEN.encode():
                found[record.key] = record.offset
    return found


async def _all(consumer: AIOKafkaConsumer) -> AsyncIterator[list[Any]]:
    """All records from the beginning to the end as it is now, some at a time."""
    await consumer.seek_to_beginning()
    ends = await consumer.end_offsets(consumer.assignment())
    while any([await consumer.position(tp) < end for tp, end in ends.items()]):
        for tp, records in (await consumer.getmany(timeout_ms=500, max_records=_BATCH)).items():
            ours = [record for record in records if record.offset < ends[tp]]
            if ours:
                yield ours


@asynccontextmanager
async def _connected(bootstrap: str) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaProducer]]:
    consumer = AIOKafkaConsumer(
        topics.DEAD_LETTERS, bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    try:
        with _translated(bootstrap):
            await consumer.start()
            await producer.start()
        if not consumer.assignment():
            message = f"topic {topics.DEAD_LETTERS!r} does not exist on {bootstrap}; `seren topics` makes it"
            raise BrokerError(message)
        yield consumer, producer
    finally:
        await consumer.stop()
        await producer.stop()


@contextmanager
def _translated(bootstrap: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        message = f"Kafka at {bootstrap}: {error}"
        raise BrokerUnavailable(message) from error
