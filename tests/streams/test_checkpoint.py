"""Laws of the checkpoint, on a real Redis: its order; a crash at any step loses nothing and applies nothing twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import redis.asyncio

from models.entities import Event, Item, UserAttributes
from models.errors import BrokerUnavailable, SerenError, StoreUnavailable, UnknownVersion
from models.profiles import ProfilePolicy, decode
from models.profiles.policy import WindowPolicy
from streams import codec, topics
from streams.checkpoint import PartitionLost, admit, buried, checkpoint, take_over
from streams.deadletters.letter import DeadLetter
from streams.keys import profile_key
from streams.knowledge import Knowledge
from streams.partition import Partition, Rules
from streams.production import Outgoing
from streams.state import PartitionStore, ProfileStore, ProfileWrite, Restarted

START_MS = 20_000 * 86_400_000
TTL_MS = 60_000
NUMBER = 3
KNOWN = Knowledge(
    [Item(item_id=f"i{n}", title=f"thing {n}", category=("shop", f"leaf {n}")) for n in range(6)], max_tag_bytes=48
)
RULES = Rules(check_clock=False, profile=ProfilePolicy(window=WindowPolicy(min_visit_days=1)))


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def event_record(offset: int, user: str, kind: Any, at_s: float, **fields: Any) -> Record:
    ts_ms = START_MS + round(at_s * 1000)
    event = Event(event_id=f"e{offset}", user_id=user, type=kind, ts_ms=ts_ms, **fields)
    return Record(offset, ts_ms, user.encode(), codec.encode(event))


# u: a label on the second day; a visit whose trigger fires within the batch (v's event moves time past it); v: a visit that is
# pending at the end; w: no trigger yet; one dead letter; then, in a later batch, more of everything.
FIRST = [
    event_record(0, "u", "click", 0, item_id="i0"),
    event_record(1, "w", "click", 10, item_id="i1"),
    event_record(2, "u", "visit", 86_400),
    event_record(3, "u", "click", 86_410, item_id="i2"),
    event_record(4, "w", "click", 86_420, item_id="i1")._replace(value=b"{"),
    event_record(5, "v", "visit", 86_500),
]
SECOND = [
    event_record(6, "v", "click", 86_510, item_id="i3"),
    event_record(7, "w", "purchase", 86_600, item_id="i4"),
    event_record(8, "w", "visit", 86_605),
    Record(9, 0, None, None, [(topics.WATERMARK_HEADER, str(START_MS + 2 * 86_400_000).encode())]),
]


class Broken(Exception):
    """The process died here."""


class Steps:
    """Notes each step as it happens, and lets one of them fail: before it has an effect, or after."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.fail_at = ""
        self.after_effect = False
        self.error: Exception = Broken()
        self.between: dict[str, Callable[[], Awaitable[None]]] = {}

    def fails(self, step: str, *, after_effect: bool, error: Exception | None = None) -> None:
        self.fail_at, self.after_effect, self.error = step, after_effect, error or Broken()

    async def before(self, step: str) -> None:
        if step in self.between:
            await self.between.pop(step)()
        if not self.taken or self.taken[-1] != step:
            self.taken.append(step)
        if step == self.fail_at and not self.after_effect:
            self._fail()

    def after(self, step: str) -> None:
        if step == self.fail_at and self.after_effect:
            self._fail()

    def _fail(self) -> None:
        self.fail_at = ""
        raise self.error


class SteppingProfiles(ProfileStore):
    steps: Steps

    async def write(self, states: Sequence[ProfileWrite], *, epoch: int, partition: int) -> list[bool]:
        await self.steps.before("states")
        answer = await super().write(states, epoch=epoch, partition=partition)
        self.steps.after("states")
        return answer


