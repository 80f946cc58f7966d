"""Trace context through the engine: W3C `traceparent` and `tracestate`, from a behaviour event's headers to its slate.

What travels is one small value, the context: the traceparent, and after a newline the tracestate if there is one. It is taken
from the newest of a user's events since a trigger was set (the event that set it included) that carries one, because a trigger
always fires by its timer and never by an event's own content. It is stored beside the user's state while the trigger waits; so
it survives a restart. An event without the headers stores nothing.

A traceparent that breaks the format is ignored, never an error. Knows nothing about spans (`streams.observability.spans`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PARENT_HEADER = "traceparent"
STATE_HEADER = "tracestate"
STATE_BYTES = 512  # W3C asks for at least this much to be passed on; a longer tracestate is dropped, its traceparent kept

_PARENT_BYTES = 55  # of version 00; later versions may append more, which is not passed on
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}(-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})")
_STATE = re.compile(rb"[\x20-\x7e]+")


def context_of(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    r"""The context in a record's headers; empty when there is none, or none that is valid.

    Example:
        >>> context_of([("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", b"a=1")])
        b'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\na=1'
        >>> context_of([("traceparent", b"00-00000000000000000000000000000000-b7ad6b7169203331-01")])
        b''
    """
    parent, states = b"", []
    for name, value in headers:
        if name == PARENT_HEADER and value:
            parent = _parent(value)
        elif name == STATE_HEADER and value:
            states.append(value)
    if not parent or not states:
        return parent
    state = b",".join(states)
    return parent + b"\n" + state if len(state) <= STATE_BYTES and _STATE.fullmatch(state) else parent


def headers_of(context: bytes) -> list[tuple[str, bytes]]:
    """The headers that carry a context on; none for an empty one."""
    if not context:
        return []
    parent, _, state = context.partition(b"\n")
    return [(PARENT_HEADER, parent), (STATE_HEADER, state)] if state else [(PARENT_HEADER, parent)]


def trace_id_of(context: bytes) -> str:
    """The trace's id, 32 hexadecimal digits; empty for an empty context."""
    return context[3:35].decode()


def _parent(value: bytes) -> bytes:
    """The traceparent as version 00 writes it; empty when the value is none."""
    found = _PARENT.match(value)
    if found is None:
        return b""
    rest = value[_PARENT_BYTES:]
    if rest and (value.startswith(b"00") or not rest.startswith(b"-")):
        return b""
    return b"00" + found[1]
