"""Every error that seren raises on purpose, and what its catcher should do.

    SerenError
    ├── DecodeError            bytes that are no valid event, item, request or slate   -> dead-letter, count, go on
    │   └── UnknownVersion     a record of ours of a version that this build cannot read
    ├── UnreadableProfile      the stored profile of an event's user cannot be read    -> dead-letter the event
    ├── RequestError           one request could not be answered                       -> dead-letter it, keep its batch
    │   ├── MalformedAnswer    the model's text could not be parsed; carries the text
    │   └── UnsoundAnswer      the model's scores are not finite                -> a lower tier answers, if there is one
    ├── EngineError            SerenGPT's engine
    │   ├── EngineOverloaded   retriable; carries `retry_after_s`
    │   ├── EngineHung         did no work for too long; it was replaced
    │   ├── EngineLost         retriable: its server died; the next call starts another one
    │   └── EngineDead         fatal: let the process end and be restarted
    ├── StoreError
    │   └── StoreUnavailable   retriable: Redis is away, nothing may be acknowledged meanwhile
    ├── BrokerError
    │   └── BrokerUnavailable  retriable: Kafka is away
    ├── LogError               a recorded log or data set cannot be read
    ├── CheckpointError        a model folder is missing, corrupt or of another architecture
    ├── JudgeRefused           a judge is below its bounds against people's labels, and is not used
    └── ConfigError            only at start; names the key, the value and the bound

What a worker does about an error is decided in one place, `verdict`:

    error                                               verdict   what happens
    retriable ones: Redis, broker or engine away        retry     pause, back off, try again until it works; counted
    DecodeError, RequestError, UnreadableProfile        bury      this record to `seren-deadletter`, at once; the rest goes on
    EngineError, anything unforeseen (a bug)            bury      the same, after a bounded number of tries of it alone
    a bug while a question is made                      -         this user is not asked about now; logged and counted
    UnknownVersion: a newer release wrote it            stop      the process ends loudly and loses nothing: a release that
                                                                  was rolled back must not bury what the newer one can read
    EngineDead, StoreError, BrokerError, lost           stop      as above: no other record would fare better
    partitions, MemoryError, every other SerenError

A judging worker with tiers below SerenGPT (`models.tiers`) buries nothing and does not stop for the engine's errors: whoever
the engine failed is answered by the next tier.
"""

from __future__ import annotations

from enum import Enum

# Characters of a foreign text that a message repeats: its beginning, which says what it was, and its end, which says where.
_TEXT_HEAD, _TEXT_TAIL = 160, 80


def brief(text: str) -> str:
    """A text for a message; of a long one the beginning and the end, so that no input makes a message grow.

    Example:
        >>> brief("short"), len(brief("x" * 1_000_000))
        ('short', 243)
    """
    return text if len(text) <= _TEXT_HEAD + _TEXT_TAIL else f"{text[:_TEXT_HEAD]}...{text[-_TEXT_TAIL:]}"


class SerenError(Exception):
    """Base of all errors below."""

    retriable = False


class DecodeError(SerenError):
    """Bytes from outside break the schema or a bound; the message names the field, the value and the bound."""


class UnknownVersion(DecodeError):
    """A well-formed record of a version that this build does not know."""


class UnreadableProfile(SerenError):
    """The stored profile of an event's user cannot be read; the message names the user and what is wrong with the bytes."""


class RequestError(SerenError):
    """One request failed for a reason of its own; its batch mates are unaffected."""


class MalformedAnswer(RequestError):
    """The model answered with text that is not an answer.

    Args:
        text: what the model wrote; the first 200 characters are kept.
    """

    def __init__(self, message: str, text: str) -> None:
        super().__init__(message)
        self.text = text[:200]


class UnsoundAnswer(RequestError):
    """The model's scores are not finite: its weights or its device are broken, not the request."""


class EngineError(SerenError):
    """SerenGPT's engine failed for a whole call."""


class EngineOverloaded(EngineError):
    """The engine cannot take more now.

    Args:
        retry_after_s: seconds after which a retry is worth while.
    """

    retriable = True

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineHung(EngineError):
    """The engine moved nothing for too long while it had work; the next call gets a new one."""


class EngineLost(EngineError):
    """The engine's server died and took its requests along; the next call gets another one."""

    retriable = True


class EngineDead(EngineError):
    """The engine will not come back within this process."""


class StoreError(SerenError):
    """Redis answered with an error that a retry does not cure."""


class StoreUnavailable(StoreError):
    """Redis is away or loading."""

    retriable = True


class BrokerError(SerenError):
    """Kafka answered with an error that a retry does not cure."""


class BrokerUnavailable(BrokerError):
    """Kafka is away."""

    retriable = True


class LogError(SerenError):
    """A recorded log or data set cannot be read; the message names the file and the line."""


class CheckpointError(SerenError):
    """A model folder is missing a file, is corrupt, or holds another architecture."""


class JudgeRefused(SerenError):
    """A judge does not reach its bounds on people's labels; the message names the metric, the value and the bound."""


class ConfigError(SerenError):
    """A configuration key or value is wrong; the message names the key, the value and the bound."""


class Verdict(Enum):
    """What becomes of the record in hand."""

    RETRY = "retry"
    BURY = "bury"
    STOP = "stop"


def verdict(error: Exception) -> Verdict:
    """What to do about an error that came up with one record, or one request, in hand.

    Example:
        >>> verdict(StoreUnavailable("away")), verdict(UnknownVersion("version 2")), verdict(KeyError("a bug"))
        (<Verdict.RETRY: 'retry'>, <Verdict.STOP: 'stop'>, <Verdict.BURY: 'bury'>)
    """
    if isinstance(error, SerenError) and error.retriable:
        return Verdict.RETRY
    if isinstance(error, UnknownVersion | EngineDead | MemoryError):
        return Verdict.STOP
    if isinstance(error, SerenError) and not isinstance(error, DecodeError | UnreadableProfile | RequestError | EngineError):
        return Verdict.STOP
    return Verdict.BURY
