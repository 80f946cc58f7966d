"""Laws of a language model's answers in a profile worker, on a real Redis: asked once, folded in once, forgotten too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
import redis.asyncio
from faust.types import TP

from models.entities import Event, Item
from models.errors import UnknownVersion
from models.profiles import Profile, ProfilePolicy, decode
from models.profiles import inference as inferring
from models.profiles.exchange import Finding, ProfileTags, ProfilingRequest
from models.profiles.policy import InferencePolicy, WindowPolicy
from models.trigger import TriggerPolicy
from streams import codec, topics
from streams.agents.limits import ProfilesLimits
from streams.agents.profiles import ProfilesWorker
from streams.knowledge import Knowledge
from streams.partition import Rules
from streams.production import Outgoing
from streams.profiling import inferences
from streams.state import PartitionStore, ProfileStore
from streams.transport import Chunk

DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS
KNOWN = Knowledge(
    [Item(item_id=f"i{n}", title=f"thing {n}", category=("shop", f"leaf {n}")) for n in range(9)], max_tag_bytes=48
)
POLICY = ProfilePolicy(
    window=WindowPolicy(min_visit_days=1), inference=InferencePolicy(enabled=True, first_positives=2, cool_down_days=0.1)
)
RULES = Rules(check_clock=False, profile=POLICY, trigger=TriggerPolicy())


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class House:
    """One Redis, and what workers put on topics."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.sent: list[tuple[str, Outgoing]] = []
        self.commits: dict[tuple[str, int], int] = {}
        self.profiles = ProfileStore(client, tenant="t")
        self.partitions = PartitionStore(client, tenant="t")

    async def worker(self, rules: Rules = RULES, **limits: Any) -> ProfilesWorker:
        made = ProfilesWorker(
            knowledge=KNOWN,
            profiles=self.profiles,
            partitions=self.partitions,
            produce=self.produce,
            commit=self.commit,
            rules=rules,
            limits=ProfilesLimits(**({"checkpoint_events": 1} | limits)),
        )
        self.starts = await made.take_over({TP(topic, 0) for topic in (topics.EVENTS, topics.ATTRIBUTES, topics.PROFILE_TAGS)})
        return made

    async def produce(self, topic: str, records: Sequence[Outgoing]) -> None:
        self.sent += [(topic, record) for record in records]

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.update({(tp.topic, tp.partition): offset for tp, offset in offsets.items()})
        return True

    def on(self, topic: str) -> list[Outgoing]:
        return [record for name, record in self.sent if name == topic]

    def questions(self) -> list[ProfilingRequest]:
        return [codec.decode_question(record.value or b"") for record in self.on(topics.PROFILING) if record.value]

    async def profile(self, user_id: str = "u") -> Profile | None:
        state = await self.profiles.read(user_id)
        return None if state is None else decode(state.profile)


@pytest.fixture
def house(redis_client: redis.asyncio.Redis) -> House:
    return House(redis_client)


def event(offset: int, kind: Any, at_s: float, item: str = "i0", user: str = "u") -> Record:
    ts_ms = START_MS + round(at_s * 1000)
    found = Event(event_id=str(offset), user_id=user, type=kind, ts_ms=ts_ms, item_id=None if kind == "visit" else item)
    return Record(offset, ts_ms, user.encode(), codec.encode(found))


def chunk(*records: Record, topic: str = topics.EVENTS) -> Chunk:
    return Chunk(topic, 0, list(records), records[-1].offset + 1)  # type: ignore[arg-type]


ASKED = chunk(event(0, "visit", 0), event(1, "purchase", 1, "i1"), event(2, "purchase", 2, "i2"), event(3, "click", 90_000))


def answer_to(question: ProfilingRequest, *texts: str, places: tuple[int, ...] = (0,)) -> ProfileTags:
    profile = decode(question.profile)
    return ProfileTags(
        user_id=question.user_id,
        asked_ms=question.as_of_ms,
        model_id="m",
        shown=tuple(inferring.shown(profile, question.as_of_ms, POLICY)),
        short_term=tuple(Finding(family="interest", text=text, score=0.5, evidence=places) for text in texts),
    )