class SteppingPartitions(PartitionStore):
    steps: Steps

    async def write(self, partition: int, **places: Any) -> bool | Restarted:
        await self.steps.before("checkpoint")
        answer = await super().write(partition, **places)
        self.steps.after("checkpoint")
        return answer

    async def write_due(
        self, partition: int, *, epoch: int, due_ms: Mapping[str, int], clear: Any = (), life: str = ""
    ) -> bool:
        step = "clear timers" if clear else "set timers"
        await self.steps.before(step)
        answer = await super().write_due(partition, epoch=epoch, due_ms=due_ms, clear=clear, life=life)
        self.steps.after(step)
        return answer


class Topics:
    """What was produced, by topic; stands for the broker."""

    def __init__(self, steps: Steps) -> None:
        self.sent: dict[str, list[tuple[bytes | None, bytes | None, dict[str, bytes]]]] = {}
        self._steps = steps

    async def __call__(self, topic: str, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        await self._steps.before(topic)
        self.sent.setdefault(topic, []).extend((key, value, dict(headers)) for key, value, headers in records)
        self._steps.after(topic)

    def requests(self) -> set[tuple[str, int, int]]:
        """Each question once: who, as of when, and from which state."""
        found = [codec.decode_request(value or b"") for _, value, _ in self.sent.get(topics.REQUESTS, [])]
        return {(request.user_id, request.as_of_ms, request.offset) for request in found}

    def labels(self) -> set[str]:
        return {codec.decode_label(value or b"").event_id for _, value, _ in self.sent.get(topics.LABELS, [])}

    def dead_letters(self) -> set[bytes]:
        return {headers["offset"] for _, _, headers in self.sent.get(topics.DEAD_LETTERS, [])}


class House:
    """One Redis, one broker, and the owners that come and go."""

    def __init__(self, client: redis.asyncio.Redis, tenant: str = "t") -> None:
        self.client = client
        self.numbers: dict[tuple[int, int], int] = {}
        self.steps = Steps()
        self.topics = Topics(self.steps)
        self.profiles = SteppingProfiles(client, tenant=tenant)
        self.partitions = SteppingPartitions(client, tenant=tenant)
        self.profiles.steps = self.partitions.steps = self.steps

    async def new_owner(self, number: int = NUMBER) -> Partition:
        found = await self.partitions.acquire(number)
        self.numbers[number, found.epoch] = found.number
        owner = Partition(
            number,
            epoch=found.epoch,
            next_offset=found.next_offset or 0,
            watermark_ms=found.watermark_ms or 0,
            knowledge=KNOWN,
            rules=RULES,
        )
        await take_over(number, owner, profiles=self.profiles, partitions=self.partitions)
        return owner

    async def take(self, owner: Partition, records: Sequence[Record]) -> None:
        batch = owner.decode(records)
        users = owner.missing(decoded.event.user_id for decoded in batch if decoded.event is not None)
        await admit(owner, users, profiles=self.profiles)
        owner.apply(batch)

    async def checkpoint(self, owner: Partition) -> int:
        """The owner's next checkpoint; one that failed is tried again with its number, as the worker does."""
        next_offset = await checkpoint(
            owner,
            number=self.numbers[owner.number, owner.epoch] + 1,
            profiles=self.profiles,
            partitions=self.partitions,
            produce=self.topics,
            ttl_ms=TTL_MS,
        )
        self.numbers[owner.number, owner.epoch] += 1
        return next_offset

    async def states(self) -> dict[str, tuple[int, bytes]]:
        found = {}
        for user_id in "uvw":
            state = await self.profiles.read(user_id)
            if state is not None:
                found[user_id] = (state.offset, state.profile)
        return found

    async def visible(self) -> tuple[Any, ...]:
        """Everything that the world can see, without epochs and repetitions."""
        stored = await self.partitions.read(NUMBER)
        assert stored is not None
        return (
            await self.states(),
            await self.partitions.read_due(NUMBER),
            (stored.next_offset, stored.watermark_ms),
            self.topics.requests(),
            self.topics.labels(),
            self.topics.dead_letters(),
        )


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


async def finished(house: House, owner: Partition) -> tuple[Any, ...]:
    """The rest of the log from where the owner stands."""
    await house.take(owner, [record for record in FIRST + SECOND if record.offset >= owner.next_offset])
    await house.checkpoint(owner)
    return await house.visible()


async def uninterrupted(client: redis.asyncio.Redis) -> tuple[Any, ...]:
    other = House(client, tenant="uninterrupted")
    owner = await other.new_owner()
    await other.take(owner, FIRST)
    await other.checkpoint(owner)
    return await finished(other, owner)


STEPS = [topics.DEAD_LETTERS, topics.LABELS, topics.REQUESTS, "set timers", "states", "checkpoint", "clear timers"]


async def test_checkpoint_takes_its_steps_in_order(house: House) -> None:
    owner = await house.new_owner()
    await house.take(owner, FIRST)
    assert await house.checkpoint(owner) == 6
    assert house.steps.taken == STEPS


async def test_checkpoint_makes_everything_durable_and_visible(house: House) -> None:
    """u asked at 86,440 s (30 s after its last event); v is due at 86,530 s."""
    owner = await house.new_owner()
    await house.take(owner, FIRST)
    await house.checkpoint(owner)
    states, timers, stored, requests, labels, letters = await house.visible()
    assert {user: offset for user, (offset, _) in states.items()} == {"u": 3, "v": 5, "w": 1}
    assert timers == [("v", START_MS + 86_530_000)]
    assert stored == (6, START_MS + 86_500_000)
    assert requests == {("u", START_MS + 86_440_000, 3)}
    assert (labels, letters) == ({"e3"}, {b"4"})
    assert (owner.dirty, owner.requests, owner.labels, owner.dead_letters) == (set(), {}, [], [])


async def test_checkpoint_of_nothing_new_only_records_itself(house: House) -> None:
    owner = await house.new_owner()
    assert await house.checkpoint(owner) == 0
    assert [step for step in house.steps.taken if step != "states"] == ["checkpoint"]


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("step", STEPS)
async def test_crash_at_any_step_and_a_takeover_end_as_without_a_crash(
    step: str, after_effect: bool, house: House, redis_client: redis.asyncio.Redis
) -> None:
    owner = await house.new_owner()
    await house.take(owner, FIRST)
    house.steps.fails(step, after_effect=after_effect)
    with pytest.raises(Broken):
        await house.checkpoint(owner)
    heir = await house.new_owner()
    assert heir.epoch == owner.epoch + 1
    assert await finished(house, heir) == await uninterrupted(redis_client)


@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("step", STEPS)
async def test_crash_in_a_later_checkpoint_and_a_takeover_end_as_without_a_crash(
    step: str, after_effect: bool, house: House, redis_client: redis.asyncio.Redis
) -> None:
    owner = await house.new_owner()
    await house.take(owner, FIRST[:4])
    await house.checkpoint(owner)
    await house.take(owner, FIRST[4:] + SECOND[:3])
    house.steps.fails(step, after_effect=after_effect)
    with pytest.raises(Broken):
        await house.checkpoint(owner)
    assert await finished(house, await house.new_owner()) == await uninterrupted(redis_client)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), BrokerUnavailable("away")])
