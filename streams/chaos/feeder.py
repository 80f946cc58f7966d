"""Sends records at a steady pace through a broker that goes away and comes back, and remembers where each one is.

Knows nothing about what a record says.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Producer

from streams.chaos.records import Fed, Kind

_PATIENCE_MS = 300_000  # a record that finds no broker for so long fails the run
_BEHIND_S = 2.0  # of what was held back while the broker was away, so much is caught up at once
_FLUSH_S = 120.0


class Delivered(NamedTuple):
    """A record that the broker has acknowledged, and where it put it. `crc`: of its value, -1 for null."""

    kind: Kind
    topic: str
    partition: int
    offset: int
    key: bytes | None
    crc: int


class Feeder:
    """Sends in a thread of its own until it is stopped.

    Args:
        bootstrap: Kafka's address.
        records: what to send, in this order within a partition.
        per_s: records a second.
    """

    def __init__(self, bootstrap: str, records: Iterator[Fed], *, per_s: float) -> None:
        self.sent: Counter[str] = Counter()
        self.delivered: list[Delivered] = []
        self.failures: list[str] = []
        self._records = records
        self._per_s = per_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,  # its own retries append nothing twice, and keep the order
                "partitioner": "murmur2_random",  # as Java's and aiokafka's: the key decides
                "message.timeout.ms": _PATIENCE_MS,
                "linger.ms": 20,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def start(self) -> None:
        """Begins to send."""
        self._thread.start()

    def stop(self) -> None:
        """Stops sending, then waits as `flush` does."""
        self._stopping.set()
        self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Waits until the broker has acknowledged everything."""
        left = self._producer.flush(_FLUSH_S)
        if left:
            self.failures.append(f"feeder: {left} records were not acknowledged within {_FLUSH_S:.0f} s")

    def send(self, fed: Fed, *, headers: list[tuple[str, str | bytes | None]] | None = None) -> None:
        """One record, now; waits while too many are on their way."""
        place: dict[str, Any] = {} if fed.partition is None else {"partition": fed.partition}
        while True:
            try:
                self._producer.produce(
                    fed.topic,
                    value=fed.value,
                    key=fed.key,
                    headers=headers,
                    on_delivery=lambda error, message: self._note(fed, error, message),
                    **place,
                )
                break
            except BufferError:
                self._producer.poll(0.1)
        self.sent[fed.kind] += 1

    def _run(self) -> None:
        begun_s, count = time.monotonic(), 0
        while not self._stopping.is_set():
            now_s = time.monotonic()
            due = int((now_s - begun_s) * self._per_s) - count
            if due > self._per_s * _BEHIND_S:
                begun_s, count, due = now_s - _BEHIND_S, 0, int(self._per_s * _BEHIND_S)
            try:
                for _ in range(due):
                    self.send(next(self._records))
            except KafkaException as error:
                self.failures.append(f"feeder: {error}")
                return
            count += due
            self._producer.poll(0.02)

    def _note(self, fed: Fed, error: Any, message: Any) -> None:
        if error is not None:
            self.failures.append(f"feeder: {fed.kind} for {fed.topic}: {error}")
            return
        crc = -1 if fed.value is None else zlib.crc32(fed.value)
        self.delivered.append(Delivered(fed.kind, fed.topic, message.partition(), message.offset(), fed.key, crc))
