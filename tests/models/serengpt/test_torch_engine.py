"""Laws of the torch engine: what it computes, and what becomes of a device or a checkpoint that fails it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.catalogue import Catalogue
from models.entities import Behaviour, Digest
from models.errors import CheckpointError, EngineDead, EngineOverloaded, RequestError, SerenError, Verdict, verdict
from models.pretrained import serengpt_folder
from models.serengpt.checkpoint import MANIFEST, make_manifest
from models.serengpt.constrained import Beginning
from models.serengpt.embedded import EmbeddedEngine
from models.serengpt.engine import ImagineRequest, Scored, ScoreRequest
from models.serengpt.prompt import prompt_ids, title_ids
from models.serengpt.tokens import END, TitleTokenizer
from streams import codec
from streams.recorded.logs import shipped_log

pytestmark = [pytest.mark.train, pytest.mark.timeout(120)]

READ_AT_ONCE = 1e-4  # nats; a title after a prompt against both in one pass of transformers, single precision (seen: 6e-6)
# Nats per token, int8 against single precision on the shipped checkpoint (seen: 0.009 and 0.06).
INT8_MEAN, INT8_MOST = 0.02, 0.15

DIGEST = Digest(history=(Behaviour("purchase", "red retrospot mug", 1, 1),))
TITLES = ("red retrospot mug", "wicker heart", "mug", "hanging heart t-light holder", "vintage alarm clock bakelike green")


@pytest.fixture(scope="module")
def torch_engine() -> Any:
    return import_module("models.serengpt.torch_engine")


@pytest.fixture
def loaded(torch_engine: Any) -> Any:
    """An engine that reads several requests and titles at once, so that there is something to halve."""
    return torch_engine.load_engine(serengpt_folder(), device="cpu", batching=torch_engine.Batching())


@pytest.fixture(scope="module")
def sold() -> list[str]:
    """Some titles of the shipped catalogue, spread over all of it."""
    items = [codec.decode_item(line) for _, line in shipped_log("online-retail").items()]
    titles = [item.title for item in Catalogue(item for item in items if item is not None).items]
    return titles[:: len(titles) // 60]


@pytest.fixture(scope="module")
def digests(sold: list[str]) -> list[Digest]:
    """Profiles of one to 29 purchases; the long ones are cut by the prompt's budget."""
    return [
        Digest(
            static=("country: France",),
            history=tuple(Behaviour("purchase", title, n, n) for n, title in enumerate(sold[start : start + 4 * start + 1])),
        )
        for start in range(8)
    ]


def _answered(outcomes: list[tuple[Scored, ...] | SerenError]) -> list[tuple[Scored, ...]]:
    assert not any(isinstance(outcome, SerenError) for outcome in outcomes)
    return [outcome for outcome in outcomes if not isinstance(outcome, SerenError)]


# ---- what it computes


def test_score_agrees_with_transformers_reading_every_full_prompt(loaded: Any, digests: list[Digest], sold: list[str]) -> None:
    torch, transformers = import_module("torch"), import_module("transformers")
    naive = transformers.Qwen3ForCausalLM.from_pretrained(serengpt_folder(), dtype=torch.float32).eval()
    tokenizer = TitleTokenizer.load(serengpt_folder() / "tokenizer.json")
    titles = tuple(sold[:12])
    found = _answered(loaded.score([ScoreRequest(digest=digest, titles=titles) for digest in digests]))
    for digest, answer in zip(digests, found, strict=True):
        prompt = prompt_ids(digest, tokenizer)
        for title, scored in zip(titles, answer, strict=True):
            ids = torch.tensor([[*prompt, *title_ids(title, tokenizer), tokenizer.ids[END]]])
            with torch.inference_mode():
                steps = naive(ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1)
            expected = float(steps.gather(1, ids[0, len(prompt) :, None]).sum())
            assert scored.logprob == pytest.approx(expected, abs=READ_AT_ONCE)


def test_score_agrees_with_the_embedded_engine_up_to_its_whole_numbers(
    loaded: Any, engine: EmbeddedEngine, digests: list[Digest], sold: list[str]
) -> None:
    requests = [ScoreRequest(digest=digest, titles=tuple(sold)) for digest in digests]
    single, whole = _answered(loaded.score(requests)), _answered(engine.score(requests))
    per_token = np.array(
        [
            [(ours.logprob - theirs.logprob) / ours.tokens for ours, theirs in zip(*answers, strict=True)]
            for answers in zip(single, whole, strict=True)
        ]
    )
    assert np.abs(per_token).mean() < INT8_MEAN
    assert np.abs(per_token).max() < INT8_MOST


