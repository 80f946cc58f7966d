"""From a packed request to what is answered: the digest, what was seen, and what must not be offered. Changes nothing."""

from __future__ import annotations

from models.catalogue import Catalogue
from models.entities import Exclusions, PackedRequest, Request
from models.profiles.digest import digest
from models.profiles.policy import ProfilePolicy, day_of
from models.profiles.possessions import rejected
from models.profiles.state import Profile, decode
from models.profiles.window import seen


def unpack(packed: PackedRequest, catalogue: Catalogue, policy: ProfilePolicy) -> Request:
    """The request with its profile read.

    Args:
        packed: as it came.
        catalogue: titles and categories of the history; items by the fingerprints that a profile keeps of them.
        policy: that of the profile workers.

    Raises:
        UnknownVersion: the profile was written by a release that this one cannot read.
        DecodeError: its bytes are no profile.
    """
    profile = decode(packed.profile)
    return Request(
        user_id=packed.user_id,
        surface=packed.surface,
        reason=packed.reason,
        as_of_ms=packed.as_of_ms,
        epoch=packed.epoch,
        partition=packed.partition,
        offset=packed.offset,
        digest=digest(profile, catalogue.get, packed.as_of_ms, policy),
        seen=seen(profile, policy.window),
        exclusions=_exclusions(profile, catalogue, packed.as_of_ms, policy),
    )


def _exclusions(profile: Profile, catalogue: Catalogue, as_of_ms: int, policy: ProfilePolicy) -> Exclusions:
    return Exclusions(
        owned=catalogue.named(profile.owned),
        in_cart=catalogue.named(profile.in_cart),
        rejected=catalogue.named(rejected(profile, day_of(as_of_ms), policy.possessions)),
        seen_recently=tuple(dict.fromkeys([deed.text for deed in profile.deeds if deed.type != "search"])),
    )