@pytest.mark.parametrize("after_effect", [False, True])
@pytest.mark.parametrize("step", STEPS)
async def test_checkpoint_tried_again_by_its_owner_ends_as_at_the_first_try(
    step: str, after_effect: bool, error: SerenError, house: House, redis_client: redis.asyncio.Redis
) -> None:
    owner = await house.new_owner()
    await house.take(owner, FIRST)
    house.steps.fails(step, after_effect=after_effect, error=error)
    with pytest.raises(type(error)):
        await house.checkpoint(owner)
    assert await house.checkpoint(owner) == 6
    assert await finished(house, owner) == await uninterrupted(redis_client)


async def test_takeover_by_one_owner_after_another_without_progress_loses_nothing(
    house: House, redis_client: redis.asyncio.Redis
) -> None:
    for _ in range(4):
        owner = await house.new_owner()
        await house.take(owner, FIRST)
        house.steps.fails("checkpoint", after_effect=False)
        with pytest.raises(Broken):
            await house.checkpoint(owner)
    assert await finished(house, await house.new_owner()) == await uninterrupted(redis_client)


async def test_request_is_on_its_topic_before_the_state_that_has_asked_it(house: House) -> None:
    """Behind the state it could be lost with its owner: nothing in the state would tell that it was not sent."""
    owner = await house.new_owner()
    await house.take(owner, FIRST)
    house.steps.fails(topics.REQUESTS, after_effect=False)
    with pytest.raises(Broken):
        await house.checkpoint(owner)
    assert await house.states() == {}
    heir = await house.new_owner()
    await house.take(heir, FIRST)
    await house.checkpoint(heir)
    assert house.topics.requests() == {("u", START_MS + 86_440_000, 3)}


