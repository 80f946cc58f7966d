"""Redis's data and seren's scripts over it, in Python: the twin of `streams/lua`.

A test runs the same random operations through the real stores against this and against a real Redis, and compares every
answer. Keys do not expire here: a simulated world is minutes long, and the shortest TTL is days. Knows nothing about
connections.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from streams.lua.scripts import Argument, Script

_FENCE = struct.Struct(">IQ")
_MILLIS = struct.Struct(">Q")
_WATERMARK_AT, _PUBLISHED_AT, _SOFT_EXPIRY_AT, _SLATE_AGES = 20, 28, 36, 44
_OWNER = struct.Struct(">IQI")
_FENCE_AT, _OFFSET_AT, _PROFILE_HEADER, _SLATE_HEADER = 8, 12, 24, 20


class Write(NamedTuple):
    """One write that was accepted: what the key held before (None: nothing) and what it holds since."""

    at_s: float
    key: str
    old: Any
    new: Any


class Keyspace:
    """Keys and values, and every write in order, as an append-only file keeps them. Values are replaced, never changed."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.writes: list[Write] = []
        self.run_id = "1"
        self.now_s = 0.0
        self.on_write: Callable[[Write], None] = _ignored

    def get(self, key: str) -> Any:
        """The value; None where there is none."""
        return self.values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Replaces a value; None deletes it."""
        write = Write(self.now_s, key, self.values.get(key), value)
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        self.writes.append(write)
        self.on_write(write)

    def lose(self, since_s: float) -> int:
        """Takes back all writes since then, newest first; how many there were."""
        lost = 0
        while self.writes and self.writes[-1].at_s >= since_s:
            write = self.writes.pop()
            if write.old is None:
                self.values.pop(write.key, None)
            else:
                self.values[write.key] = write.old
            lost += 1
        return lost


def _ignored(write: Write) -> None:
    """Nobody watches."""


ScriptTwin = Callable[[Keyspace, Sequence[str], Sequence[bytes]], Any]


def acquire(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> list[bytes | None]:
    """`acquire.lua`."""
    stored: Mapping[str, bytes] = keyspace.get(keys[0]) or {}
    epoch = max(int(stored.get("epoch", b"0")) + 1, int(args[0]))
    keyspace.put(keys[0], {**stored, "epoch": b"%d" % epoch})
    places = ("number", "next_offset", "watermark_ms", "next_attribute", "next_answer")
    return [b"%d" % epoch, *(stored.get(name) for name in places), keyspace.run_id.encode()]


def write_checkpoint(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int | bytes:
    """`write_checkpoint.lua`."""
    ours, ordinal, life, *places = args
    stored: Mapping[str, bytes] = keyspace.get(keys[0]) or {}
    epoch, number = int(stored.get("epoch", b"0")), int(stored.get("number", b"0"))
    if epoch > int(ours) or (epoch == int(ours) and number > int(ordinal)):
        return 0
    if life and life != keyspace.run_id.encode():
        return keyspace.run_id.encode()
    written = dict(zip(("next_offset", "watermark_ms", "next_attribute", "next_answer"), places, strict=True))
    keyspace.put(keys[0], {"epoch": ours, "number": ordinal, **written})
    return 1


def write_due(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int:
    """`write_due.lua`."""
    stored: Mapping[str, bytes] = keyspace.get(keys[0]) or {}
    if int(stored.get("epoch", b"0")) > int(args[0]):
        return 0
    if args[1] and args[1] != keyspace.run_id.encode():
        return 0
    timers: dict[bytes, int] = dict(keyspace.get(keys[1]) or {})
    for user, due in zip(args[2::2], args[3::2], strict=True):
        if due:
            timers[user] = int(due)
        else:
            timers.pop(user, None)
    keyspace.put(keys[1], timers or None)
    return 1


def claim_profile(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> bytes | int | None:
    """`claim_profile.lua`."""
    stored: bytes | None = keyspace.get(keys[0])
    if stored is None:
        keyspace.put(keys[0], b"SRNP\0\1\0\1" + args[2])
        return None
    if len(stored) < _PROFILE_HEADER or stored[:4] != b"SRNP":
        return stored
    epoch, _, partition = _OWNER.unpack_from(stored, _FENCE_AT)
    if partition != int(args[1]):
        keyspace.put(keys[0], stored[:_FENCE_AT] + args[2] + stored[_FENCE_AT + len(args[2]) :])
    elif epoch > int(args[0]):
        return int(epoch)
    elif epoch < int(args[0]):
        keyspace.put(keys[0], stored[:_FENCE_AT] + args[2][:4] + stored[_OFFSET_AT:])
    return None if stored[6:8] == b"\0\1" else stored


def write_profile(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int:
    """`write_profile.lua`."""
    stored: bytes = keyspace.get(keys[0]) or b""
    if len(stored) >= _PROFILE_HEADER and stored[:4] == b"SRNP":
        epoch, offset, partition = _OWNER.unpack_from(stored, _FENCE_AT)
        our_epoch, our_offset, our_partition = _OWNER.unpack_from(args[0], _FENCE_AT)
        if partition != our_partition or epoch > our_epoch or (epoch == our_epoch and offset > our_offset):
            return 0
    keyspace.put(keys[0], args[0])
    return 1


def publish(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int:
    """`publish.lua`."""
    stored: bytes = keyspace.get(keys[0]) or b""
    if len(stored) >= _SLATE_HEADER and stored[:4] == b"SRNS":
        fence, ours = _FENCE.unpack_from(stored, _FENCE_AT), _FENCE.unpack_from(args[0], _FENCE_AT)
        if fence > ours:
            return 0
        if fence == ours:
            return 1
        if fence[0] < ours[0] and _is_younger(stored, args[0]):
            return 0
    if args[3:4] == [b"1"] and stored:
        return 4
    is_renewed = _is_stale(stored, args[0])
    keyspace.put(keys[0], args[0])
    keyspace.put(keys[1], args[1] or None)
    return 3 if is_renewed else 2


def _is_younger(stored: bytes, ours: bytes) -> bool:
    """Whether a stored slate of version 1 knows more event time than ours."""
    if any(len(slate) < _PUBLISHED_AT or slate[:6] != b"SRNS\0\1" for slate in (stored, ours)):
        return False
    return bool(_MILLIS.unpack_from(stored, _WATERMARK_AT)[0] > _MILLIS.unpack_from(ours, _WATERMARK_AT)[0])


def _is_stale(stored: bytes, ours: bytes) -> bool:
    """Whether a stored slate of version 1 was past its soft expiry when ours was published."""
    if any(len(slate) < _SLATE_AGES or slate[:6] != b"SRNS\0\1" for slate in (stored, ours)):
        return False
    return bool(_MILLIS.unpack_from(stored, _SOFT_EXPIRY_AT)[0] <= _MILLIS.unpack_from(ours, _PUBLISHED_AT)[0])


def forget_profile(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int:
    """`forget_profile.lua`."""
    stored: bytes = keyspace.get(keys[0]) or b""
    if len(stored) >= _PROFILE_HEADER and stored[:4] == b"SRNP":
        epoch, offset, partition = _OWNER.unpack_from(stored, _FENCE_AT)
        our_epoch, our_offset, our_partition = _OWNER.unpack(args[0])
        if partition != our_partition or epoch > our_epoch:
            return 0
        if offset > our_offset:
            return 1
    if stored:
        keyspace.put(keys[0], None)
    return 1


def forget_slate(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int:
    """`forget_slate.lua`."""
    stored: bytes = keyspace.get(keys[0]) or b""
    is_slate = len(stored) >= _SLATE_HEADER and stored[:4] == b"SRNS"
    if is_slate and _FENCE.unpack_from(stored, _FENCE_AT) > _FENCE.unpack(args[0]):
        return 0
    held = [key for key in keys if keyspace.get(key) is not None]
    for key in held:
        keyspace.put(key, None)
    return len(held)


def write_redriven(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> int:
    """`write_redriven.lua`."""
    if args[1] != b"NX" or keyspace.get(keys[0]) is None:
        keyspace.put(keys[0], args[2])
    return 1


def life(keyspace: Keyspace, keys: Sequence[str], args: Sequence[bytes]) -> bytes:
    """`life.lua`."""
    return keyspace.run_id.encode()


TWINS: dict[str, ScriptTwin] = {
    "acquire": acquire,
    "claim_profile": claim_profile,
    "forget_profile": forget_profile,
    "forget_slate": forget_slate,
    "life": life,
    "publish": publish,
    "write_checkpoint": write_checkpoint,
    "write_due": write_due,
    "write_profile": write_profile,
    "write_redriven": write_redriven,
}
NAME_BY_SHA = {Script(name).sha: name for name in TWINS}


def evaluate(keyspace: Keyspace, sha: str, call: Sequence[Argument]) -> Any:
    """EVALSHA: the script's answer to one call (number of keys, keys, arguments), as redis-py hands it on."""
    count = int(call[0])
    keys = [_text(key) for key in call[1 : 1 + count]]
    return TWINS[NAME_BY_SHA[sha]](keyspace, keys, [_bytes(argument) for argument in call[1 + count :]])


def _text(argument: Argument) -> str:
    return argument.decode() if isinstance(argument, bytes) else str(argument)


def _bytes(argument: Argument) -> bytes:
    return bytes(argument) if isinstance(argument, bytes | bytearray) else str(argument).encode()
