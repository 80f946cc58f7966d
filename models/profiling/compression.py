r"""Behaviour compression (papers.md 2.2): a long history as few lines of text, without loss for the behaviours that are kept.

    2011-06 (purchase x2), 2011-12-05 (cart, purchase) | cake tins pantry design, set of 3 butterfly cutters

Only reliable behaviours are kept. Time is cut into days within the last month, months within the last year, then years. Each
text gets the set of its (time, type, count); texts with equal sets share one line. `parse` reads the lines back into exactly
what went in. A budget of tokens lets whole texts go, the least valuable first, so that no line ever grows by it.

Foreign text cannot leave its place: in a text the characters `\`, `,` and all that end a line are escaped; times and types are
ours. Knows nothing about items, models or tokenizers.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, cast, get_args

from models.entities import EventType
from models.errors import DecodeError, brief
from models.profiles.policy import DAY_MS


def _weights() -> dict[EventType, float]:
    return {"purchase": 1.0, "cart": 0.6, "favourite": 0.6, "search": 0.5, "click": 0.3, "cancel": 0.3, "hide": 0.3}


@dataclass(frozen=True, kw_only=True)
class CompressionPolicy:
    """What is kept of a history, and how time is cut."""

    day_days: int = 30  # by day within the last month
    month_days: int = 365  # by month within the last year, by year before
    # A click is deliberate when the user stayed; one that tells no dwell may have been anything (RecGPT drops such clicks).
    min_dwell_ms: int = 10_000
    # What a behaviour is worth when tokens are short; types that are not here are no reliable behaviour. Taking something back
    # says as much as a click.
    event_weight: dict[EventType, float] = field(default_factory=_weights)
    half_life_days: float = 90.0  # of that worth: a season


class Deed(NamedTuple):
    """One behaviour as it is compressed: `text` is the item's brief, or the query of a search."""

    ts_ms: int
    type: EventType
    text: str


class Kept(NamedTuple):
    """What a line says of a text: a time (`2011`, `2011-12` or `2011-12-05`), a type and the text."""

    time: str
    type: EventType
    text: str


class Compressed(NamedTuple):
    """Lines, and how many behaviours are in them and how many the budget let go."""

    lines: tuple[str, ...]
    kept: int
    dropped: int

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


Signature = tuple[tuple[str, EventType, int], ...]

