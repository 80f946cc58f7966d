"""What a peer is told on its command line, and the watch that it runs against."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Task:
    """One run of one peer: fold the first `events` events of a topic that is full already."""

    kafka: str
    redis: str
    topic: str
    group: str
    events: int
    folder: Path


def task() -> Task:
    """The task on the command line."""
    parser = argparse.ArgumentParser(description="One run of a peer of the benchmark; prints one line of JSON.")
    parser.add_argument("--kafka", required=True, help="host:port")
    parser.add_argument("--redis", required=True, help="URL")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True, help="a consumer group that nobody else has")
    parser.add_argument("--events", required=True, type=int)
    parser.add_argument("--folder", required=True, type=Path, help="an empty folder for state")
    return Task(**vars(parser.parse_args()))


class Tally:
    """Events folded, by user, with the CPU and wall time from the first of them to the end of the run."""

    def __init__(self) -> None:
        self.events = 0
        self.of_user: dict[bytes, int] = {}
        self._cpu_s = self._wall_s = 0.0

    def add(self, user: bytes, count: int) -> None:
        """Notes one event more, after which the user's profile has `count` of them."""
        self.events += 1
        self.of_user[user] = count

    def start(self) -> None:
        """The first record is there; later calls do nothing."""
        if not self._wall_s:
            self._cpu_s, self._wall_s = cpu_s(), time.monotonic()

    def stop(self) -> None:
        """Everything is folded and, where a peer keeps it, kept: prints what was measured, for the process that asked."""
        found = {
            "events": self.events,
            "in_profiles": sum(self.of_user.values()),
            "users": len(self.of_user),
            "cpu_s": cpu_s() - self._cpu_s,
            "wall_s": time.monotonic() - self._wall_s,
        }
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def cpu_s() -> float:
    """CPU seconds of this process with all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
