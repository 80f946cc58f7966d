"""Quix Streams: profiles as bytes in its state store (RocksDB), with a changelog topic, at least once. All defaults."""

from __future__ import annotations

from typing import Any

from quixstreams import Application, State, message_context

from models.profiles import Profile, decode, encode
from streams.bench.peers.fold import Fold
from streams.bench.peers.task import Tally, task

PATIENCE_S = 30.0  # without a record for this long, the run ends short of its count


def main() -> None:
    """Folds the task's events."""
    given, fold, tally = task(), Fold(), Tally()
    app = Application(
        broker_address=given.kafka,
        consumer_group=given.group,
        auto_offset_reset="earliest",
        state_dir=given.folder,
        loglevel="WARNING",
    )

    def update(value: bytes, key: bytes, _timestamp: int, _headers: Any, state: State) -> None:
        tally.start()
        stored = state.get_bytes("profile")
        profile = fold(Profile() if stored is None else decode(stored), value, message_context().offset)
        state.set_bytes("profile", encode(profile))
        tally.add(key, profile.events)

    events = app.dataframe(app.topic(given.topic, key_deserializer="bytes", value_deserializer="bytes"))
    events.update(update, stateful=True, metadata=True)
    app.run(count=given.events, timeout=PATIENCE_S, collect=False)  # ends with a checkpoint
    tally.stop()


if __name__ == "__main__":
    main()