_TYPES: tuple[EventType, ...] = get_args(EventType)
_TIME = re.compile(r"\d{4}(?:-\d{2}){0,2}", re.ASCII)
_BEHAVIOUR = re.compile(rf"({'|'.join(_TYPES)})(?: x([1-9]\d{{0,8}}))?", re.ASCII)
# What `str.splitlines` takes for the end of a line, and the character that stands for it behind a backslash.
_ENDS = dict(zip("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "nrvf123589", strict=True))
_ESCAPES = {"\\": "\\\\", ",": "\\,"} | {char: f"\\{name}" for char, name in _ENDS.items()}
_MEANT = {escape[1]: char for char, escape in _ESCAPES.items()}
_SPECIAL = re.compile("[" + re.escape("".join(_ESCAPES)) + "]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SEPARATOR = re.compile(r"(?<!\\)((?:\\\\)*), ")


def is_reliable(event_type: EventType, dwell_ms: int | None, policy: CompressionPolicy) -> bool:
    """Whether an event is intentional feedback or a search.

    Example:
        >>> policy = CompressionPolicy()
        >>> is_reliable("purchase", None, policy), is_reliable("click", 3_000, policy), is_reliable("expose", None, policy)
        (True, False, False)
    """
    if event_type == "click":
        return dwell_ms is not None and dwell_ms >= policy.min_dwell_ms
    return event_type in policy.event_weight


def bucket(ts_ms: int, as_of_ms: int, policy: CompressionPolicy) -> str:
    """The time of a behaviour as a line says it.

    Example:
        >>> day = 86_400_000
        >>> now, policy = 15_000 * day, CompressionPolicy()
        >>> [bucket(now - age * day, now, policy) for age in (1, 200, 500)]
        ['2011-01-25', '2010-07', '2009']
    """
    year, month, day = _date(ts_ms // DAY_MS)
    age_ms = as_of_ms - ts_ms
    if age_ms <= policy.day_days * DAY_MS:
        return f"{year:04}-{month:02}-{day:02}"
    return f"{year:04}-{month:02}" if age_ms <= policy.month_days * DAY_MS else f"{year:04}"


def counted(deeds: Iterable[Deed], as_of_ms: int, policy: CompressionPolicy) -> Counter[Kept]:
    """The behaviours as lines can say them, each with how often it came: what `parse` gives back."""
    return Counter(Kept(bucket(deed.ts_ms, as_of_ms, policy), deed.type, deed.text) for deed in deeds)


def compress(
    deeds: Iterable[Deed],
    as_of_ms: int,
    policy: CompressionPolicy,
    *,
    budget: int | None = None,
    count: Callable[[str], int] = len,
) -> Compressed:
    """A history as lines, the line with the newest behaviour last.

    Args:
        deeds: reliable behaviours, in any order; the order changes nothing.
        as_of_ms: event time that ages are taken at.
        policy: how time is cut, and what is worth more.
        budget: most that the text may count; None: all of it.
        count: tokens of a text; it must not fall when lines or texts are added.

    Example:
        >>> deeds = [Deed(86_400_000 * day, "purchase", text) for day, text in ((5, "mug"), (5, "tray"), (6, "mug"))]
        >>> print(compress(deeds, 86_400_000 * 7, CompressionPolicy()).text)
        1970-01-06 (purchase) | tray
        1970-01-06 (purchase), 1970-01-07 (purchase) | mug
    """
    deeds = list(deeds)
    signatures = _signatures(counted(deeds, as_of_ms, policy))
    sizes = {text: sum(times for _, _, times in signature) for text, signature in signatures.items()}
    whole = _lines(signatures)
    if budget is None or count("\n".join(whole)) <= budget:
        return Compressed(tuple(whole), len(deeds), 0)
    order = _by_worth(deeds, as_of_ms, policy)
    least, most = 0, len(order) - 1  # how many of the most valuable texts fit: at least `least`, at most `most`
    while least < most:
        middle = (least + most + 1) // 2
        fits = count("\n".join(_lines({text: signatures[text] for text in order[:middle]}))) <= budget
        least, most = (middle, most) if fits else (least, middle - 1)
    kept = order[:least]
    lines = tuple(_lines({text: signatures[text] for text in kept}))
    held = sum(sizes[text] for text in kept)
    return Compressed(lines, held, len(deeds) - held)


def parse(lines: Iterable[str]) -> Counter[Kept]:
    """What the lines say: the inverse of `compress`.

    Raises:
        DecodeError: a line is none of ours; it names its number.
    """
    found: Counter[Kept] = Counter()
    for number, line in enumerate(lines, start=1):
        times, bar, texts = line.partition(" | ")
        signature = _parse_times(times) if bar else None
        if signature is None:
            message = f"history: line {number} is no line of a history: {brief(line)!r}"
            raise DecodeError(message)
        for text in _split(texts):
            for time, event_type, times_count in signature:
                found[Kept(time, event_type, text)] += times_count
    return found


def uncompressed(deeds: Iterable[Deed]) -> str:
    """The same behaviours one by one, oldest first: what compression is measured against.

    Example:
        >>> uncompressed([Deed(86_400_000, "purchase", "mug")])
        '1970-01-02 purchase | mug'
    """
    ordered = sorted(deeds)
    return "\n".join(
        f"{'{:04}-{:02}-{:02}'.format(*_date(deed.ts_ms // DAY_MS))} {deed.type} | {_escape(deed.text)}" for deed in ordered
    )


@lru_cache(maxsize=8_192)
def _date(day: int) -> tuple[int, int, int]:
    date = datetime.fromtimestamp(min(day, _LAST_DAY) * 86_400, UTC)
    return date.year, date.month, date.day


_LAST_DAY = 2_932_896  # 9999-12-31, past which no calendar of Python's goes


def _signatures(found: Mapping[Kept, int]) -> dict[str, Signature]:
    by_text: defaultdict[str, list[tuple[str, EventType, int]]] = defaultdict(list)
    for kept, times in found.items():
        by_text[kept.text].append((kept.time, kept.type, times))
    return {text: tuple(sorted(entries)) for text, entries in by_text.items()}


def _lines(signatures: Mapping[str, Signature]) -> list[str]:
    """One line for each set of times, in the order of its newest time, then of the whole set."""
    by_signature: defaultdict[Signature, list[str]] = defaultdict(list)
    for text, signature in signatures.items():
        by_signature[signature].append(text)
    ordered = sorted(by_signature, key=lambda signature: (signature[-1][0], signature))
    return [f"{_times(signature)} | {', '.join(map(_escape, sorted(by_signature[signature])))}" for signature in ordered]


def _times(signature: Signature) -> str:
    by_time: defaultdict[str, list[str]] = defaultdict(list)
    for time, event_type, times in signature:
        by_time[time].append(event_type if times == 1 else f"{event_type} x{times}")
    return ", ".join(f"{time} ({', '.join(behaviours)})" for time, behaviours in by_time.items())


def _parse_times(text: str) -> Signature | None:
    entries: list[tuple[str, EventType, int]] = []
    if not text.endswith(")"):
        return None
    for part in text[:-1].split("), "):
        time, opening, behaviours = part.partition(" (")
        if not opening or _TIME.fullmatch(time) is None:
            return None
        for behaviour in behaviours.split(", "):
            match = _BEHAVIOUR.fullmatch(behaviour)
            if match is None:
                return None
            entries.append((time, cast("EventType", match[1]), int(match[2] or 1)))
    return tuple(entries)


def _by_worth(deeds: Iterable[Deed], as_of_ms: int, policy: CompressionPolicy) -> list[str]:
    """The texts, the most valuable first: the sum of their behaviours' weights, halved by age."""
    half_life_ms = policy.half_life_days * DAY_MS
    worth: defaultdict[str, float] = defaultdict(float)
    for deed in sorted(deeds):  # in one order: sums of floats depend on it
        age = max(0.0, (as_of_ms - deed.ts_ms) / half_life_ms)
        worth[deed.text] += policy.event_weight.get(deed.type, 0.0) * 2.0 ** -min(age, 1000.0)
    return sorted(worth, key=lambda text: (-worth[text], text))


def _escape(text: str) -> str:
    return _SPECIAL.sub(lambda match: _ESCAPES[match.group()], text)


def _split(texts: str) -> list[str]:
    parts = _SEPARATOR.sub("\\1\n", texts).split("\n")  # a text's own line ends are escaped
    return [_ESCAPED.sub(lambda match: _MEANT.get(match[1], match[1]), part) for part in parts]