def told(offset: int, answer: ProfileTags, key: str = "u") -> Chunk:
    return chunk(Record(offset, 0, key.encode(), codec.encode(answer)), topic=topics.PROFILE_TAGS)


async def inferred(house: House) -> list[str]:
    profile = await house.profile()
    return [] if profile is None or profile.inference is None else list(profile.inference.short_term)


async def test_profile_that_moved_asks_once_and_carries_its_question(house: House) -> None:
    worker = await house.worker()
    await worker.take(ASKED)
    [question] = house.questions()
    assert (question.user_id, question.reason, question.offset) == ("u", "first", 2)
    stored = await house.profile()
    assert stored is not None
    assert stored.inference is not None
    assert stored.inference.shown_sum == decode(question.profile).inference.shown_sum  # type: ignore[union-attr]
    assert worker.counts["questions_first"] == 1
    await worker.take(chunk(event(4, "visit", 200_000), event(5, "visit", 400_000)))
    assert len(house.questions()) == 1  # nothing has moved since


async def test_nobody_is_asked_about_where_it_is_off(house: House) -> None:
    off = Rules(check_clock=False, profile=ProfilePolicy(window=WindowPolicy(min_visit_days=1)))
    worker = await house.worker(off)
    await worker.take(ASKED)
    assert house.questions() == []
    assert TP(topics.PROFILE_TAGS, 0) not in worker.positions()


async def test_answer_is_folded_in_once_whoever_reads_it_again(house: House) -> None:
    worker = await house.worker()
    await worker.take(ASKED)
    answer = answer_to(house.questions()[0], "things")
    await worker.take(told(7, answer))
    assert await inferred(house) == ["interest:things"]
    assert house.commits[topics.PROFILE_TAGS, 0] == 8
    before = await house.profiles.read("u")
    successor = await house.worker()
    assert house.starts[TP(topics.PROFILE_TAGS, 0)] == 8
    await successor.take(told(7, answer))
    after = await house.profiles.read("u")
    assert before is not None
    assert after is not None
    assert after.profile == before.profile
    assert successor.counts["inferred_repeated"] == 1


async def test_question_whose_asker_died_before_its_state_was_stored_is_asked_again_and_answered(house: House) -> None:
    doomed = await house.worker(checkpoint_events=1_000, checkpoint_s=1e9)
    await doomed.take(ASKED)
    question = codec.decode_question(doomed.owned[0].questions["u"])  # as if it was sent, and nothing was stored
    successor = await house.worker()
    assert house.starts[TP(topics.EVENTS, 0)] == 0
    await successor.take(told(0, answer_to(question, "things")))  # it is there before the successor has come so far
    assert await inferred(house) == []
    await successor.take(ASKED)
    [again] = house.questions()
    assert (again.as_of_ms, again.offset, again.epoch > question.epoch) == (question.as_of_ms, question.offset, True)
    await successor.take(told(1, answer_to(again, "things")))
    assert await inferred(house) == ["interest:things"]


async def test_answer_that_was_not_checkpointed_is_read_and_folded_in_again(house: House) -> None:
    first = await house.worker()
    await first.take(ASKED)
    answer = answer_to(house.questions()[0], "things")
    doomed = await house.worker(checkpoint_events=1_000, checkpoint_s=1e9)
    await doomed.take(told(0, answer))
    assert doomed.counts["inferred"] == 1
    assert await inferred(house) == []
    successor = await house.worker()
    assert house.starts[TP(topics.PROFILE_TAGS, 0)] == 0
    await successor.take(told(0, answer))
    assert await inferred(house) == ["interest:things"]


async def test_answer_to_nobodys_question_leaves_nothing_behind(house: House) -> None:
    worker = await house.worker()
    await worker.take(ASKED)
    stranger = answer_to(house.questions()[0], "things")
    stranger = ProfileTags(user_id="v", asked_ms=5, model_id="m", shown=stranger.shown, short_term=stranger.short_term)
    await worker.take(told(0, stranger, key="v"))
    assert await house.profile("v") is None
    assert worker.counts["inferred_unasked"] == 1