def test_score_in_a_gpus_precision_agrees_up_to_its_rounding(torch_engine: Any, loaded: Any, sold: list[str]) -> None:
    # bf16 keeps eight bits: seen on the shipped checkpoint, 0.025 nats a token at most. It computes on the CPU, too.
    torch, qwen3 = import_module("torch"), import_module("models.serengpt.qwen3")
    shape, cpu = loaded.network.shape, torch.device("cpu")
    network = qwen3.stored_network(shape, [serengpt_folder() / "model.safetensors"], device=cpu, precision=torch.bfloat16)
    halved = torch_engine.TorchEngine(
        network, loaded._tokenizer, model_id="half", prompt_version=1, batching=torch_engine.Batching()
    )
    requests = [ScoreRequest(digest=DIGEST, titles=tuple(sold)), ScoreRequest(digest=Digest(), titles=TITLES)]
    for whole, half in zip(_answered(loaded.score(requests)), _answered(halved.score(requests)), strict=True):
        np.testing.assert_allclose(
            [one.logprob / one.tokens for one in half], [one.logprob / one.tokens for one in whole], rtol=0, atol=0.1
        )
    assert len(halved.imagine([ImagineRequest(digest=DIGEST, n=5, seed=1)])[0]) == 5


def test_imagine_draws_what_score_finds_likely(torch_engine: Any) -> None:
    loaded = torch_engine.load_engine(serengpt_folder(), device="cpu")
    (titles,) = loaded.imagine([ImagineRequest(digest=DIGEST, n=64, seed=4)])
    (drawn,) = _answered(loaded.score([ScoreRequest(digest=DIGEST, titles=tuple(title for title in titles if title))]))
    (shuffled,) = _answered(
        loaded.score([ScoreRequest(digest=DIGEST, titles=tuple(" ".join(title.split()[::-1]) for title in titles if title))])
    )
    assert np.median([one.logprob for one in drawn]) > np.median([one.logprob for one in shuffled]) + 5


@pytest.mark.parametrize("written", [(), (700, 1200, 700)])
def test_imagine_token_falls_where_its_number_lies(loaded: Any, written: tuple[int, ...]) -> None:
    # By hand: the first id at which the running sum of probabilities passes the number. Tokens that the title has are less
    # likely, and once only, however often it has them.
    torch = import_module("torch")
    with torch.inference_mode():
        prefix = loaded.network.read([prompt_ids(DIGEST, loaded._tokenizer)])
        logits = loaded.network.logits(prefix.last).double()[0].numpy()
        for token in set(written):
            logits[token] = logits[token] / 1.05 if logits[token] > 0 else logits[token] * 1.05
        shares = np.exp(logits / 0.95) / np.exp(logits / 0.95).sum()
        for number in (0.0, 0.1, 0.5, 0.9, 0.999999, shares[:1200].sum() + shares[1200] / 2):
            seen = torch.tensor([written], dtype=torch.int64).view(1, -1)
            drawn = loaded._drawn(prefix.last, seen, torch.tensor([number], dtype=torch.float64))
            assert int(drawn) == int(np.argmax(np.cumsum(shares) > number))


def test_imagine_draws_from_the_distribution_of_the_embedded_engine(loaded: Any, engine: EmbeddedEngine) -> None:
    # How likely a model finds what it draws has the same mean whoever draws; five standard errors of two means of 256 titles.
    means, errors = [], []
    for drawing in (loaded, engine):
        (titles,) = drawing.imagine([ImagineRequest(digest=DIGEST, n=256, seed=21)])
        assert isinstance(titles, tuple)
        (scored,) = _answered(loaded.score([ScoreRequest(digest=DIGEST, titles=tuple(title for title in titles if title))]))
        logprobs = [one.logprob for one in scored]
        means.append(np.mean(logprobs))
        errors.append(np.std(logprobs) / len(logprobs) ** 0.5)
    assert abs(means[0] - means[1]) < 5 * np.hypot(*errors), (means, errors)


def test_imagine_of_many_titles_begins_with_those_of_few(loaded: Any) -> None:
    few, many = (loaded.imagine([ImagineRequest(digest=DIGEST, n=n, seed=11)])[0] for n in (3, 70))
    assert many[:3] == few