async def test_takeover_fires_the_trigger_of_a_user_who_never_comes_back(house: House) -> None:
    owner = await house.new_owner()
    await house.take(owner, FIRST)
    await house.checkpoint(owner)
    heir = await house.new_owner()
    heir.advance(START_MS + 86_530_000)
    await house.checkpoint(heir)
    assert ("v", START_MS + 86_530_000, 5) in house.topics.requests()


async def test_takeover_clears_timers_that_fire_nothing(house: House) -> None:
    """A crash between steps 4 and 5 leaves them; so does one between 2 and 3, for a user without a state."""
    owner = await house.new_owner()
    await house.take(owner, FIRST[:1])
    await house.checkpoint(owner)
    await house.partitions.write_due(NUMBER, epoch=owner.epoch, due_ms={"u": 5, "nobody": 7})
    heir = await house.new_owner()
    await house.checkpoint(heir)
    assert await house.partitions.read_due(NUMBER) == []


# ---------------------------------------------------------------------- zombies


async def test_zombie_is_refused_at_its_first_fenced_step_and_changes_nothing(house: House) -> None:
    zombie = await house.new_owner()
    await house.take(zombie, FIRST)
    heir = await house.new_owner()
    await house.take(heir, FIRST)
    await house.checkpoint(heir)
    before = await house.visible()
    with pytest.raises(PartitionLost, match="refused the timers of epoch 1"):
        await house.checkpoint(zombie)
    assert await house.visible() == before


@pytest.mark.parametrize(
    ("stored_before", "step", "refused"),
    [
        (False, "set timers", "timers"),
        (False, "states", "profiles"),
        (False, "checkpoint", "checkpoint"),
        (True, "set timers", "timers"),
        (True, "states", "profiles"),
        (True, "checkpoint", "checkpoint"),
    ],
)
async def test_zombie_that_is_overtaken_within_its_checkpoint_is_refused(
    stored_before: bool, step: str, refused: str, house: House, redis_client: redis.asyncio.Redis
) -> None:
    """The heir acquires between two steps of the zombie's checkpoint; what the zombie wrote before that holds."""
    zombie = await house.new_owner()
    await house.take(zombie, FIRST)
    if stored_before:
        await house.checkpoint(zombie)
        await house.take(zombie, SECOND[:3])
    heirs: list[Partition] = []

    async def overtake() -> None:
        heirs.append(await house.new_owner())

    house.steps.between[step] = overtake
    with pytest.raises(PartitionLost, match=f"refused the {refused} of epoch 1"):
        await house.checkpoint(zombie)
    assert await finished(house, heirs[0]) == await uninterrupted(redis_client)


async def test_zombie_whose_states_went_out_before_they_were_claimed_breaks_nothing(
    house: House, redis_client: redis.asyncio.Redis
) -> None:
    """w has no timer, so the heir has not claimed w when the zombie writes it: the same bytes that the heir would make."""
    zombie = await house.new_owner()
    await house.take(zombie, FIRST[:2])
    heir = await house.new_owner()
    with pytest.raises(PartitionLost, match="refused the checkpoint"):
        await house.checkpoint(zombie)
    assert set(await house.states()) == {"u", "w"}
    assert await finished(house, heir) == await uninterrupted(redis_client)


