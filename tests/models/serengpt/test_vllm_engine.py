"""Laws of the vLLM engine: what it computes, in which order, and what becomes of a model or a server that changes or dies."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.entities import Behaviour, Digest
from models.errors import CheckpointError, EngineLost, SerenError, UnsoundAnswer, Verdict, verdict
from models.pretrained import serengpt_folder
from models.serengpt.checkpoint import MANIFEST, make_manifest
from models.serengpt.engine import Engine, ImagineRequest, Scored, ScoreRequest
from streams import codec
from streams.recorded.logs import shipped_log

# vLLM's imports warn of much, and its server takes half a minute to start.
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]

# Nats, of a title's log-probability, against the torch engine with the same weights, both in single precision.
AGREEMENT = 1e-3

DIGEST = Digest(history=(Behaviour("purchase", "red retrospot mug", 1, 1),))


@pytest.fixture
def engine(vllm_engine: Any) -> Any:
    return vllm_engine


@pytest.fixture(scope="module")
def sold() -> list[str]:
    """Some titles of the shipped catalogue, spread over all of it."""
    items = [codec.decode_item(line) for _, line in shipped_log("online-retail").items()]
    titles = sorted({item.title for item in items if item is not None and item.title})
    return titles[:: len(titles) // 60]


@pytest.fixture(scope="module")
def digests(sold: list[str]) -> list[Digest]:
    """Profiles whose prompts have many lengths, so that blocks of the cache end before, at and inside the titles."""
    return [
        Digest(history=tuple(Behaviour("purchase", title, n, n) for n, title in enumerate(sold[start : start + start])))
        for start in range(0, 28, 2)
    ]


def _torch(folder: Path) -> Engine:
    loaded: Engine = import_module("models.serengpt.torch_engine").load_engine(folder, device="cpu")
    return loaded


def _answered(outcomes: list[tuple[Scored, ...] | SerenError]) -> list[tuple[Scored, ...]]:
    assert not any(isinstance(outcome, SerenError) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if not isinstance(outcome, SerenError)]


def _assert_same(found: list[tuple[Scored, ...]], expected: list[tuple[Scored, ...]]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert [one.tokens for one in ours] == [one.tokens for one in theirs]
        np.testing.assert_allclose(
            [(one.logprob, one.prior_logprob) for one in ours],
            [(one.logprob, one.prior_logprob) for one in theirs],
            rtol=0,
            atol=AGREEMENT,
        )


def _changed(folder: Path, change: str) -> Path:
    """The shipped checkpoint with other weights: all halved in the last layer, or one of them not a number."""
    safetensors = import_module("safetensors.torch")
    shutil.copytree(serengpt_folder(), folder)
    weights = safetensors.load_file(folder / "model.safetensors")
    name = "model.layers.3.mlp.down_proj.weight"
    weights[name] = weights[name] / 2
    if change == "nan":
        weights[name][0, 0] = float("nan")
    safetensors.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / MANIFEST).write_bytes(msgspec.json.encode(make_manifest(folder, name=change)))
    return folder


# ---- what it computes


def test_score_agrees_with_the_torch_engine_wherever_blocks_end_and_whatever_is_cached(
    engine: Any, digests: list[Digest], sold: list[str]
) -> None:
    requests = [ScoreRequest(digest=digest, titles=tuple(sold[n : n + 24])) for n, digest in enumerate(digests)]
    torch = _torch(serengpt_folder())
    assert engine.model_id != torch.model_id, "the same scores, but other samples of the same seed"
    expected = _answered(torch.score(requests))
    _assert_same(_answered(engine.score(requests)), expected)
    _assert_same(_answered(engine.score(requests)), expected)


def test_score_reads_a_prompt_once_for_all_titles(engine: Any, sold: list[str]) -> None:
    digest = Digest(history=tuple(Behaviour("purchase", title, n, n) for n, title in enumerate(sold[30:58])))
    asked, cached = engine.asked_tokens, engine.cached_tokens
    _answered(engine.score([ScoreRequest(digest=digest, titles=tuple(sold))]))
    # Of 144 tokens of prompt 128 are whole blocks of 32: all titles but the first take these from the cache. Those are four
    # fifths of what is asked, since a title has seven tokens with its end; priors take their few from nowhere.
    assert (engine.cached_tokens - cached) / (engine.asked_tokens - asked) > 0.7


def test_imagine_draws_as_the_torch_engine_does(engine: Any) -> None:
    # Both draw from the same distribution, with other numbers: the mean log-probability of what they drew is the same up to
    # four standard errors of its difference. A penalty on the prompt's words as well moves it: they are what is most likely.
    torch = _torch(serengpt_folder())
    means = []
    for drawer in (engine, torch):
        (titles,) = drawer.imagine([ImagineRequest(digest=DIGEST, n=256, seed=11)])
        (scored,) = _answered(torch.score([ScoreRequest(digest=DIGEST, titles=tuple(title for title in titles if title))]))
        values = np.array([one.logprob for one in scored])
        means.append((values.mean(), values.var() / len(values)))
    assert abs(means[0][0] - means[1][0]) < 4 * np.sqrt(means[0][1] + means[1][1])


def test_imagine_answers_more_prompts_than_one_step_reads(engine: Any, sold: list[str]) -> None:
    # 80 prompts of 144 tokens are 11,520, a step reads 8,192; no two begin alike, so none is taken from the cache.
    wishes = [
        ImagineRequest(
            digest=Digest(history=tuple(Behaviour("purchase", f"{n} {title}", i, i) for i, title in enumerate(sold[:30]))),
            n=2,
            seed=n,
        )
        for n in range(80)
    ]
    assert [len(titles) for titles in engine.imagine(wishes) if isinstance(titles, tuple)] == [2] * 80


def test_penalty_makes_what_a_title_has_less_likely_once_and_leaves_other_rows_alone() -> None:
    torch, penalty = import_module("torch"), import_module("models.serengpt.vllm_penalty")
    logits = torch.tensor([[2.0, -1.0, 0.5], [2.0, -1.0, 0.5], [2.0, -1.0, 0.5]])
    rows = {0: penalty.Writing(1.25, [0, 1, 0]), 2: penalty.Writing(1.25, [2]), 1: penalty.Writing(1.25, [])}
    found = penalty.penalised(logits, rows)
    torch.testing.assert_close(found, torch.tensor([[1.6, -1.25, 0.5], [2.0, -1.0, 0.5], [2.0, -1.0, 0.4]]))


def test_urgent_request_is_answered_before_those_that_wait_already(engine: Any, digests: list[Digest]) -> None:
    titles = tuple(f"{word} number {n}" for word in ("mug", "bag", "clock", "star") for n in range(100))
    refreshes = [ScoreRequest(digest=digest, titles=titles, priority=2) for digest in digests[8:11]]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(engine.score, refreshes)
        while engine.in_hand < len(titles):  # the server has them
            time.sleep(0.001)
        _answered(engine.score([ScoreRequest(digest=DIGEST, titles=("red mug",), priority=0)]))
        assert not waiting.done()
        assert [len(answer) for answer in _answered(waiting.result())] == [400] * 3


# ---- another model


def test_swap_answers_with_the_new_weights_and_loses_no_call(engine: Any, tmp_path: Path, sold: list[str]) -> None:
    halved, before = _changed(tmp_path / "halved", "halved"), engine.model_id
    request = ScoreRequest(digest=DIGEST, titles=tuple(sold[:20]))
    old, new = (_answered(_torch(folder).score([request])) for folder in (serengpt_folder(), halved))
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(engine.score, [request]) for _ in range(12)]
        engine.swap(halved)
        calls += [threads.submit(engine.score, [request]) for _ in range(4)]
        answers = [_answered(call.result()) for call in calls]
    for answer in answers[:12]:
        of_old = np.abs(answer[0][0].logprob - old[0][0].logprob) < AGREEMENT
        _assert_same(answer, old if of_old else new)
    for answer in answers[12:]:
        _assert_same(answer, new)
    assert engine.model_id.startswith("halved@")
    engine.swap(serengpt_folder())
    assert engine.model_id == before
    _assert_same(_answered(engine.score([request])), old)


def test_weights_that_are_not_numbers_refuse_each_request_and_the_next_checkpoint_heals(engine: Any, tmp_path: Path) -> None:
    engine.swap(_changed(tmp_path / "nan", "nan"))
    (score,) = engine.score([ScoreRequest(digest=DIGEST, titles=("red mug", "bag"))])
    (imagine,) = engine.imagine([ImagineRequest(digest=DIGEST, n=3, seed=1)])
    assert isinstance(score, UnsoundAnswer)
    assert str(score) == "titles[0]: 'red mug' has no finite log-probability"
    assert isinstance(imagine, UnsoundAnswer)
    assert str(imagine) == "no finite probabilities after this digest"
    engine.swap(serengpt_folder())
    assert isinstance(engine.imagine([ImagineRequest(digest=DIGEST, n=3, seed=1)])[0], tuple)


def test_swap_to_a_folder_that_is_no_checkpoint_changes_nothing(engine: Any, tmp_path: Path) -> None:
    before = engine.model_id, engine.imagine([ImagineRequest(digest=DIGEST, n=3, seed=1)])
    broken = _changed(tmp_path / "broken", "broken")
    (broken / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not the file that"):
        engine.swap(broken)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}')
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors"):
        engine.swap(tmp_path)
    assert (engine.model_id, engine.imagine([ImagineRequest(digest=DIGEST, n=3, seed=1)])) == before


def test_adapter_answers_as_the_weights_that_it_is_merged_into(engine: Any, tmp_path: Path, sold: list[str]) -> None:
    torch, safetensors = import_module("torch"), import_module("safetensors.torch")
    generator = torch.Generator().manual_seed(5)
    name = "model.layers.2.self_attn.q_proj"
    down, up = (torch.randn(size, generator=generator) / 8 for size in ((4, 192), (192, 4)))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    stored = {f"base_model.model.{name}.lora_A.weight": down, f"base_model.model.{name}.lora_B.weight": up}
    safetensors.save_file(stored, adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    merged = _changed(tmp_path / "merged", "halved")
    weights = safetensors.load_file(serengpt_folder() / "model.safetensors")
    weights[f"{name}.weight"] = weights[f"{name}.weight"].float() + up @ down * (8 / 4)
    safetensors.save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})
    (merged / MANIFEST).write_bytes(msgspec.json.encode(make_manifest(merged, name="merged")))
    request = ScoreRequest(digest=DIGEST, titles=tuple(sold[:20]))
    plain, adapted = (_answered(_torch(folder).score([request])) for folder in (serengpt_folder(), merged))
    assert max(abs(ours.logprob - theirs.logprob) for ours, theirs in zip(plain[0], adapted[0], strict=True)) > 0.1
    base = engine.model_id
    engine.swap(adapter)
    assert engine.model_id.startswith(f"{base}+adapter@")
    _assert_same(_answered(engine.score([request])), adapted)
    engine.swap(serengpt_folder())
    assert engine.model_id == base
    _assert_same(_answered(engine.score([request])), plain)


# ---- a server that dies


def test_server_that_dies_fails_its_calls_for_a_retry_and_the_next_call_starts_another(engine: Any, sold: list[str]) -> None:
    many = [ScoreRequest(digest=DIGEST, titles=tuple(f"{title} {n}" for title in sold[:40] for n in range(20)))] * 4
    expected = engine.imagine([ImagineRequest(digest=DIGEST, n=3, seed=1)])
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(engine.score, many) for _ in range(2)]
        while engine.in_hand < 800:
            time.sleep(0.001)
        engine.restart()
        for call in calls:
            error = call.exception()
            assert isinstance(error, EngineLost)
            assert verdict(error) is Verdict.RETRY
    assert engine.imagine([ImagineRequest(digest=DIGEST, n=3, seed=1)]) == expected


def test_servers_processes_die_with_a_worker_that_is_killed() -> None:
    code = (
        "import multiprocessing, os, signal, psutil\n"
        "from models.pretrained import serengpt_folder\n"
        "from models.serengpt.vllm_engine import load_engine\n"
        "if __name__ == '__main__':\n"
        "    engine = load_engine(serengpt_folder())\n"
        "    children = psutil.Process().children(recursive=True)\n"
        "    print(os.getpgid(0), *(f'{one.pid}:{os.getpgid(one.pid)}' for one in children))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    group, *processes = ended.stdout.split()
    assert len(processes) >= 1
    assert {one.split(":")[1] for one in processes} == {group}, "all in the worker's own process group"
    deadline_s = time.monotonic() + 60
    while any(_is_running(int(one.split(":")[0])) for one in processes):
        assert time.monotonic() < deadline_s, "a process outlived its worker"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
