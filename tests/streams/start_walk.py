"""Run by test_start.py: a worker of a kind (argv[1]) as the command line runs it, but without items and without a model.

Its settings come from the environment. Faust touches the event loop, the signals and the log, so it has a process of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from faust import SASLCredentials
from faust.types.auth import SASLMechanism

from models.catalogue import Catalogue
from streams.app import judging_app, profiles_app, profiling_app
from streams.config import Settings, load_settings
from streams.knowledge import Knowledge
from streams.serve import run
from streams.transport import ChunkApp


def unanswered(_: Any) -> Any:
    raise AssertionError("nobody asks")


KINDS: dict[str, Callable[[Settings], ChunkApp]] = {
    "profiles": lambda settings: profiles_app(settings, []),
    "judging": lambda settings: judging_app(settings, unanswered, Catalogue([])),
    "profiling": lambda settings: profiling_app(settings, unanswered, Knowledge([], max_tag_bytes=64)),
}

if __name__ == "__main__":
    app = KINDS[sys.argv[1]](load_settings(None, os.environ))
    if sys.argv[2:] == ["with credentials"]:
        app.conf.broker_credentials = SASLCredentials(username="u", password="p", mechanism=SASLMechanism.PLAIN)
    run(app, log_level="warning")
