"""vLLM behind the watchdog, with a registry: a promotion is read into the one server that runs. See `make test-vllm`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from models.entities import Behaviour, Digest
from models.pretrained import serengpt_folder
from models.registry import Gate, Metrics, Registry
from models.serengpt.engine import ScoreRequest
from streams.engines.hosting.engine import HostedEngine, HostPolicy
from streams.engines.live import LiveEngine
from streams.engines.named import load_hosted_engine

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

ASK = ScoreRequest(digest=Digest(history=(Behaviour("purchase", "red retrospot mug", 1, 1),)), titles=("blue mug", "clock"))
LIMITS = {"cpu_cache_bytes": 268_435_456, "sequences": 16}


def test_promotion_changes_the_server_in_its_process_and_starts_no_other(
    tmp_path: Path, measure: Callable[..., Metrics]
) -> None:
    registry = Registry(tmp_path / "registry")
    for name in ("a", "b"):
        folder = tmp_path / name
        shutil.copytree(serengpt_folder(), folder)
        manifest = folder / "ct2" / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": name}))
        registry.add(folder, metrics=measure(folder), parent=None, created_ms=1)
    registry.promote(1, gate=Gate())
    policy = HostPolicy(stall_s=120.0, start_s=400.0, wait_s=300.0)
    restarts: list[str] = []
    engine = load_hosted_engine(
        "vllm", str(registry.folder), threads=1, vllm=LIMITS, policy=policy, on_restart=restarts.append
    )
    assert isinstance(engine, LiveEngine)
    with closing(engine) as live:
        hosted = live._serving.engine
        assert isinstance(hosted, HostedEngine)
        pid, before = hosted.pid, live.score([ASK])
        registry.promote(2, gate=Gate())
        live.look()
        assert (live.version, live.model_id.partition("@")[0], hosted.pid) == (2, "b", pid)
        assert live._serving.engine is hosted
        [after] = live.score([ASK])
        assert [one.logprob for one in after] == pytest.approx([one.logprob for one in before[0]], abs=1e-4)  # type: ignore[union-attr]
    assert restarts == []
