"""A tenant's tokens: what was computed is paid for, by all workers together, and saved up to a bound; on a real Redis."""

from __future__ import annotations

import pytest
import redis.asyncio

from models.entities import Behaviour, Digest
from models.errors import RequestError, StoreUnavailable
from models.pretrained import serengpt_folder
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.prompt import prompt_ids, title_ids
from models.serengpt.tokens import TitleTokenizer
from streams.engines.budget import TokenBudget
from streams.engines.calls import ModelCalls, TokenCounts
from streams.keys import budget_key
from tests.streams.agents.one_judging_worker import House, chunk, request, serving, until

DIGEST = Digest(history=(Behaviour("click", "a red mug", 4, 7, "i", "mugs"),))


def budget(client: redis.asyncio.Redis, calls: ModelCalls, *, tenant: str = "t", saved_s: float = 10.0) -> TokenBudget:
    return TokenBudget(client, tenant=tenant, calls=calls, tokens_per_s=0.001, saved_s=saved_s)


async def test_workers_of_a_tenant_share_what_is_left_and_wait_until_it_is_paid_back(
    redis_client: redis.asyncio.Redis,
) -> None:
    """A token takes 1,000 s to come, so no time passes here: 10 of them are saved up."""
    one, other = ModelCalls(), ModelCalls()
    first, second = budget(redis_client, one, saved_s=10_000), budget(redis_client, other, saved_s=10_000)
    one.tokens["imagine"] = 4
    assert await first.settle() == 0.0
    other.tokens["score"] = 6
    assert await second.settle() == 0.0
    one.tokens["score"] = 2
    assert 1_000 < await first.settle() <= 2_000
    assert 1_000 < await second.settle() <= 2_000  # for what the first one owes


async def test_tenants_do_not_pay_for_each_other(redis_client: redis.asyncio.Redis) -> None:
    greedy, calls = ModelCalls(), ModelCalls()
    greedy.tokens["imagine"] = 1_000
    spending = budget(redis_client, ModelCalls(), tenant="a", saved_s=10_000)
    spending._calls = greedy  # what it counts now was computed after it began
    assert await spending.settle() > 0
    assert await budget(redis_client, calls, tenant="b").settle() == 0.0


async def test_what_is_saved_up_is_bounded_and_expires_when_it_is_full(redis_client: redis.asyncio.Redis) -> None:
    calls = ModelCalls()
    saving = budget(redis_client, calls, saved_s=5_000)  # 5 tokens
    assert await saving.settle() == 0.0
    await redis_client.hset(budget_key("t"), "at_ms", 1)  # as if nobody had asked since 1970
    calls.tokens["imagine"] = 6
    assert 0.0 < await saving.settle() <= 1_000.0
    assert 0 < await redis_client.pttl(budget_key("t")) <= 6_000_000 + 60_000


async def test_charge_that_did_not_reach_redis_is_made_again() -> None:
    away = redis.asyncio.Redis(port=1)
    calls = ModelCalls()
    lost = budget(away, calls)
    calls.tokens["imagine"] = 7
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await lost.settle()
    assert lost._paid == 0  # the law is about it
    await away.aclose()


class Spent:
    """A budget that is spent with the first batch."""

    async def settle(self) -> float:
        return 3_600.0


async def test_worker_whose_budget_is_spent_takes_no_further_batch(redis_client: redis.asyncio.Redis) -> None:
    house = House(redis_client)
    worker = await house.worker(0, batch=1)
    worker.budget = Spent()
    await worker.take(chunk(request("u", 1), request("v", 2)))
    async with serving(worker):
        await until(lambda: worker.outages.paused_s["budget"] > 0)
    assert (house.judge.batches, worker.waiting_count) == ([[("u", 1)]], 1)
    assert worker.outages.paused_s["budget"] == 3_600.0


@pytest.mark.parametrize(("tokens_per_s", "saved_s"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
async def test_budget_without_a_rate_is_refused(tokens_per_s: float, saved_s: float) -> None:
    with pytest.raises(ValueError, match="tokens_per_s"):
        TokenBudget(redis.asyncio.Redis(), tenant="t", calls=ModelCalls(), tokens_per_s=tokens_per_s, saved_s=saved_s)


def test_tokens_are_those_of_the_prompt_once_and_of_each_title_with_its_end() -> None:
    tokenizer = TitleTokenizer.load(serengpt_folder() / "tokenizer.json")
    counts, prompt = TokenCounts(tokenizer), len(prompt_ids(DIGEST, tokenizer))
    asked = ImagineRequest(digest=DIGEST, n=2, seed=1)
    mug = len(title_ids("blue mug", tokenizer))
    assert counts.imagined(asked, ("blue mug", "blue mug")) == prompt + 2 * (mug + 1)
    assert counts.imagined(asked, RequestError("no")) == prompt
    scored = (Scored(-1.0, -2.0, 3), Scored(-1.0, -2.0, 4))
    assert counts.scored(ScoreRequest(digest=DIGEST, titles=("a", "b")), scored) == prompt + 7
