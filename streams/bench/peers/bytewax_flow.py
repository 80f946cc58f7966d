"""Bytewax: profiles as the state of `stateful_map`, with recovery: snapshots in SQLite at every epoch (10 s, its default)."""

from __future__ import annotations

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from bytewax.testing import TestingSink

from models.profiles import Profile
from streams.bench.peers.fold import Fold
from streams.bench.peers.task import Tally, task

PARTITIONS = 1  # of the recovery store: one per worker


def main() -> None:
    """Folds the whole topic: a flow that does not tail it ends where it ends."""
    given, fold, tally = task(), Fold(), Tally()

    def update(profile: Profile | None, message: KafkaSourceMessage) -> tuple[Profile, int]:
        tally.start()
        profile = fold(profile or Profile(), message.value, message.offset)
        tally.add(message.key, profile.events)
        return profile, profile.events

    flow = Dataflow("profiles")
    messages = op.input("events", flow, KafkaSource([given.kafka], [given.topic], tail=False))
    by_user = op.key_on("user", messages, lambda message: message.key.decode())
    counts = op.stateful_map("profile", by_user, update)
    op.output("out", op.filter("none", counts, lambda _: False), TestingSink([]))
    init_db_dir(given.folder, PARTITIONS)
    cli_main(flow, recovery_config=RecoveryConfig(given.folder))
    tally.stop()


if __name__ == "__main__":
    main()
