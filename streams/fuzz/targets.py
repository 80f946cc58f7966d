"""The laws: a reader of foreign bytes gives what it documents, or one of the errors that seren raises on purpose.

Each target takes any bytes and says what became of them; it raises `BrokenLaw`, or whatever the reader under test raised
without meaning to. Where there is a writer, what was read is written, read again and must be the same.
Knows nothing about where the bytes come from, nor how time and memory are bounded: who calls does that.
"""

from __future__ import annotations

import lzma
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from backports import zstd

from models.catalogue import Catalogue
from models.combine import CombinePolicy
from models.errors import DecodeError, SerenError
from models.judging.policy import JudgePolicy
from models.pretrained import serengpt_folder
from models.profiles import PROFILE_BYTES, ProfilePolicy, decode, encode, unpack
from models.profiles.inference import fold, shown, shown_sum
from models.profiling.answers import parse_answer
from models.profiling.approval import approve
from models.profiling.policy import ApprovalPolicy, RelevancePolicy
from models.profiling.relevance import Relevance
from models.serengpt.prompt import TITLE_TOKENS
from models.serengpt.tokens import SPECIAL_TOKENS, TitleTokenizer
from streams import codec
from streams.config import PREFIX, load_settings, masked
from streams.fuzz.samples import INFERRED, JOURNEY_TABLES, SLATES, TILL_HEADER
from streams.importers.complete_journey import import_complete_journey
from streams.importers.online_retail import import_online_retail
from streams.importers.tables import DroppedRows, read_table
from streams.observability.tracing import context_of, headers_of
from streams.recorded.logs import LINE_BYTES, RecordedLog, read_lines
from streams.scores.log import ScoreLog
from streams.scores.record import Imagined, ScoredTitles, address_of, checksum_of, decode_record, encode_record
from streams.slates.packed import decode_slate, encode_slate
from streams.state import decode_profile_state, encode_profile_state
from streams.verdicts.lines import Line
from streams.verdicts.wire import Answer, JudgedLines, combined

Target = Callable[[bytes], str]
ACCEPTED = "accepted"
# Characters of any message: a cut text from outside, the names and bounds around it, and a path (which is the caller's).
MESSAGE_CHARS = 1_000
_FOLDERS = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a disk would take 4 ms for each input


class BrokenLaw(AssertionError):
    """A reader kept none of its promises about these bytes."""


def outcome(target: str, data: bytes) -> str:
    """What became of `data`: `accepted`, or the error that refused it.

    Raises:
        BrokenLaw: a promise is broken; any other error is one that the reader should not have raised.
    """
    try:
        return TARGETS[target](data)
    except SerenError as error:
        message = str(error)
        _hold(0 < len(message) <= MESSAGE_CHARS, f"a message of {len(message)} characters")
        return f"{type(error).__name__}: {message}"


def _hold(is_kept: bool, law: str) -> None:
    if not is_kept:
        raise BrokenLaw(law)


def _wire(read: Callable[[bytes], Any]) -> Target:
    def target(data: bytes) -> str:
        entity = read(data)
        _hold(read(codec.encode(entity)) == entity, "what was written reads as something else")
        return ACCEPTED

    return target


def _request(data: bytes) -> str:
    """As a judging worker reads it: the record, then the profile in it."""
    packed = codec.decode_request(data)
    _hold(codec.decode_request(codec.encode_request(packed)) == packed, "what was written reads as something else")
    unpack(packed, Catalogue([]), ProfilePolicy())
    return ACCEPTED


def _question(data: bytes) -> str:
    """As a profiling worker reads it: the record, then the profile in it."""
    question = codec.decode_question(data)
    _hold(codec.decode_question(codec.encode_question(question)) == question, "what was written reads as something else")
    profile = decode(question.profile)
    shown(profile, question.as_of_ms, ProfilePolicy())
    return ACCEPTED


def _folded(data: bytes) -> str:
    """An answer, and a profile whose question it claims to answer: whatever it says, the profile stays within its bound."""
    answer = codec.decode_answer(data)
    _hold(codec.decode_answer(codec.encode(answer)) == answer, "what was written reads as something else")
    profile, policy = decode(INFERRED), ProfilePolicy()
    if profile.inference is not None:
        profile.inference.shown_sum = shown_sum(answer.asked_ms, answer.shown)
    fold(profile, answer, 1, policy)
    written = encode(profile)
    _hold(len(written) <= PROFILE_BYTES, f"a profile of {len(written)} bytes")
    _hold(encode(decode(written)) == written, "what was written reads as something else")
    return ACCEPTED


