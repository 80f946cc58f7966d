"""A user in a worker's memory: as bytes while nobody looks, as an object while events come.

An object takes some 13 KB and the bytes 1.5 KB, which are those that Redis gets; so memory holds many times more users, and
has next to nothing for the garbage collector to walk through.
"""

from __future__ import annotations

from models import trigger
from models.profiles import Profile, decode, encode
from models.trigger import TriggerPolicy


class Resident:
    """A user whose profile is in memory.

    Args:
        profile: as it was stored, or a new one.
        context: of the trace behind the pending trigger (`streams.observability.tracing`).

    Attributes:
        saved: the count of the checkpoint that wrote the user last (0: none of this owner's).
        touched: the count of the batch that had the user's last event.
        before: the profile's bytes as they were when `before_ms`, the first event of its last day, came; empty once a label
            has taken them.
    """

    __slots__ = ("_bytes", "_due_ms", "_offset", "_profile", "before", "before_ms", "context", "saved", "touched")

    def __init__(self, profile: Profile, context: bytes = b"") -> None:
        self._profile: Profile | None = profile
        self._bytes = b""  # empty: not those of the profile as it is
        self._offset = -1
        self._due_ms: int | None = None
        self.context = context
        self.touched = 0
        self.saved = 0
        self.before = b""
        self.before_ms = 0

    @property
    def profile(self) -> Profile:
        """The profile to read; whoever changes it says so by `change`."""
        profile = self._profile
        if profile is None:
            profile = self._profile = decode(self._bytes)
        return profile

    def change(self, profile: Profile | None = None) -> Profile:
        """The profile to be changed, or another one in its place."""
        changed = self._profile = profile or self.profile
        self._bytes = b""  # only now: they may be all that there is of the profile
        return changed

    @property
    def is_live(self) -> bool:
        """Whether the profile is there as an object."""
        return self._profile is not None

    @property
    def offset(self) -> int:
        """That of the last event applied (-1: none)."""
        return self._offset if self._profile is None else self._profile.offset

    def due_ms(self, policy: TriggerPolicy) -> int | None:
        """When the pending trigger fires; None without one. One partition has one policy."""
        return self._due_ms if self._profile is None else trigger.due_ms(self._profile, policy)

    def pack(self) -> bytes:
        """The profile's bytes, made once until it changes."""
        if not self._bytes:
            self._bytes = encode(self.profile)
        return self._bytes

    def rest(self, policy: TriggerPolicy) -> None:
        """Keeps the bytes and lets the object go."""
        if self._profile is None:
            return
        self.pack()
        self._offset, self._due_ms = self._profile.offset, trigger.due_ms(self._profile, policy)
        self._profile = None
