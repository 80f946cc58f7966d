"""What the user owns, has in the cart, or rejected: never to be offered again, or not for a while."""

from __future__ import annotations

from typing import TypeVar

from models.entities import Event
from models.profiles.features import ItemFeatures
from models.profiles.policy import PossessionPolicy
from models.profiles.state import Profile

_T = TypeVar("_T")


def move(profile: Profile, event: Event, item: ItemFeatures, day: int, policy: PossessionPolicy) -> None:
    """Moves the item between cart, ownership and rejection, as the event says."""
    name, kind = item.name, event.type
    if kind == "purchase":
        _take(profile.in_cart, name)
        _take(profile.rejected, name)
        _put(profile.owned, name, None, policy.max_owned)
    elif kind == "cart":
        _put(profile.in_cart, name, None, policy.max_in_cart)
    elif kind == "cancel":
        _take(profile.owned, name)
        _take(profile.in_cart, name)
        _put(profile.rejected, name, day, policy.max_rejected)
    elif kind == "hide":
        _take(profile.in_cart, name)
        _put(profile.rejected, name, day, policy.max_rejected)


def rejected(profile: Profile, day: int, policy: PossessionPolicy) -> list[int]:
    """Fingerprints of the items that are still out of favour on `day`."""
    return [name for name, since in profile.rejected.items() if day - since <= policy.reject_days]


def _take(items: dict[int, _T], name: int) -> None:
    if items and name in items:
        del items[name]


def _put(items: dict[int, _T], name: int, value: _T, limit: int) -> None:
    """The newest is the last one; past the limit the oldest goes."""
    _take(items, name)
    items[name] = value
    if len(items) > limit:
        del items[next(iter(items))]
