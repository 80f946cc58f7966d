"""A judging worker on a real Redis while SerenGPT is away, slow or mad: who answers instead, and when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import redis.asyncio

from models.entities import PackedRequest, Tier
from models.errors import DecodeError, EngineDead, EngineError, EngineHung, EngineOverloaded, SerenError, UnsoundAnswer
from models.pipeline import Answer
from models.tiers import TierPolicy
from streams.agents.answering import LowerTiers, Rung
from streams.agents.judging import JudgingWorker
from tests.streams.agents.one_judging_worker import NOW_MS, House, Record, answer, chunk, request, serving, until

AT_ONCE = TierPolicy(failures_count=1, probe_s=0.01, probes_count=3, steady_s=0.0)
STAYS_DOWN = TierPolicy(failures_count=1, probe_s=1e6)


class Below:
    """Stands for the walk of a lower tier: answers at once, or as it is told."""

    def __init__(self, tier: Tier) -> None:
        self.tier = tier
        self.asked: list[list[tuple[str, int]]] = []
        self.raises: list[Exception] = []
        self.instead: dict[str, SerenError] = {}
        self.empty: set[str] = set()

    def __call__(self, requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
        self.asked.append([(request.user_id, request.offset) for request in requests])
        if self.raises:
            raise self.raises.pop(0)
        return [self.instead.get(one.user_id) or self._answer(one) for one in requests]

    def _answer(self, one: PackedRequest) -> Answer:
        made = answer(one, self.tier)
        return Answer(items=(), trace=made.trace, tier="nothing", model_id="m") if one.user_id in self.empty else made


class Tiers:
    """Two tiers below the house's judge."""

    def __init__(self) -> None:
        self.distilled = Below("distilled")
        self.category = Below("category")

    def under(self, policy: TierPolicy) -> LowerTiers:
        return LowerTiers((Rung("distilled", self.distilled), Rung("category", self.category)), policy)


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


@pytest.fixture
def below() -> Tiers:
    return Tiers()


async def tiers_of(house: House, users: str) -> list[str | None]:
    found = [await house.slates.read(user, "home") for user in users]
    return [None if slate is None else slate.tier for slate in found]


def switches(worker: JudgingWorker) -> dict[str, int]:
    return {key.removeprefix("tier_"): count for key, count in worker.counts.items() if key.startswith("tier_")}


# ---- down


@pytest.mark.parametrize(
    ("error", "why"), [(EngineDead("gone"), "dead"), (EngineHung("stuck"), "hung"), (EngineError("broken"), "failed")]
)
async def test_engine_that_fails_is_replaced_by_the_next_tier_and_nobody_is_lost(
    house: House, below: Tiers, error: EngineError, why: str
) -> None:
    worker = await house.worker(0, lower=below.under(STAYS_DOWN))
    house.judge.raises = [error]
    await worker.take(chunk(request("u", 1), request("v", 2)))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
        await worker.take(chunk(request("w", 3), first=2))
        await until(lambda: house.commits[-1:] == [{0: 3}])
    assert await tiers_of(house, "uvw") == ["distilled"] * 3
    assert (worker.tier, switches(worker)) == ("distilled", {why: 1})
    assert len(house.judge.batches) == 1, "while it is down, nobody waits for it"
    assert house.letters == []
    trace = await house.slates.why("u", "home")
    assert trace is not None
    assert worker.counts["answers_distilled"] == 3


async def test_few_failures_are_borne_and_the_request_that_causes_them_is_answered_from_below(
    house: House, below: Tiers
) -> None:
    """v alone makes the engine fail; two failures are below the bound of three, so the others keep SerenGPT."""
    worker = await house.worker(0, lower=below.under(TierPolicy(probe_s=1e6)), attempts=2, attempt_s=0.0)
    house.judge.raises_for = {"v": EngineError("this one again")}
    await worker.take(chunk(request("u", 1), request("v", 2), request("w", 3)))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 3}])
    assert await tiers_of(house, "uvw") == ["serengpt", "distilled", "serengpt"]
    assert (worker.tier, switches(worker), house.letters) == ("serengpt", {}, [])


async def test_scores_that_are_no_numbers_are_never_published_and_their_users_are_answered_from_below(
    house: House, below: Tiers
) -> None:
    worker = await house.worker(0, lower=below.under(TierPolicy(failures_count=2, probe_s=1e6)), batch=2)
    house.judge.instead = {user: UnsoundAnswer("nan") for user in "vwxy"}
    await worker.take(chunk(*(request(user, place) for place, user in enumerate("uvwxy"))))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 5}])
    assert await tiers_of(house, "uvwxy") == ["serengpt", "distilled", "distilled", "distilled", "distilled"]
    assert (worker.counts["unsound"], switches(worker), house.letters) == (4, {"unsound": 1}, [])


async def test_engine_that_stays_overloaded_is_given_up_after_its_bound(house: House, below: Tiers) -> None:
    policy = TierPolicy(slow_s=-1.0, probe_s=1e6)  # less than the clock, which stands still
    worker = await house.worker(0, lower=below.under(policy))
    house.judge.raises = [EngineOverloaded("full", retry_after_s=0.01)] * 3
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert await tiers_of(house, "u") == ["distilled"]
    assert switches(worker) == {"overloaded": 1}


