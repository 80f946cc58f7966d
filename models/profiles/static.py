"""The static level: slow facts about a user, rendered by template; no language model (papers.md 1.3)."""

from __future__ import annotations

from models.entities import UserAttributes
from models.profiles.state import Profile

_OVERHEAD_BYTES = 6  # MessagePack headers of one name and its value, at most


def update_attributes(profile: Profile, change: UserAttributes, *, max_bytes: int) -> list[str]:
    """Folds a change of attributes in; null forgets one. What is forgotten or replaced makes room first.

    Returns:
        The names that did not fit into `max_bytes` together with those already there. Their old values are forgotten too: they
        are known to be out of date.
    """
    attributes = {name: value for name, value in profile.attributes.items() if name not in change.attributes}
    room = max_bytes - sum(_written_bytes(name, value) for name, value in attributes.items())
    refused = []
    for name, value in sorted(change.attributes.items()):
        if value is None:
            continue
        needed = _written_bytes(name, value)
        if needed > room:
            refused.append(name)
        else:
            attributes[name] = value
            room -= needed
    profile.attributes = attributes
    return refused


def _written_bytes(name: str, value: str) -> int:
    return len(name.encode()) + len(value.encode()) + _OVERHEAD_BYTES


def static_lines(profile: Profile) -> tuple[str, ...]:
    """One line an attribute, in alphabetical order, so that the prompt's beginning stays the same between refreshes.

    Example:
        >>> profile = Profile()
        >>> profile.attributes = {"country": "France", "age": "35-44"}
        >>> static_lines(profile)
        ('age: 35-44', 'country: France')
    """
    return tuple(f"{name}: {value}" for name, value in sorted(profile.attributes.items()))