def test_imagine_stops_when_every_title_has_ended(torch_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = torch_engine.load_engine(serengpt_folder(), device="cpu")
    tried = _with_room_for(loaded, 1, monkeypatch)
    for seed in range(5):
        tried.clear()
        ((title,),) = loaded.imagine([ImagineRequest(digest=DIGEST, n=1, seed=seed)])
        assert len(tried) == len(title_ids(title, loaded._tokenizer)), "the end itself is not read"


@pytest.mark.parametrize("bound", [60, 200, 1000])
def test_batch_reads_no_more_tokens_than_its_bound_unless_one_prompt_does(
    torch_engine: Any, digests: list[Digest], bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = torch_engine.load_engine(
        serengpt_folder(), device="cpu", batching=torch_engine.Batching(requests=5, prompt_tokens=bound)
    )
    read, sizes = loaded.network.read, []

    def noted(prompts: Any) -> Any:
        sizes.append((len(prompts), max(map(len, prompts))))
        return read(prompts)

    monkeypatch.setattr(loaded.network, "read", noted)
    loaded.imagine([ImagineRequest(digest=digest, n=1, seed=1) for digest in digests])
    assert sum(count for count, _ in sizes) == len(digests)
    assert all(count == 1 or (count * longest <= bound and count <= 5) for count, longest in sizes)


# ---- a device without room


def _with_room_for(loaded: Any, tokens: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets the network's second step fail as a full GPU does when it is given more tokens; notes the sizes that were tried."""
    torch = import_module("torch")
    extend, tried = loaded.network.extend, []

    def bounded(ids: Any, *others: Any) -> Any:
        tried.append(ids.numel())
        if ids.numel() > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return extend(ids, *others)

    monkeypatch.setattr(loaded.network, "extend", bounded)
    return tried


def test_batch_without_room_is_halved_and_gives_the_same_answers(
    torch_engine: Any, loaded: Any, digests: list[Digest], sold: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [ScoreRequest(digest=digest, titles=tuple(sold[:20])) for digest in digests]
    wishes = [ImagineRequest(digest=digest, n=6, seed=n) for n, digest in enumerate(digests)]
    expected, titles = _answered(loaded.score(scores)), loaded.imagine(wishes)
    small = torch_engine.load_engine(serengpt_folder(), device="cpu", batching=torch_engine.Batching())
    tried = _with_room_for(small, 24, monkeypatch)
    found = _answered(small.score(scores))
    np.testing.assert_allclose(
        [[one.logprob for one in answer] for answer in found],
        [[one.logprob for one in answer] for answer in expected],
        rtol=0,
        atol=1e-4,
    )
    assert small.imagine(wishes) == titles
    assert max(tried) > 24


def test_no_room_for_one_title_is_an_overload_that_passes(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        tried = _with_room_for(loaded, 0, full)
        with pytest.raises(EngineOverloaded, match="no room for one title of one request") as caught:
            loaded.score([ScoreRequest(digest=DIGEST, titles=TITLES)] * 4)
        assert verdict(caught.value) is Verdict.RETRY
        assert len(tried) <= 2 + 5 + 1, "requests are halved twice, 32 titles five times"
    assert len(_answered(loaded.score([ScoreRequest(digest=DIGEST, titles=TITLES)] * 4))) == 4


def test_runtime_that_fails_otherwise_is_dead(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(loaded.network, "read", broken)
    with pytest.raises(EngineDead, match="illegal memory access"):
        loaded.imagine([ImagineRequest(digest=DIGEST, n=1, seed=1)])


# ---- checkpoints that are none


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(serengpt_folder(), tmp_path / "model"))


def _sealed(folder: Path) -> Path:
    (folder / MANIFEST).write_bytes(msgspec.json.encode(make_manifest(folder, name="broken")))
    return folder


def _changed_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    safetensors = import_module("safetensors.torch")
    weights = safetensors.load_file(folder / "model.safetensors")
    change(weights)
    safetensors.save_file(weights, folder / "model.safetensors")
    return _sealed(folder)


def _configured(folder: Path, **changed: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    return _sealed(folder)


def test_weights_that_are_not_numbers_are_errors_of_their_requests(torch_engine: Any, copied: Path) -> None:
    def break_norm(weights: dict[str, Any]) -> None:
        weights["model.norm.weight"][3] = float("nan")

    broken = torch_engine.load_engine(_changed_weights(copied, break_norm), device="cpu")
    (scored,) = broken.score([ScoreRequest(digest=DIGEST, titles=TITLES)])
    (imagined,) = broken.imagine([ImagineRequest(digest=DIGEST, n=2, seed=1)])
    assert isinstance(scored, RequestError)
    assert str(scored) == "titles[0]: 'red retrospot mug' has no finite log-probability"
    assert isinstance(imagined, RequestError)
    assert str(imagined) == "no finite probabilities after this digest"


@pytest.mark.parametrize("file", ["tokenizer.json", "config.json", "model.safetensors"])
def test_changed_or_missing_file_is_an_error(torch_engine: Any, copied: Path, file: str) -> None:
    data = bytearray((copied / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / file).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{file} is not the file that ct2/manifest.json names"):
        torch_engine.load_engine(copied, device="cpu")
    (copied / file).unlink()
    with pytest.raises(CheckpointError, match=f"cannot read {file}"):
        torch_engine.load_engine(copied, device="cpu")


def test_manifest_without_weights_is_an_error(torch_engine: Any, copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"names no model\*\.safetensors"):
        torch_engine.load_engine(_sealed(copied), device="cpu")


def test_torn_weights_are_an_error(torch_engine: Any, copied: Path) -> None:
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[:-1])
    with pytest.raises(CheckpointError, match=r"cannot read model\.safetensors"):
        torch_engine.load_engine(_sealed(copied), device="cpu")


def test_missing_weight_is_named(torch_engine: Any, copied: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weight model\.norm\.weight in model\.safetensors"):
        torch_engine.load_engine(_changed_weights(copied, lambda weights: weights.pop("model.norm.weight")), device="cpu")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, r"architectures \['LlamaForCausalLM'\], must be \['Qwen3ForCausalLM'\]"),
        (
            {"hidden_size": 191},
            r"weight model\.embed_tokens\.weight has size \(3072, 192\), config\.json asks for \(3072, 191\)",
        ),
        ({"max_position_embeddings": 159}, "positions 159, must be at least 160"),
        ({"attention_bias": True}, "attention_bias True, must be False"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type 'yarn', must be 'default'"),
        ({"rope_parameters": None}, "rope_theta None, must be a number above 1"),
        ({"num_hidden_layers": "four"}, "Expected `int`, got `str`"),
    ],
)
def test_other_network_is_refused(torch_engine: Any, copied: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        torch_engine.load_engine(_configured(copied, **changed), device="cpu")


def test_weights_in_parts_give_the_same_answers(torch_engine: Any, loaded: Any, copied: Path) -> None:
    safetensors = import_module("safetensors.torch")
    weights = safetensors.load_file(copied / "model.safetensors")
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        safetensors.save_file({name: weights[name] for name in part}, copied / f"model-0000{number}-of-00002.safetensors")
    (copied / "model.safetensors").unlink()
    parts = torch_engine.load_engine(_sealed(copied), device="cpu", batching=torch_engine.Batching())
    assert parts.score([ScoreRequest(digest=DIGEST, titles=TITLES)]) == loaded.score(
        [ScoreRequest(digest=DIGEST, titles=TITLES)]
    )


def test_constrained_steps_read_the_logits_of_the_whole_prompt_whatever_is_beside_them(
    loaded: Any, digests: list[Digest]
) -> None:
    continued = import_module("models.serengpt.torch_constrained").continued
    network, tokenizer = loaded.network, TitleTokenizer.load(serengpt_folder() / "tokenizer.json")
    prompts = [prompt_ids(digest, tokenizer) for digest in (digests[0], digests[-1])]
    ids = np.array([5, 77, 1200])
    wanted = [
        [Beginning(title_ids(title, tokenizer)[:size], ids) for size, title in enumerate(titles)]
        for titles in (TITLES[:2], TITLES)
    ]
    found = continued(network, network.read(prompts), wanted, side_by_side=2)
    for prompt, beginnings, rows in zip(prompts, wanted, found, strict=True):
        for one, logits in zip(beginnings, rows, strict=True):
            plain = network.logits(network.read([[*prompt, *one.path]]).last)[0, ids]
            np.testing.assert_allclose(logits, plain.double().numpy(), rtol=0, atol=READ_AT_ONCE)
