"""A judging worker whose model is changed while it works: on a real Redis, with real checkpoints and the whole walk."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import redis.asyncio

from models.catalogue import Catalogue
from models.entities import Item, PackedRequest
from models.errors import SerenError
from models.pipeline import Answer, ServePolicy
from models.pretrained import serengpt_folder, tower_folder
from models.profiles import ProfilePolicy
from models.registry import Gate, Metrics, Registry
from models.retrieval import Retriever
from streams.engines.live import LiveEngine
from streams.engines.named import load_engine
from streams.serve import load_judge
from tests.streams.agents.one_judging_worker import House, chunk, request, serving, until

NAMES = ("red mug", "blue mug", "wall clock", "paper lantern", "tea towel", "cake tin")
CATALOGUE = Catalogue(Item(item_id=name, title=name, category=("shop", name.split()[-1])) for name in NAMES)
Measure = Callable[..., Metrics]


def two_versions(folder: Path, measure: Measure) -> Registry:
    registry = Registry(folder / "registry")
    for name in ("old", "new"):
        shutil.copytree(serengpt_folder(), folder / name, ignore=shutil.ignore_patterns("*.safetensors"))
        manifest = folder / name / "ct2" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
        registry.add(folder / name, metrics=measure(folder / name), parent=None, created_ms=1)
    registry.promote(1, gate=Gate())
    return registry


def ask(number: int) -> PackedRequest:
    return request(f"user-{number}", number)


async def test_model_is_changed_under_a_worker_and_every_request_is_answered_by_one_version(
    redis_client: redis.asyncio.Redis, tmp_path: Path, measure: Measure
) -> None:
    registry, house = two_versions(tmp_path, measure), House(redis_client)
    serve = load_judge(
        CATALOGUE,
        engine=load_engine("ctranslate2", str(registry.folder), threads=1),
        retriever=Retriever.build(CATALOGUE, tower_folder()),
        policy=ServePolicy(),
        profile=ProfilePolicy(),
    )
    live = serve.args[0]  # type: ignore[attr-defined]
    assert isinstance(live, LiveEngine)
    batches: list[set[str]] = []

    def noted(requests: Sequence[PackedRequest]) -> list[Answer | SerenError]:
        answers = serve(requests)
        batches.append({answer.model_id for answer in answers if isinstance(answer, Answer)})
        return answers

    house.judge = noted  # type: ignore[assignment]
    worker = await house.worker(0, batch=2)

    async def answered_by(number: int) -> str:
        slate = await house.slates.read(f"user-{number}", "home")
        assert slate is not None
        assert slate.items
        return slate.model_id.partition("@")[0]

    async with serving(worker):
        await worker.take(chunk(*(ask(number) for number in range(4))))
        await until(lambda: house.commits[-1:] == [{0: 4}])
        await worker.take(chunk(*(ask(number) for number in range(4, 12)), first=4))
        registry.promote(2, gate=Gate())
        await asyncio.to_thread(live.look)  # what the follower does every two seconds
        await until(lambda: house.commits[-1:] == [{0: 12}])
        await worker.take(chunk(*(ask(number) for number in range(12, 16)), first=12))
        await until(lambda: house.commits[-1:] == [{0: 16}])
    by = [await answered_by(number) for number in range(16)]
    live.close()
    assert by[:4] == ["old"] * 4
    assert by[12:] == ["new"] * 4
    assert by == sorted(by, reverse=True), "one change, and no way back"
    assert [len(models) for models in batches] == [1] * len(batches), "a batch is of one version"
    assert house.letters == []
