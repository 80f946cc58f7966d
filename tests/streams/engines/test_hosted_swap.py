"""Laws of changing the model of an engine that has no room for two, in its own process: one process, and none of it lost."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from models.entities import Behaviour, Digest
from models.errors import CheckpointError, EngineError, EngineHung
from models.pretrained import serengpt_folder
from models.registry import Gate, Metrics, Registry
from models.serengpt.engine import ScoreRequest
from streams.engines.hosting.engine import HostedEngine, HostPolicy
from streams.engines.live import LiveEngine

ASK = ScoreRequest(digest=Digest(history=(Behaviour("purchase", "red retrospot mug", 1, 1),)), titles=("blue mug", "clock"))
POLICY = HostPolicy(stall_s=20.0, start_s=30.0, wait_s=20.0)
Measure = Callable[..., Metrics]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """The shipped checkpoint under three names."""
    made = {}
    for name in ("a", "b", "c"):
        made[name] = tmp_path / name
        shutil.copytree(serengpt_folder(), made[name], ignore=shutil.ignore_patterns("*.safetensors"))
        manifest = made[name] / "ct2" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
    return made


def hosted_in(folder: Path, log: Path, policy: HostPolicy = POLICY) -> HostedEngine:
    arguments = {"model": str(folder), "log": str(log)}
    return HostedEngine("tests.streams.engines.swapping_engine:make", arguments, policy=policy)


@pytest.fixture
def hosted(folders: dict[str, Path], tmp_path: Path) -> Iterator[HostedEngine]:
    with closing(hosted_in(folders["a"], tmp_path / "log")) as engine:
        yield engine


def name(engine: HostedEngine | LiveEngine) -> str:
    return engine.model_id.partition("@")[0]


def started(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().split()


def test_swap_goes_to_the_engine_in_the_process_and_starts_no_other(
    hosted: HostedEngine, folders: dict[str, Path], tmp_path: Path
) -> None:
    pid, before = hosted.pid, hosted.score([ASK])
    assert hosted.can_swap
    hosted.swap(folders["b"])
    assert (name(hosted), hosted.pid, started(tmp_path)) == ("b", pid, ["a"])
    assert hosted.score([ASK]) == before


def test_process_that_is_started_anew_after_a_swap_has_the_new_checkpoint(
    hosted: HostedEngine, folders: dict[str, Path], tmp_path: Path
) -> None:
    hosted.swap(folders["b"])
    life = hosted._life
    assert life is not None
    life.kill(EngineError("for a test"))
    with pytest.raises(EngineError):
        life.ask(None, [])  # type: ignore[arg-type]
    assert not isinstance(hosted.score([ASK])[0], Exception)
    assert (name(hosted), started(tmp_path)) == ("b", ["a", "b"])


def test_checkpoint_that_cannot_be_run_changes_nothing(hosted: HostedEngine, folders: dict[str, Path], tmp_path: Path) -> None:
    (folders["b"] / "ct2" / "model.bin").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        hosted.swap(folders["b"])
    assert not isinstance(hosted.score([ASK])[0], Exception)
    assert (name(hosted), started(tmp_path)) == ("a", ["a"])


@pytest.mark.parametrize(("harm", "kind"), [("kills", EngineError), ("hangs", EngineHung)])
def test_process_that_ends_in_a_swap_comes_back_with_the_checkpoint_before(
    folders: dict[str, Path], tmp_path: Path, harm: str, kind: type[EngineError]
) -> None:
    (folders["b"] / harm).touch()
    policy = HostPolicy(stall_s=20.0, start_s=5.0, wait_s=20.0)
    with closing(hosted_in(folders["a"], tmp_path / "log", policy)) as hosted:
        with pytest.raises(kind):
            hosted.swap(folders["b"])
        assert not isinstance(hosted.score([ASK])[0], Exception)
        assert (name(hosted), started(tmp_path)) == ("a", ["a", "a"])


def test_registry_is_followed_by_one_process_and_its_batches_keep_their_version(
    folders: dict[str, Path], tmp_path: Path, measure: Measure
) -> None:
    registry = Registry(tmp_path / "registry")
    for folder in folders.values():
        registry.add(folder, metrics=measure(folder), parent=None, created_ms=1)
    registry.promote(1, gate=Gate())
    with closing(LiveEngine(registry, lambda folder: hosted_in(folder, tmp_path / "log"), poll_s=0)) as live:
        registry.promote(2, gate=Gate())
        looking = threading.Thread(target=live.look)
        with live.batch():
            looking.start()
            before = name(live), live.score([ASK])
        looking.join(20)
        assert (before[0], name(live), live.version) == ("a", "b", 2)
        assert live.score([ASK]) == before[1]
        (registry.checkpoint(3) / "README.md").unlink()
        registry._point(registry.pointer().__class__(current=3, before=(1, 2)))
        with pytest.raises(CheckpointError, match=r"README\.md is missing"):
            live.look()
        assert (name(live), dict(live.changes.counts)) == ("b", {"changed": 1, "refused": 1})
    assert len(started(tmp_path)) == 1
