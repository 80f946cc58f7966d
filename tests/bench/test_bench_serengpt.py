"""Laws of `seren bench serengpt`: what is asked, and that every figure says what it is. No law about speed."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from click.testing import CliRunner

from models.pretrained import serengpt_folder
from models.serengpt.shape import SHAPES
from models.serengpt.tokens import TitleTokenizer
from streams.bench.serengpt import make_load
from streams.cli.bench import bench

TITLES = ["red retrospot mug", "vintage alarm clock", "wicker heart", "RED RETROSPOT MUG", "pack of 12 tissues", "\x00"]
SMALL = ["--users", "2", "--titles", "3", "--candidates", "5", "--naive-titles", "1", "--runs", "1", "--json"]
OF_EVERY_ENGINE = {"imagine", "imagined tokens", "score", "scored tokens", "first slate p50", "first slate p99"}
OF_TORCH = {
    "naive score",
    "naive imagine",
    "score, times naive",
    "imagine, times naive",
    "difference to naive",
    "matrix rate",
    "memory bandwidth",
    "prefill",
    "prefill, share of the matrix rate",
    "decode step",
    "decode, share of the bandwidth",
}


def test_load_fills_profiles_and_asks_no_candidate_twice() -> None:
    tokenizer = TitleTokenizer.load(serengpt_folder() / "tokenizer.json")
    load = make_load(TITLES, tokenizer, users=3, candidates=4, imagined=2, profile_tokens=200, is_random=False, seed=1)
    assert len(set(load.digests)) == 3
    assert all(200 - 17 <= len(prompt) <= 200 for prompt in load.prompts), "full, up to the last title that does not fit"
    assert len(set(load.candidate_ids)) == 4, "one title in two spellings is one candidate"
    assert load.scored_tokens == sum(map(len, load.prompts)) + 3 * sum(len(ids) + 1 for ids in load.candidate_ids)


@pytest.mark.parametrize("engine", ["ctranslate2", pytest.param("torch", marks=pytest.mark.train)])
def test_bench_of_an_engine_writes_figures_with_unit_meaning_and_machine(engine: str) -> None:
    ended = CliRunner().invoke(bench, ["serengpt", "--engine", engine, *SMALL])
    assert ended.exit_code == 0, ended.output
    report = json.loads(ended.stdout)
    assert report["engine"] == engine
    assert report["runtime"].startswith(engine)
    assert {"cpu", "cores", "commit", "load_average"} <= set(report["machine"])
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert set(figures) >= OF_EVERY_ENGINE | (OF_TORCH if engine == "torch" else set())
    assert all(figure["value"] > 0 and figure["unit"] and figure["what"] for figure in figures.values())
    if engine == "torch":
        assert figures["difference to naive"]["value"] < 1e-4


def test_shape_of_another_engine_is_a_wrong_use() -> None:
    ended = CliRunner().invoke(bench, ["serengpt", "--shape", "qwen3-0.6b", *SMALL])
    assert ended.exit_code == 2
    assert "--shape makes a model for --engine torch" in ended.output


@pytest.mark.train
def test_random_network_answers_as_the_model_that_it_is_made_of() -> None:
    torch, naive = import_module("torch"), import_module("streams.bench.naive")
    shape = import_module("dataclasses").replace(
        SHAPES["qwen3-8b"], vocabulary=4000, hidden=64, layers=2, feed_forward=96, heads=4, key_value_heads=2, head_size=16
    )
    model = naive.random_model(shape, device=torch.device("cpu"), precision=torch.float32, seed=3)
    network = naive.network_of(model, shape)
    (expected, *_), _ = naive.scored_naively(model, [[7, 8, 9]], [[100, 200]])
    with torch.inference_mode():
        prefix = network.read([[7, 8, 9]])
        after = network.extend(torch.tensor([[[100, 200]]]), prefix)[0, 0]
        found = network.log_probabilities(torch.cat([prefix.last, after]), torch.tensor([100, 200, 1])).sum()
    assert float(found) == pytest.approx(expected, abs=1e-4)
