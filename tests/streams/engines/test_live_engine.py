"""Laws of an engine that follows a registry, on real checkpoints that differ in their names."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from models.entities import Behaviour, Digest
from models.errors import CheckpointError, EngineOverloaded
from models.pretrained import serengpt_folder
from models.registry import Gate, Metrics, Registry
from models.serengpt import embedded
from models.serengpt.checkpoint import read_checkpoint
from models.serengpt.engine import ImagineRequest, ScoreRequest
from streams.engines.calls import MeasuredEngine, ModelCalls
from streams.engines.live import LiveEngine
from streams.engines.named import LoadedEngine, checkpoint_folder, load_engine

DIGEST = Digest(history=(Behaviour("purchase", "red retrospot mug", 1, 1),))
ASK = ScoreRequest(digest=DIGEST, titles=("blue mug", "wall clock"))
Measure = Callable[..., Metrics]


class Closed:
    """Which engines have been closed, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def load(self, folder: Path) -> LoadedEngine:
        engine = embedded.load_engine(folder)
        close = engine.close

        def noted() -> None:
            self.names.append(engine.model_id.partition("@")[0])
            close()

        engine.close = noted  # type: ignore[method-assign]
        return engine


@pytest.fixture
def registry(tmp_path: Path, measure: Measure) -> Registry:
    """Versions a, b and c; a serves."""
    made = Registry(tmp_path / "registry")
    for name in "abc":
        folder = tmp_path / name
        shutil.copytree(serengpt_folder(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
        manifest = folder / "ct2" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
        made.add(folder, metrics=measure(folder), parent=None, created_ms=1)
    assert made.promote(1, gate=Gate()) == ()
    return made


def outcomes(live: LiveEngine) -> dict[str, int]:
    return {str(outcome): count for outcome, count in live.changes.counts.items()}


@pytest.fixture
def closed() -> Closed:
    return Closed()


@pytest.fixture
def live(registry: Registry, closed: Closed) -> Iterator[LiveEngine]:
    """Nobody looks at the registry but the test."""
    engine = LiveEngine(registry, closed.load, poll_s=0)
    yield engine
    engine.close()


def name(live: LiveEngine) -> str:
    return live.model_id.partition("@")[0]


def test_live_engine_answers_as_the_version_that_serves(live: LiveEngine) -> None:
    with closing(embedded.load_engine(serengpt_folder())) as alone:
        assert live.score([ASK]) == alone.score([ASK])
        asks = [ImagineRequest(digest=DIGEST, n=3, seed=1)]
        assert live.imagine(asks) == alone.imagine(asks)
    assert (name(live), live.version) == ("a", 1)


def test_promotion_changes_no_open_batch_and_serves_the_next(live: LiveEngine, registry: Registry, closed: Closed) -> None:
    measured = MeasuredEngine(live, ModelCalls())
    with live.batch():
        registry.promote(2, gate=Gate())
        live.look()
        before = measured.model_id, live.score([ASK])
        assert before[0].startswith("a@")
        assert closed.names == []
    assert (name(live), closed.names, outcomes(live)) == ("b", ["a"], {"changed": 1})
    assert measured.model_id.startswith("b@")
    assert live.score([ASK]) == before[1], "the same weights under another name"


def test_rollback_and_promotions_that_pass_each_other_end_at_the_registrys_word(
    live: LiveEngine, registry: Registry, closed: Closed
) -> None:
    with live.batch():
        registry.promote(2, gate=Gate())
        live.look()
        registry.promote(3, gate=Gate())
        live.look()
        assert closed.names == ["b"], "nobody was asking it"
    assert name(live) == "c"
    registry.rollback()
    live.look()
    assert (name(live), closed.names) == ("b", ["b", "a", "c"])


def test_call_that_outlives_its_version_is_answered_before_the_version_is_closed(registry: Registry, closed: Closed) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def load(folder: Path) -> LoadedEngine:
        engine = closed.load(folder)
        score = engine.score

        def slow(requests: object) -> object:
            begun.set()
            assert may_end.wait(20)
            return score(requests)  # type: ignore[arg-type]

        if engine.model_id.startswith("a@"):
            engine.score = slow  # type: ignore[assignment,method-assign]
        return engine

    answers: list[object] = []
    with closing(LiveEngine(registry, load, poll_s=0)) as live:
        asking = threading.Thread(target=lambda: answers.extend(live.score([ASK])))  # no batch of its own
        asking.start()
        assert begun.wait(20)
        registry.promote(2, gate=Gate())
        live.look()
        assert (name(live), closed.names) == ("b", [])
        may_end.set()
        asking.join()
        assert closed.names == ["a"]
    assert len(answers) == 1
    assert not isinstance(answers[0], Exception)


def test_batch_that_hangs_keeps_its_version_and_holds_up_no_other(
    live: LiveEngine, registry: Registry, closed: Closed
) -> None:
    beside: list[str] = []

    def another_batch() -> None:
        with live.batch():
            beside.append(name(live))

    with live.batch():
        registry.promote(2, gate=Gate())
        live.look()
        thread = threading.Thread(target=another_batch)
        thread.start()
        thread.join(20)
        assert (beside, name(live), closed.names) == (["b"], "a", [])
    assert (name(live), closed.names) == ("b", ["a"])


def test_engine_that_swaps_inside_is_never_loaded_twice_and_waits_for_open_batches(registry: Registry) -> None:
    loaded: list[Path] = []

    class Swapping(embedded.EmbeddedEngine):
        """Holds one checkpoint at a time, as an engine that fills its GPU does."""

        def swap(self, folder: Path) -> None:
            self.__init__(read_checkpoint(folder))  # type: ignore[misc]

    def load(folder: Path) -> LoadedEngine:
        loaded.append(folder)
        return Swapping(read_checkpoint(folder))

    with closing(LiveEngine(registry, load, poll_s=0)) as live:
        registry.promote(2, gate=Gate())
        looking = threading.Thread(target=live.look)
        with live.batch():
            looking.start()
            before = name(live), live.score([ASK])  # inside an open batch nothing waits for the swap
            assert live.version == 1
        looking.join(20)
        assert (before[0], name(live), live.version, outcomes(live)) == ("a", "b", 2, {"changed": 1})
        assert live.score([ASK]) == before[1]
    assert loaded == [registry.checkpoint(1)]


@pytest.mark.parametrize("key", [None, b"a key of the owner's"])
def test_version_that_does_not_verify_never_serves(
    registry: Registry, closed: Closed, key: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(LiveEngine(registry, closed.load, poll_s=0)) as live:
        registry.promote(2, gate=Gate())
        if key is None:
            (registry.checkpoint(2) / "ct2" / "model.bin").write_bytes(b"broken")
        else:
            live._registry = Registry(registry.folder, key=key)
        with pytest.raises(CheckpointError):
            live.look()
        live.look()  # said once
        assert (name(live), outcomes(live), closed.names) == ("a", {"refused": 1}, [])
        assert live.changes.last is not None
        assert live.changes.last[1:4] == (1, 2, "refused")
        assert "signed" in live.changes.last.why or "model.bin is changed" in live.changes.last.why
        assert (live.changes.version, live.changes.model_id) == (1, live.model_id)
        assert not isinstance(live.score([ASK])[0], Exception)


def test_follower_notices_a_promotion_by_itself(registry: Registry, closed: Closed) -> None:
    with closing(LiveEngine(registry, closed.load, poll_s=0.01)) as live:
        registry.promote(2, gate=Gate())
        deadline_s = time.monotonic() + 20
        while not outcomes(live):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert name(live) == "b"
        assert (live.changes.version, live.changes.model_id) == (2, live.model_id)
    assert closed.names == ["a", "b"]


def test_version_that_does_not_load_is_tried_once_and_told(registry: Registry) -> None:
    loaded: list[Path] = []

    def load(folder: Path) -> LoadedEngine:
        loaded.append(folder)
        if folder == registry.checkpoint(2):
            message = "no such device\nand a long story"
            raise RuntimeError(message)
        return embedded.load_engine(folder)

    with closing(LiveEngine(registry, load, poll_s=0, clock=lambda: 5.0)) as live:
        registry.promote(2, gate=Gate())
        with pytest.raises(RuntimeError):
            live.look()
        live.look()
        registry.promote(3, gate=Gate())
        live.look()
        told = json.loads(json.dumps(live.changes.told()))
    assert loaded == [registry.checkpoint(number) for number in (1, 2, 3)]
    assert told["version"] == 3
    first, second = told["changes"]
    assert first == {"at_ms": 5_000, "before": 1, "after": 3, "outcome": "changed", "why": ""}
    assert (second["outcome"], second["after"]) == ("failed", 2)
    assert "no such device" in second["why"]


def test_engine_that_is_just_being_started_anew_is_swapped_at_a_later_look(registry: Registry) -> None:
    class Starting(embedded.EmbeddedEngine):
        """Has no process to swap in at first."""

        refusals = 1

        def swap(self, folder: Path) -> None:
            if Starting.refusals:
                Starting.refusals -= 1
                raise EngineOverloaded("the engine is being started anew", retry_after_s=1.0)
            self.__init__(read_checkpoint(folder))  # type: ignore[misc]

    with closing(LiveEngine(registry, lambda folder: Starting(read_checkpoint(folder)), poll_s=0)) as live:
        registry.promote(2, gate=Gate())
        live.look()
        assert (name(live), live.version, outcomes(live)) == ("a", 1, {})
        live.look()
        assert (name(live), live.version, outcomes(live)) == ("b", 2, {"changed": 1})


def test_registry_as_the_configured_model_is_followed_and_found(registry: Registry) -> None:
    with closing(load_engine("ctranslate2", str(registry.folder), threads=1)) as engine:
        assert isinstance(engine, LiveEngine)
        assert engine.model_id.startswith("a@")
    assert checkpoint_folder(str(registry.folder)) == registry.checkpoint(1)
    assert checkpoint_folder("") == serengpt_folder()