def _model_text(data: bytes) -> str:
    """What a language model wrote, then what is approved of it."""
    parsed = parse_answer(data.decode(errors="replace"))
    found = approve(parsed.candidates, [], {}, ApprovalPolicy(), Relevance(RelevancePolicy()))
    _hold(found.tags == (), "a tag without evidence was approved")
    return ACCEPTED


def _slate(data: bytes) -> str:
    _hold(encode_slate(decode_slate(data)) == data, "one slate has two forms")
    return ACCEPTED


def _sealed_slate(data: bytes) -> str:
    """With the right checksum, so that what lies behind it is reached."""
    return _slate(data + zlib.crc32(data).to_bytes(4, "big"))


def _changed_slate(data: bytes) -> str:
    """Changes of a valid slate, three bytes each (place, place, byte): the checksum must tell."""
    whole = SLATES[len(data) % len(SLATES)]
    changed = bytearray(whole)
    for high, low, byte in zip(data[::3], data[1::3], data[2::3], strict=False):
        changed[(high << 8 | low) % len(changed)] ^= byte
    if bytes(changed) == whole:
        return ACCEPTED
    decode_slate(bytes(changed))
    message = "a changed slate was read as if nothing had happened"
    raise BrokenLaw(message)


def _profile(data: bytes) -> str:
    written = encode(decode(data))
    _hold(encode(decode(written)) == written, "a profile changes each time it is written")
    return ACCEPTED


def _stored_profile(data: bytes) -> str:
    state = decode_profile_state(data)
    _hold(decode_profile_state(encode_profile_state(state)) == state, "a state changes when it is written")
    return _profile(state.profile)


def _score_record(data: bytes) -> str:
    """A record of the score log: what is believed is under its own address, in a memory that keeps its bound."""
    record = decode_record(data)
    written = encode_record(record)
    _hold(decode_record(written, key=record.address.encode()) == record, "a record changes when it is written")
    log = ScoreLog(cache_bytes=len(data) + 1_000)
    _hold(log.read(data) and log.entry_bytes <= len(data) + 1_000, "a believed record is not kept, or over the bound")
    if isinstance(record, Imagined):
        _hold(log.imagined(record.address) == record.titles, "titles are not found again")
    else:
        _hold(log.scored(record.place) == dict(record.scored()), "scores are not found again")
    return ACCEPTED


def _addressed_record(data: bytes) -> str:
    """A record whose address and checksum are put right: what lies behind the check of them is reached."""
    try:
        found = msgspec.json.decode(data)
        verb = found.pop("verb")
        kind = {"imagine": Imagined, "score": ScoredTitles}[verb]
        record = msgspec.convert(found | {"address": "0" * 32, "checksum": "0" * 16}, kind, strict=True)
        record = msgspec.structs.replace(record, address=address_of(record))
        value = msgspec.json.encode(msgspec.structs.replace(record, checksum=checksum_of(record)))
    except (ValueError, RecursionError, AttributeError, LookupError, TypeError, OverflowError) as error:
        message = f"no record: {type(error).__name__}"
        raise DecodeError(message) from error
    return _score_record(value)


def _key(data: bytes) -> str:
    _hold(codec.decode_key(data, "user_id").encode() == data, "a key is another's")
    return ACCEPTED


def _traceparent(data: bytes) -> str:
    """A header's value; one that is no trace context is ignored."""
    context = context_of([("traceparent", data)])
    _hold(context_of(headers_of(context)) == context, "a trace context changes on its way")
    return ACCEPTED


def _config_file(data: bytes) -> str:
    with _file("seren.toml", data) as path:
        masked(load_settings(path, {}))
    return ACCEPTED


def _config_variables(data: bytes) -> str:
    """Lines of `NAME=value`, the prefix left out."""
    lines = (line.partition("=") for line in data.decode(errors="replace").split("\n"))
    masked(load_settings(None, {PREFIX + name: value for name, _, value in lines}))
    return ACCEPTED


def _lines(data: bytes, name: str) -> str:
    with _file(name, data) as path:
        for number, (told, line) in enumerate(read_lines(path), start=1):
            _hold(told == number, "a line has another's number")
            _hold(len(line) <= LINE_BYTES + 1 and b"\n" not in line, "a line is no line")
    return ACCEPTED


def _about(data: bytes) -> str:
    with _file("about.json", data) as path:
        _ = RecordedLog(path.parent).about
    return ACCEPTED


def _table(data: bytes, name: str) -> str:
    with _file(name, data) as path:
        for row in read_table(path, ("a", "b"), DroppedRows()):
            _hold(len(row.cells) == 2, "a row has other cells than were asked for")
    return ACCEPTED


