"""The memory of the score log: answers by the place they are found at, bounded in bytes, least recently used first out.

It keeps records as their bytes: that is a third of what the same answers take as objects, and what they take is known. New
answers wait here until whoever owns the topic or the file takes them. Knows nothing about engines, topics and files.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection
from threading import Lock

import msgspec

from models.errors import DecodeError
from models.serengpt.engine import Scored
from streams.production import Outgoing
from streams.scores.record import Imagined, Record, ScoredTitles, decode_record, encode_record

_RECORD_OVERHEAD_BYTES = 400  # of the two dictionaries' entries, the names and the bytes' own header, measured on CPython 3.11
_imagined = msgspec.json.Decoder(Imagined)
_scored = msgspec.json.Decoder(ScoredTitles)


class ScoreLog:
    """Answers that are known; may be used by several threads.

    Attributes:
        counts: `{imagine,score}_{hits,misses}` (a score's are titles), `evicted`, `refused`, `unsound`, `unsent`.
        entry_bytes: what the answers in memory take.
        last_refusal: why the last record was not believed.

    Args:
        cache_bytes: bound of the memory.
        pending_bytes: bound of what waits; 0: nothing waits.
    """

    def __init__(self, *, cache_bytes: int, pending_bytes: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self.entry_bytes = 0
        self.last_refusal = ""
        self._cache_bytes = cache_bytes
        self._pending_bytes = pending_bytes
        self._places: OrderedDict[str, dict[str, bytes]] = OrderedDict()
        self._pending: OrderedDict[str, bytes] = OrderedDict()
        self._waiting_bytes = 0
        self._lock = Lock()

    @property
    def record_count(self) -> int:
        """Records in memory."""
        with self._lock:
            return sum(map(len, self._places.values()))

    def imagined(self, address: str) -> tuple[str, ...] | None:
        """The titles of one `imagine`; None where they are not known."""
        value = self._at(address).get(address)
        return None if value is None else _imagined.decode(value).titles

    def scored(self, place: str, titles: Collection[str] | None = None) -> dict[str, Scored]:
        """The titles, of these or of all, whose scores after the prompt of `place` are known."""
        wanted = None if titles is None else set(titles)
        found: dict[str, Scored] = {}
        for value in self._at(place).values():
            found.update((title, one) for title, one in _scored.decode(value).scored() if wanted is None or title in wanted)
        return found

    def add(self, record: Record) -> None:
        """Keeps a new answer, and lets it wait for whoever writes the log down."""
        try:
            value = encode_record(record)
        except DecodeError as error:
            self._refuse("unsound", error)
            return
        self._keep(record, value)
        with self._lock:
            if self._pending_bytes and self._pending.setdefault(record.address, value) is value:
                self._waiting_bytes += len(value)
            while self._waiting_bytes > self._pending_bytes:
                self._waiting_bytes -= len(self._pending.popitem(last=False)[1])
                self.counts["unsent"] += 1

    def read(self, value: bytes, *, key: bytes | None = None) -> bool:
        """Takes in a record of a topic or file.

        Returns:
            Whether it was believed; if not it is counted, and `last_refusal` says why.
        """
        try:
            record = decode_record(value, key=key)
        except DecodeError as error:
            self._refuse("refused", error)
            return False
        self._keep(record, value)
        return True

    def take(self) -> list[Outgoing]:
        """The answers that wait, oldest first; they wait no longer."""
        with self._lock:
            taken = [Outgoing(address.encode(), value) for address, value in self._pending.items()]
            self._pending.clear()
            self._waiting_bytes = 0
        return taken

    def count(self, name: str, number: int = 1) -> None:
        """Adds to one of the counts."""
        with self._lock:
            self.counts[name] += number

    def _at(self, place: str) -> dict[str, bytes]:
        with self._lock:
            if place not in self._places:
                return {}
            self._places.move_to_end(place)
            return dict(self._places[place])

    def _keep(self, record: Record, value: bytes) -> None:
        with self._lock:
            values = self._places.setdefault(record.place, {})
            self._places.move_to_end(record.place)
            if record.address in values:
                return
            values[record.address] = value
            self.entry_bytes += len(value) + _RECORD_OVERHEAD_BYTES
            while self.entry_bytes > self._cache_bytes and self._places:
                _, oldest = self._places.popitem(last=False)
                self.entry_bytes -= sum(len(one) + _RECORD_OVERHEAD_BYTES for one in oldest.values())
                self.counts["evicted"] += len(oldest)

    def _refuse(self, name: str, error: DecodeError) -> None:
        with self._lock:
            self.counts[name] += 1
            self.last_refusal = str(error)
