"""The static level: slow facts about a user, rendered by template; no language model (papers.md 1.3)."""

from __future__ import annotations

from models.entities import UserAttributes
from models.profiles.features import cut
from models.profiles.state import Profile

_OVERHEAD_BYTES = 4  # MessagePack headers of one short name and value


def update_attributes(profile: Profile, change: UserAttributes, *, max_bytes: int) -> list[str]:
    """Folds a change of attributes in; null forgets one.

    Returns:
        The names that did not fit into `max_bytes` together with those already there.
    """
    attributes = dict(profile.attributes)
    refused = []
    for name, value in sorted(change.attributes.items()):
        attributes.pop(name, None)
        if value is None:
            continue
        attributes[name] = cut(value, max_bytes)
        if sum(len(n.encode()) + len(v.encode()) + _OVERHEAD_BYTES for n, v in attributes.items()) > max_bytes:
            del attributes[name]
            refused.append(name)
    profile.attributes = attributes
    return refused


def static_lines(profile: Profile) -> tuple[str, ...]:
    """One line an attribute, in alphabetical order, so that the prompt's beginning stays the same between refreshes.

    Example:
        >>> profile = Profile()
        >>> profile.attributes = {"country": "France", "age": "35-44"}
        >>> static_lines(profile)
        ('age: 35-44', 'country: France')
    """
    return tuple(f"{name}: {value}" for name, value in sorted(profile.attributes.items()))
