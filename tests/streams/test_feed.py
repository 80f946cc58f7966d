"""Laws of the catalogue's feed, on the embedded broker: all of the topic, the newest of each item, and what comes later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer

from models.entities import Item
from models.errors import BrokerUnavailable, DecodeError
from streams import codec, topics
from streams.embedded.broker import RunningBroker, start_broker
from streams.feed import ItemChange, ItemFeed


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with start_broker({topics.ITEMS: 2}) as running:
        yield running


def item(name: str, title: str = "thing") -> Item:
    return Item(item_id=name, title=title, category=("shop", "leaf"))


async def put(producer: AIOKafkaProducer, *items: Item | bytes | None) -> None:
    for place, one in enumerate(items):
        value = codec.encode(one) if isinstance(one, Item) else one
        key = one.item_id.encode() if isinstance(one, Item) else b"?"
        await producer.send_and_wait(topics.ITEMS, value, key=key, partition=place % 2)


class Bad:
    """What the feed could not use."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def __call__(self, value: bytes, error: DecodeError) -> None:
        assert "item" in str(error)
        self.values.append(value)


async def test_load_gives_everything_that_the_topic_holds(broker: RunningBroker) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await put(producer, *(item(f"i{number}") for number in range(700)))
    loaded = await ItemFeed(broker.bootstrap, on_bad=Bad()).load()
    assert sorted(one.item_id for one in loaded) == sorted(f"i{number}" for number in range(700))


async def test_load_of_an_empty_topic_is_empty_and_ends(broker: RunningBroker) -> None:
    assert await ItemFeed(broker.bootstrap, on_bad=Bad()).load() == []


async def test_load_takes_the_newest_of_each_item(broker: RunningBroker) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await put(producer, item("a", "old"), item("b"), item("a", "new"))
    loaded = await ItemFeed(broker.bootstrap, on_bad=Bad()).load()
    assert sorted((one.item_id, one.title) for one in loaded) == [("a", "new"), ("b", "thing")]


async def test_load_tells_of_what_is_no_item_and_passes_over_nulls(broker: RunningBroker) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await put(producer, item("a"), b'{"item_id":"b"}', None, b"\xff", item("c"))
    bad = Bad()
    loaded = await ItemFeed(broker.bootstrap, on_bad=bad).load()
    assert sorted(one.item_id for one in loaded) == ["a", "c"]
    assert sorted(bad.values) == [b'{"item_id":"b"}', b"\xff"]


async def test_load_leaves_out_what_was_withdrawn_and_takes_back_what_is_offered_again(broker: RunningBroker) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for key, value in [("a", "old"), ("b", "old"), ("c", "old"), ("a", None), ("b", None), ("b", "new"), ("gone", None)]:
            sent = None if value is None else codec.encode(item(key, value))
            await producer.send_and_wait(topics.ITEMS, sent, key=key.encode(), partition=0)
        await producer.send_and_wait(topics.ITEMS, None, key=b"\xff", partition=0)
    bad = Bad()
    loaded = await ItemFeed(broker.bootstrap, on_bad=bad).load()
    assert sorted((one.item_id, one.title) for one in loaded) == [("b", "new"), ("c", "old")]
    assert bad.values == [b"\xff"]


async def test_load_from_and_following_a_broker_that_is_away_say_so(broker: RunningBroker) -> None:
    broker.stop()
    feed = ItemFeed(broker.bootstrap, on_bad=Bad())
    for reading in (feed.load(), feed.follow(lambda _: None)):
        with pytest.raises(BrokerUnavailable, match=broker.bootstrap) as caught:
            await reading
        assert caught.value.retriable


async def test_follow_begins_with_all_and_goes_on_with_what_comes(broker: RunningBroker) -> None:
    seen: list[tuple[str, str | None]] = []
    came = asyncio.Event()

    def note(changes: list[ItemChange]) -> None:
        seen.extend((item_id, one and one.title) for item_id, one in changes)
        came.set()

    async def wait_for(count: int) -> None:
        async with asyncio.timeout(20):
            while len(seen) < count:
                came.clear()
                await came.wait()

    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await put(producer, item("a", "old"))
        following = asyncio.create_task(ItemFeed(broker.bootstrap, on_bad=Bad()).follow(note))
        try:
            await wait_for(1)
            await put(producer, item("b"))
            await wait_for(2)
            await put(producer, item("a", "new"))
            await wait_for(3)
            await producer.send_and_wait(topics.ITEMS, None, key=b"a", partition=0)
            await wait_for(4)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
    assert following.cancelled()
    assert seen == [("a", "old"), ("b", "thing"), ("a", "new"), ("a", None)]
