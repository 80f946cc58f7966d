"""Bytewax: profiles as the state of `stateful`, with recovery: snapshots in SQLite at every epoch (10 s, its default)."""

from __future__ import annotations

from collections.abc import Iterable

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from bytewax.testing import TestingSink

from models.profiles import Profile, decode, encode
from streams.bench.peers.fold import Fold
from streams.bench.peers.task import Tally, task

PARTITIONS = 1  # of the recovery store: one per worker


class _Folding(op.StatefulLogic[KafkaSourceMessage, int, bytes]):  # type: ignore[misc]  # the peers have an environment of their own
    """One user's profile. A snapshot is its bytes, as in our worker: compiled objects cannot be pickled, and are dearer to."""

    def __init__(self, fold: Fold, tally: Tally, resumed: bytes | None) -> None:
        self._fold, self._tally = fold, tally
        self._profile = Profile() if resumed is None else decode(resumed)

    def on_item(self, value: KafkaSourceMessage) -> tuple[Iterable[int], bool]:
        """Folds one event; nothing goes downstream."""
        self._tally.start()
        self._profile = self._fold(self._profile, value.value, value.offset)
        self._tally.add(value.key, self._profile.events)
        return (), self.RETAIN

    def snapshot(self) -> bytes:
        """What recovery keeps."""
        return encode(self._profile)


def main() -> None:
    """Folds the whole topic: a flow that does not tail it ends where it ends."""
    given, fold, tally = task(), Fold(), Tally()
    flow = Dataflow("profiles")
    messages = op.input("events", flow, KafkaSource([given.kafka], [given.topic], tail=False))
    by_user = op.key_on("user", messages, lambda message: message.key.decode())
    folded = op.stateful("profile", by_user, lambda resumed: _Folding(fold, tally, resumed))
    op.output("out", folded, TestingSink([]))
    init_db_dir(given.folder, PARTITIONS)
    cli_main(flow, recovery_config=RecoveryConfig(given.folder))
    tally.stop()


if __name__ == "__main__":
    main()