async def test_answer_that_does_not_come_is_given_up_and_what_comes_later_is_dropped(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(TierPolicy(late_s=0.05, probe_s=1e6)))
    house.judge.open.clear()
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: bool(house.commits))
        house.judge.open.set()
        await worker.take(chunk(request("u", 2), first=1))
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert await tiers_of(house, "u") == ["distilled"]
    assert (switches(worker), worker.counts["slates_accepted"]) == ({"late": 1}, 2)


async def test_queue_that_is_too_old_is_answered_from_below(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(TierPolicy(queue_age_s=10.0, probe_s=1e6)))
    old = chunk(request("u", 1))
    old = old._replace(records=[Record(*old.records[0][:5], timestamp=NOW_MS - 10_001)])  # type: ignore[list-item]
    await worker.take(old)
    async with serving(worker):
        await until(lambda: bool(house.commits))
    assert (await tiers_of(house, "u"), switches(worker)) == (["distilled"], {"queue": 1})
    assert house.judge.batches == []


async def test_lower_tier_that_fails_gives_way_to_the_next(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(STAYS_DOWN))
    house.judge.raises = [EngineDead("gone")]
    below.distilled.raises = [ZeroDivisionError("a bug")] * 9
    await worker.take(chunk(request("u", 1), request("v", 2)))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert await tiers_of(house, "uv") == ["category"] * 2
    assert (worker.tier, switches(worker)) == ("category", {"dead": 1, "failed": 1})
    assert worker.counts["answers_category"] == 2


async def test_request_that_no_tier_can_read_is_buried_in_every_tier(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(STAYS_DOWN))
    house.judge.raises = [EngineDead("gone")]
    below.distilled.instead = {"v": DecodeError("no profile")}
    await worker.take(chunk(request("u", 1), request("v", 2)))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert [headers["reason"] for _, headers in house.letters] == [b"no profile"]
    assert await tiers_of(house, "uv") == ["distilled", None]


# ---- last good, nothing


async def test_where_no_tier_has_an_item_the_last_good_slate_stays_and_whoever_has_none_gets_an_empty_one(
    house: House, below: Tiers
) -> None:
    worker = await house.worker(0, lower=below.under(STAYS_DOWN), batch=1)
    below.distilled.empty = below.category.empty = {"u", "v"}
    async with serving(worker):
        await worker.take(chunk(request("u", 1)))
        await until(lambda: house.commits[-1:] == [{0: 1}])
        house.judge.raises = [EngineDead("gone")]
        await worker.take(chunk(request("u", 2), request("v", 3), first=1))
        await until(lambda: house.commits[-1:] == [{0: 3}])
    assert [await house.offset_of(user) for user in "uv"] == [1, 3]
    assert await tiers_of(house, "uv") == ["serengpt", "nothing"]
    assert {tier: worker.counts[f"answers_{tier}"] for tier in ("serengpt", "last_good", "nothing")} == {
        "serengpt": 1,
        "last_good": 1,
        "nothing": 1,
    }


async def test_tier_below_that_has_no_item_for_a_user_leaves_them_to_the_next(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(STAYS_DOWN))
    house.judge.raises = [EngineDead("gone")]
    below.distilled.empty = {"v"}
    await worker.take(chunk(request("u", 1), request("v", 2)))
    async with serving(worker):
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert await tiers_of(house, "uv") == ["distilled", "category"]
    assert below.category.asked == [[("v", 2)]]


# ---- up


async def test_engine_comes_back_after_its_good_probes_and_not_before(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(AT_ONCE))
    house.judge.raises = [EngineDead("gone"), EngineDead("gone still"), EngineDead("and still")]
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: worker.counts["tier_recovered"] == 1)
        await worker.take(chunk(request("v", 2), first=1))
        await until(lambda: house.commits[-1:] == [{0: 2}])
    assert await tiers_of(house, "uv") == ["distilled", "serengpt"]
    assert (worker.counts["probes_failed"], worker.counts["probes_passed"]) == (2, 3)
    assert house.judge.batches == [[("u", 1)]] * 6 + [[("v", 2)]]
    assert worker.counts["slates_accepted"] == 2, "what a probe is answered is not published"


async def test_nobody_waits_for_a_probe(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(TierPolicy(failures_count=1, probe_s=0.01, probes_count=1_000)))
    house.judge.raises = [EngineDead("gone")]
    async with serving(worker):
        await worker.take(chunk(request("u", 1)))
        await until(lambda: bool(house.commits))
        house.judge.open.clear()
        await asyncio.sleep(0.05)  # by now a probe is under way
        await worker.take(chunk(request("v", 2), first=1))
        await until(lambda: house.commits[-1:] == [{0: 2}])
        passed = worker.counts["probes_passed"]
        house.judge.open.set()
        await until(lambda: worker.counts["probes_passed"] > passed)
    assert await tiers_of(house, "uv") == ["distilled"] * 2


async def test_probe_that_only_shows_a_request_s_own_error_is_a_good_one(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(AT_ONCE))
    house.judge.raises = [EngineDead("gone")]
    house.judge.instead = {"u": DecodeError("no profile")}
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: worker.counts["tier_recovered"] == 1)
    assert worker.tier == "serengpt"


async def test_worker_that_ends_leaves_no_probe_behind(house: House, below: Tiers) -> None:
    worker = await house.worker(0, lower=below.under(AT_ONCE))
    house.judge.raises = [EngineDead("gone")] * 1_000
    await worker.take(chunk(request("u", 1)))
    async with serving(worker):
        await until(lambda: worker.counts["probes_failed"] > 2)
    asked = len(house.judge.batches)
    await asyncio.sleep(0.05)
    assert len(house.judge.batches) <= asked + 1