@pytest.mark.parametrize("value", [b"{", b"", None, b'{"user_id":"w","asked_ms":1,"model_id":"m","shown":[]}'])
async def test_answer_that_is_none_becomes_a_dead_letter_and_is_passed(house: House, value: bytes | None) -> None:
    worker = await house.worker()
    await worker.take(ASKED)
    good = answer_to(house.questions()[0], "things")
    records = [Record(0, 0, b"u", value), Record(1, 0, b"u", codec.encode(good))]
    await worker.take(chunk(*records, topic=topics.PROFILE_TAGS))
    assert [dict(record.headers)["topic"] for record in house.on(topics.DEAD_LETTERS)] == [b"seren-profile-tags"]
    assert await inferred(house) == ["interest:things"]


async def test_answer_of_a_newer_release_stops_the_worker(house: House) -> None:
    worker = await house.worker()
    newer = b'{"version":2,"user_id":"u","asked_ms":1,"model_id":"m","shown":[]}'
    with pytest.raises(UnknownVersion, match="profile tags: version 2 is not 1"):
        await worker.take(chunk(Record(0, 0, b"u", newer), topic=topics.PROFILE_TAGS))


async def test_hidden_evidence_takes_its_tags_with_it(house: House) -> None:
    worker = await house.worker()
    await worker.take(ASKED)
    await worker.take(told(0, answer_to(house.questions()[0], "things", places=(0,))))
    await worker.take(chunk(event(4, "hide", 90_100, "i1")))
    assert await inferred(house) == []


async def test_forgotten_user_has_no_tags_and_later_answers_find_no_question(house: House) -> None:
    worker = await house.worker()
    await worker.take(ASKED)
    answer = answer_to(house.questions()[0], "things")
    forget = Record(4, 0, b"u", None, [(topics.FORGET_HEADER, b"0")])
    await worker.take(chunk(forget))
    assert house.on(topics.PROFILING)[-1].value is None  # whoever infers is told as well
    assert house.on(topics.PROFILING)[-1].key == b"u"
    await worker.take(told(0, answer))
    assert await house.profile() is None
    assert worker.counts["inferred_unasked"] == 1


async def test_question_of_a_user_who_is_forgotten_before_the_checkpoint_is_not_sent(house: House) -> None:
    worker = await house.worker()
    await worker.take(chunk(*ASKED.records, Record(4, 0, b"u", None, [(topics.FORGET_HEADER, b"0")])))  # type: ignore[arg-type]
    assert house.questions() == []


async def test_bug_in_one_answer_costs_its_letter_and_nobodys_state(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def bomb(profile: Profile, answer: ProfileTags, offset: int, policy: ProfilePolicy) -> Any:
        outcome = inferring.fold(profile, answer, offset, policy)
        if answer.user_id == "v":
            raise KeyError("a bug")
        return outcome

    worker = await house.worker()
    more = [event(offset, "purchase", offset, f"i{offset}", user="v") for offset in (4, 5)]
    await worker.take(chunk(*ASKED.records, *more, event(6, "visit", 90_100, user="v"), event(7, "click", 190_000)))  # type: ignore[arg-type]
    by_user = {question.user_id: question for question in house.questions()}
    monkeypatch.setattr(inferences, "fold", bomb)
    records = [
        Record(offset, 0, user.encode(), codec.encode(answer_to(by_user[user], "things"))) for offset, user in enumerate("vu")
    ]
    await worker.take(chunk(*records, topic=topics.PROFILE_TAGS))
    assert [dict(record.headers)["error"] for record in house.on(topics.DEAD_LETTERS)] == [b"KeyError"]
    assert await inferred(house) == ["interest:things"]
    untouched = await house.profile("v")
    assert untouched is not None
    assert untouched.inference is not None
    assert untouched.inference.short_term == {}