async def test_zombie_cannot_claim_a_user_of_a_newer_owner(house: House) -> None:
    zombie = await house.new_owner()
    heir = await house.new_owner()
    await house.take(heir, FIRST)
    await house.checkpoint(heir)
    with pytest.raises(PartitionLost, match="user 'u' belongs to epoch 2, ours is 1"):
        await house.take(zombie, FIRST)
    assert zombie.snapshot().next_offset == 0


# ---------------------------------------------------------------------- more partitions, unreadable states


@pytest.mark.parametrize("claims", [1, 2])
async def test_user_who_moves_to_another_partition_starts_from_its_first_offset(claims: int, house: House) -> None:
    """Offsets of partition 3 mean nothing in partition 8, also when the first claim's owner died before it wrote anything."""
    owner = await house.new_owner()
    await house.take(owner, [event_record(700, "u", "click", 0, item_id="i0")])
    change = UserAttributes(user_id="u", attributes={"age": "35"})
    owner.apply_attributes([(900, change)])
    await house.checkpoint(owner)
    for _ in range(claims):
        heir = await house.new_owner(8)
        await admit(heir, ["u"], profiles=house.profiles)
    profile = heir.residents["u"].profile
    assert (profile.offset, profile.attributes_offset, profile.events) == (-1, -1, 1)
    await house.take(heir, [event_record(2, "u", "purchase", 60, item_id="i1")])
    heir.apply_attributes([(0, UserAttributes(user_id="u", attributes={"age": "36"}))])
    await house.checkpoint(heir)
    state = await house.profiles.read("u")
    assert state is not None
    stored = decode(state.profile)
    assert (stored.events, stored.offset, stored.attributes) == (2, 2, {"age": "36"})


NEWER = b"SRNP\x00\x02" + b"\x00" * 18


@pytest.mark.parametrize("value", [b"garbage", b"SRNP\x00\x01" + b"\x00" * 17 + b"\x03junk"])
async def test_state_that_cannot_be_read_keeps_its_user_out_and_its_bytes_as_they_are(value: bytes, house: House) -> None:
    owner = await house.new_owner()
    await house.client.set(profile_key("t", "u"), value)
    await admit(owner, ["u", "w"], profiles=house.profiles)
    assert list(owner.residents) == ["w"]
    assert list(owner.unreadable) == ["u"]
    stored = await house.client.get(profile_key("t", "u"))
    assert (stored[:8], stored[12:]) == (value[:8], value[12:]), "all but the epoch of the claim"
    await house.client.delete(profile_key("t", "u"))
    await admit(owner, ["u"], profiles=house.profiles)
    assert owner.unreadable == {}


@pytest.mark.parametrize("value", [NEWER, NEWER.replace(b"\x02", b"\x01") + b"\x92\x04\x00"])
async def test_state_of_a_newer_release_stops_its_owner(value: bytes, house: House) -> None:
    owner = await house.new_owner()
    await house.client.set(profile_key("t", "u"), value)
    with pytest.raises(UnknownVersion, match=r"user 'u'.*newer release"):
        await admit(owner, ["u"], profiles=house.profiles)


# ---------------------------------------------------------------------- bytes


def test_dead_letter_keeps_its_origin_and_bounded_bytes() -> None:
    letter = DeadLetter("behaviour-events", 3, 9, "DecodeError", "é" * 2_000, b"k" * 70_000, b"v" * 300_000, attempt=3)
    key, value, pairs = buried(letter)
    headers = dict(pairs)
    assert (len(key or b""), len(value or b""), len(headers["reason"])) == (1_024, 262_144, 1_024)
    assert {name: headers[name] for name in ("topic", "partition", "offset", "error", "seren-attempt", "cut")} == {
        "topic": b"behaviour-events",
        "partition": b"3",
        "offset": b"9",
        "error": b"DecodeError",
        "seren-attempt": b"3",
        "cut": b"key of 70000 bytes, value of 300000 bytes",
    }


def test_dead_letter_of_a_null_record_keeps_its_nulls() -> None:
    assert buried(DeadLetter("behaviour-events", 3, 9, "DecodeError", "null", None, None))[:2] == (None, None)
