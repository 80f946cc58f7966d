"""Laws of preference alignment; they need torch, TRL and PEFT."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from models.alignment.records import PreferencePair
from models.entities import Behaviour, Digest
from models.errors import CheckpointError
from models.serengpt.embedded import load_engine
from models.serengpt.engine import ScoreRequest
from models.serengpt.tokens import TitleTokenizer
from models.training.preferences import Judged, Pair
from models.training.tokenizer import train_tokenizer

# The libraries warn of what changes in their own next versions.
pytestmark = [pytest.mark.train, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

TITLES = ("red mug", "blue mug", "wall clock", "paper lantern")
DIGESTS = [Digest(history=(Behaviour("purchase", title, 1, 1),)) for title in TITLES]


@pytest.fixture(scope="module")
def align() -> Any:
    return import_module("models.training.align")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random network."""
    sft, convert = import_module("models.training.sft"), import_module("models.training.convert")
    written = train_tokenizer([*TITLES] * 3, vocabulary=330)
    tokenizer = TitleTokenizer(written)
    shape = sft.ModelShape(hidden=32, layers=2, feed_forward=48, heads=2, key_value_heads=1, head_size=16, positions=192)
    nothing, none = np.zeros((tokenizer.size, 32), dtype=np.float32), np.zeros(tokenizer.size, dtype=bool)
    model = sft.new_model(shape, tokenizer, vectors=nothing, known=none, seed=1)
    folder = tmp_path_factory.mktemp("base")
    convert.save_checkpoint(folder, model, written, name="base")
    return folder


def _pairs() -> list[Pair]:
    return [Pair(digest=digest, chosen="paper lantern", rejected="wall clock") for digest in DIGESTS]


def _judged() -> list[Judged]:
    return [
        Judged(digest=digest, title=title, wanted=title == "paper lantern")
        for digest in DIGESTS
        for title in ("paper lantern", "wall clock")
    ]


def _run(align: Any, base: Path, folder: Path, rows: Any, watch: Any = lambda _step: None, **changed: Any) -> Any:
    policy = align.AlignPolicy(
        **({"steps": 8, "batch": 4, "learning_rate": 3e-2, "warm_up_steps": 1, "save_steps": 2} | changed)
    )
    return align.align(base, rows, policy=policy, seed=1, folder=folder, name="aligned", watch=watch)


def _preference(folder: Path) -> float:
    """By how many nats the chosen title is ahead of the rejected one."""
    engine = load_engine(folder)
    (scored,) = engine.score([ScoreRequest(digest=DIGESTS[0], titles=("paper lantern", "wall clock"))])
    engine.close()
    assert isinstance(scored, tuple)
    return scored[0].logprob - scored[1].logprob


@pytest.mark.parametrize("method", ["ipo", "dpo", "kto", "sft"])
def test_align_with_any_method_makes_the_chosen_title_likelier(align: Any, base: Path, tmp_path: Path, method: str) -> None:
    rows = _pairs() if method in ("ipo", "dpo") else _judged()
    aligned = _run(align, base, tmp_path, rows, method=method)
    assert aligned.reference.startswith("base@")
    assert _preference(tmp_path) > _preference(base) + 0.1
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    assert not (tmp_path / "unfinished").exists()


def test_ipo_begins_at_its_squared_target_and_a_fifth_of_the_cross_entropy(align: Any, base: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    _run(align, base, tmp_path, _pairs(), lambda step: losses.append(step.loss), steps=1, tau=0.25, batch=4)
    engine = load_engine(base)
    answers = engine.score([ScoreRequest(digest=digest, titles=("paper lantern",)) for digest in DIGESTS])
    engine.close()
    chosen = [answer[0] for answer in answers if isinstance(answer, tuple)]
    nats_per_token = -sum(one.logprob for one in chosen) / sum(one.tokens for one in chosen)
    # Nothing has moved: h = 0, (0 - 1 / (2 * 0.25))^2 = 4; int8 against float32 is within a hundredth of a nat a token.
    assert losses == [pytest.approx(4 + 0.2 * nats_per_token, abs=0.02)]


class Stop(Exception):
    """Stands for a machine that goes away."""


def test_align_stopped_and_resumed_ends_in_the_same_weights(align: Any, base: Path, tmp_path: Path) -> None:
    def stop_after_three(step: Any) -> None:
        if step.step == 3:
            raise Stop

    whole = _run(align, base, tmp_path / "whole", _pairs(), steps=5)
    with pytest.raises(Stop):
        _run(align, base, tmp_path / "broken", _pairs(), stop_after_three, steps=5)
    seen: list[int] = []
    resumed = _run(align, base, tmp_path / "broken", _pairs(), lambda step: seen.append(step.step), steps=5)
    assert seen == [3, 4, 5]
    assert resumed.manifest.sha256 == whole.manifest.sha256


def test_unfinished_run_of_other_arguments_is_not_gone_on_with(align: Any, base: Path, tmp_path: Path) -> None:
    def stop(_step: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        _run(align, base, tmp_path, _pairs(), stop, tau=0.5)
    with pytest.raises(CheckpointError, match="other arguments"):
        _run(align, base, tmp_path, _pairs(), tau=0.1)


def test_rows_of_the_wrong_kind_and_pairs_of_one_title_are_refused(align: Any, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kto learns from Judged"):
        _run(align, base, tmp_path / "a", _pairs(), method="kto")
    same = [Pair(digest=DIGESTS[0], chosen="Red Mug", rejected="red  mug")]
    with pytest.raises(ValueError, match="0 of 1 can be learned from"):
        _run(align, base, tmp_path / "b", same)
    with pytest.raises(ValueError, match="tau: 0"):
        align.AlignPolicy(tau=0)


def test_id_words_come_back_as_the_ids_that_went_in(align: Any) -> None:
    tokenizer = TitleTokenizer(train_tokenizer([*TITLES] * 3, vocabulary=330))
    ids = [7, 0, tokenizer.size - 1, 12, 1]
    assert align.id_tokenizer(tokenizer)(align._words(ids))["input_ids"] == ids


def test_command_aligns_writes_its_card_and_wants_one_source(base: Path, tmp_path: Path) -> None:
    files, cli = import_module("streams.alignment.files"), import_module("streams.cli.train")
    records = [
        PreferencePair(
            user_id=str(number),
            ts_ms=number,
            digest=digest,
            chosen="paper lantern",
            rejected="wall clock",
            chosen_score=5,
            rejected_score=2,
            judged_by="judge",
        )
        for number, digest in enumerate(DIGESTS)
    ]
    files.write_pairs(tmp_path / "pairs.parquet", records)
    common = ["align", "--base", str(base), "--out", str(tmp_path / "model"), "--steps", "2", "--batch", "2", "--json"]
    refused = CliRunner().invoke(cli.train_group, common)
    assert refused.exit_code == 2
    assert "--pairs and --samples: 0 given" in refused.output
    done = CliRunner().invoke(cli.train_group, [*common, "--pairs", str(tmp_path / "pairs.parquet"), "--task", "query"])
    assert done.exit_code == 0, done.output
    said = json.loads((tmp_path / "model" / "alignment.json").read_text())
    assert (said["method"], said["task"], said["rows"], said["policy"]["tau"]) == ("ipo", "query", 4, 0.5)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "IPO, **per token**" in card
    assert "it writes the search query" in card
