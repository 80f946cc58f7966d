"""The cognition profile: `update` folds one event through every level; `digest` is what SerenGPT reads of it.

Levels have the papers' names: `static`, `short_term`, `long_term`; beside them the recent history, the visit-day window and
what the user owns, has in the cart or rejected. Knows nothing about topics, bytes on the wire, stores or clocks.
"""

from __future__ import annotations

from models.profiles.digest import digest
from models.profiles.features import ItemFeatures, QueryTags, item_features
from models.profiles.policy import PROFILE_BYTES, ProfilePolicy
from models.profiles.request import unpack
from models.profiles.state import Profile, decode, encode
from models.profiles.static import update_attributes
from models.profiles.update import update

__all__ = [
    "PROFILE_BYTES",
    "ItemFeatures",
    "Profile",
    "ProfilePolicy",
    "QueryTags",
    "decode",
    "digest",
    "encode",
    "item_features",
    "unpack",
    "update",
    "update_attributes",
]