def _till(data: bytes) -> str:
    with _file("till.csv", TILL_HEADER + data) as path:
        import_online_retail(path, path.parent / "log")
        return _whole(path.parent / "log")


def _journey(data: bytes) -> str:
    """The first byte says to which of the tables the rest is added."""
    names = sorted(JOURNEY_TABLES)
    chosen = names[data[0] % len(names)] if data else ""
    with _file("unused", b"") as path:
        for name, rows in JOURNEY_TABLES.items():
            (path.parent / f"{name}.csv").write_bytes(rows + (data[1:] if name == chosen else b""))
        import_complete_journey(path.parent, path.parent / "log")
        return _whole(path.parent / "log")


def _whole(folder: Path) -> str:
    """Holds what an importer wrote against the bounds of the topics."""
    log = RecordedLog(folder)
    for lines, read in ((log.events(), codec.decode_event), (log.items(), codec.decode_item)):
        deque((read(line) for _, line in lines), maxlen=0)
    _hold(sum(1 for _ in log.users()) == log.about.users, "users are missing")
    return ACCEPTED


def _title(data: bytes) -> str:
    """A text into the prompt, and token ids (two bytes each) as an answer out of it."""
    tokenizer = _tokenizer()
    ids = tokenizer.encode(data.decode(errors="replace")[:512], TITLE_TOKENS)
    _hold(len(ids) <= TITLE_TOKENS and min(ids, default=len(SPECIAL_TOKENS)) >= len(SPECIAL_TOKENS), "a delimiter got in")
    answer = tokenizer.decode([(high << 8 | low) % tokenizer.size for high, low in zip(data[::2], data[1::2], strict=False)])
    _hold(answer.isprintable() or "<|" not in answer, "a delimiter got out")
    return ACCEPTED


def _pair(data: bytes) -> str:
    """One line for `seren judge`, without SerenGPT."""
    (answer,) = JudgedLines(None, JudgePolicy()).answers([Line(1, data)])
    found = _answered(answer)
    for name in ("serendipity", "relevance", "unexpectedness"):
        _hold(found[name] is None or 0.0 <= found[name] <= 1.0, f"{name} is no share")
    _hold(found["reason"].isprintable() and len(found["reason"]) <= MESSAGE_CHARS, "a reason is not one readable line")
    return ACCEPTED


def _parts(data: bytes) -> str:
    """One line for `seren combine`."""
    (answer,) = combined([Line(1, data)], CombinePolicy())
    _hold(0.0 <= _answered(answer)["serendipity"] <= 1.0, "serendipity is no share")
    return ACCEPTED


def _answered(answer: Answer) -> dict[str, Any]:
    """What is written for a line; a refusal is raised as the error that it holds."""
    found: dict[str, Any] = msgspec.json.decode(answer.content)
    _hold(b"\n" not in answer.content, "an answer is not one line")
    if answer.error is not None:
        _hold(found.keys() == {"id", "error"}, "a refusal has other fields")
        raise DecodeError(answer.error)
    return found


@cache
def _tokenizer() -> TitleTokenizer:
    return TitleTokenizer.load(serengpt_folder() / "tokenizer.json")


@contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_FOLDERS) as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


TARGETS: dict[str, Target] = {
    "event": _wire(codec.decode_event),
    "item": _wire(codec.decode_item),
    "attributes": _wire(codec.decode_attributes),
    "request": _request,
    "label": _wire(codec.decode_label),
    "question": _question,
    "profile-tags": _folded,
    "model-text": _model_text,
    "slate": _slate,
    "slate-sealed": _sealed_slate,
    "slate-changed": _changed_slate,
    "profile": _profile,
    "profile-stored": _stored_profile,
    "score-record": _score_record,
    "score-addressed": _addressed_record,
    "key": _key,
    "traceparent": _traceparent,
    "config-file": _config_file,
    "config-variables": _config_variables,
    "log": lambda data: _lines(data, "log.jsonl"),
    "log-zstd": lambda data: _lines(data, "log.jsonl.zst"),
    "log-folded": lambda data: _lines(zstd.compress(data), "log.jsonl.zst"),
    "log-about": _about,
    "table": lambda data: _table(data, "table.csv"),
    "table-xz": lambda data: _table(data, "table.csv.xz"),
    "table-folded": lambda data: _table(lzma.compress(data, preset=0), "table.csv.xz"),
    "online-retail": _till,
    "complete-journey": _journey,
    "title": _title,
    "pair": _pair,
    "parts": _parts,
}
