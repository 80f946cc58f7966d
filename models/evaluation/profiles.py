"""Do tags tell what a user will want: a period's tags against what the user wanted in the next one.

A tag agrees when at least one of the things wanted later is about it, by words alone, whoever made the tag. Beside it stands
chance: the same tags against what somebody else wanted. Knows nothing about logs or models.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from msgspec import Struct

from models.metrics import Interval, bootstrap
from models.profiling.pieces import Piece
from models.profiling.relevance import Relevance


class Agreement(Struct, frozen=True, kw_only=True):
    """How one maker's tags did. Means are over users; intervals resample them.

    `agreement` is the share of a user's tags that agree, `chance` the same against another user's period. `reach` is the share
    of the things wanted later that at least one tag is about.
    """

    maker: str
    users: int
    tags_per_user: float
    agreement: Interval
    chance: Interval
    reach: Interval


def agreement(
    maker: str,
    tags: Mapping[str, Sequence[str]],
    later: Mapping[str, Sequence[Piece]],
    relevance: Relevance,
    *,
    least: float,
    seed: int,
) -> Agreement | None:
    """Holds tags against the next period.

    Args:
        maker: of the tags.
        tags: texts without their family, by user; users without any are left out.
        later: what each of these users wanted in the next period; nobody without anything.
        relevance: of a tag to a thing.
        least: relevance from which on a thing is about a tag.
        seed: of the other users, and of the intervals.

    Returns:
        None where nobody has both tags and a next period.
    """
    users = sorted(user for user in tags if tags[user] and later.get(user))
    if not users:
        return None
    shuffled = random.Random(seed).sample(users, len(users))  # noqa: S311  # no secret
    other = dict(zip(shuffled, shuffled[1:] + shuffled[:1], strict=True))  # everybody gets another one
    agreeing = [_share(tags[user], later[user], relevance, least) for user in users]
    chance = [_share(tags[user], later[other[user]], relevance, least) for user in users]
    reach = [_reach(tags[user], later[user], relevance, least) for user in users]
    return Agreement(
        maker=maker,
        users=len(users),
        tags_per_user=sum(len(tags[user]) for user in users) / len(users),
        agreement=bootstrap(agreeing, users, seed=seed),
        chance=bootstrap(chance, users, seed=seed),
        reach=bootstrap(reach, users, seed=seed),
    )


def _share(tags: Sequence[str], things: Sequence[Piece], relevance: Relevance, least: float) -> float:
    return sum(any(relevance.of(tag, thing) >= least for thing in things) for tag in tags) / len(tags)


def _reach(tags: Sequence[str], things: Sequence[Piece], relevance: Relevance, least: float) -> float:
    return sum(any(relevance.of(tag, thing) >= least for tag in tags) for thing in things) / len(things)
