"""The names of everything that seren keeps in Redis; no other module spells one.

    seren:{<tenant>|<user>}:slate:<surface>    the packed slate that a ranker reads
    seren:{<tenant>|<user>}:why:<surface>      the trace behind that slate
    seren:{<tenant>|<user>}:profile            the user's profile state
    seren:{<tenant>|p<partition>}:checkpoint   the partition's epoch and last checkpoint
    seren:{<tenant>|p<partition>}:due          the partition's timers: user -> due time
    seren:{<tenant>}:tokens                    what is left of the tenant's budget of tokens
    seren:{<tenant>|p<partition>}:redriven:<origin>   where a dead letter's record came to lie when it was sent again

The braces are a Redis Cluster hash tag: all keys of one user, and all keys of one partition, live in one slot. Tenants, users
and surfaces may hold any characters, so the five that have a meaning in a key (`% { } | :`), control bytes (0x00-0x1F and
0x7F) and unpaired surrogates are percent-encoded as their UTF-8 bytes, in upper-case hex. Two different triples never share
a key.

Knows nothing about connections or values.
"""

from __future__ import annotations

import re

_SPECIAL = re.compile("[%{}|:\x00-\x1f\x7f\ud800-\udfff]")


def escape(text: str) -> str:
    r"""`text` as it appears inside a key.

    >>> escape("a:b|{c}%")
    'a%3Ab%7C%7Bc%7D%25'
    >>> escape("käse 12\n")
    'käse 12%0A'
    """
    return _SPECIAL.sub(_percent, text) if _SPECIAL.search(text) else text


def slate_key(tenant: str, user_id: str, surface: str) -> str:
    """Where the packed slate of one user and surface is.

    >>> slate_key("shop", "u1", "home")
    'seren:{shop|u1}:slate:home'
    """
    return f"seren:{{{escape(tenant)}|{escape(user_id)}}}:slate:{escape(surface)}"


def why_key(tenant: str, user_id: str, surface: str) -> str:
    """Where the trace behind that slate is.

    >>> why_key("shop", "u1", "home")
    'seren:{shop|u1}:why:home'
    """
    return f"seren:{{{escape(tenant)}|{escape(user_id)}}}:why:{escape(surface)}"


def profile_key(tenant: str, user_id: str) -> str:
    """Where the profile state of one user is.

    >>> profile_key("shop", "u1")
    'seren:{shop|u1}:profile'
    """
    return f"seren:{{{escape(tenant)}|{escape(user_id)}}}:profile"


def checkpoint_key(tenant: str, partition: int) -> str:
    """Where one partition's epoch and checkpoint are.

    >>> checkpoint_key("shop", 3)
    'seren:{shop|p3}:checkpoint'
    """
    return f"seren:{{{escape(tenant)}|p{partition}}}:checkpoint"


def due_key(tenant: str, partition: int) -> str:
    """Where one partition's timers are.

    >>> due_key("shop", 3)
    'seren:{shop|p3}:due'
    """
    return f"seren:{{{escape(tenant)}|p{partition}}}:due"


def budget_key(tenant: str) -> str:
    """Where is kept what is left of a tenant's budget of tokens.

    >>> budget_key("shop")
    'seren:{shop}:tokens'
    """
    return f"seren:{{{escape(tenant)}}}:tokens"


def redriven_key(tenant: str, partition: int, origin: str) -> str:
    """Where is noted what became of the record at an origin (`topic/partition/offset`) when it was redriven.

    >>> redriven_key("shop", 3, "behaviour-events/3/17")
    'seren:{shop|p3}:redriven:behaviour-events/3/17'
    """
    return f"seren:{{{escape(tenant)}|p{partition}}}:redriven:{escape(origin)}"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match.group().encode("utf-8", "surrogatepass"))
