"""Laws of supervised fine-tuning; they need torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.entities import Behaviour, Digest, Item, Seen
from models.serengpt.embedded import load_engine
from models.serengpt.engine import ScoreRequest
from models.serengpt.prompt import prompt_ids, title_ids
from models.serengpt.tokens import TitleTokenizer
from models.training.examples import Example
from models.training.samples import Sample
from models.training.tokenizer import train_tokenizer

pytestmark = [pytest.mark.train, pytest.mark.timeout(300)]

TOKENIZER = TitleTokenizer(train_tokenizer(["red mug", "blue mug", "wall clock", "paper lantern"] * 3, vocabulary=330))
MUG, CLOCK, LANTERN = (title_ids(title, TOKENIZER) for title in ("red mug", "wall clock", "paper lantern"))
PROMPT = tuple(prompt_ids(Digest(history=(Behaviour("purchase", "blue mug", 1, 1),)), TOKENIZER)[:-1])


@pytest.fixture(scope="module")
def sft() -> Any:
    return import_module("models.training.sft")


def _model(sft: Any, seed: int = 1) -> Any:
    shape = sft.ModelShape(hidden=32, layers=2, feed_forward=48, heads=2, key_value_heads=1, head_size=16)
    nothing = np.zeros((TOKENIZER.size, 32), dtype=np.float32)
    return sft.new_model(shape, TOKENIZER, vectors=nothing, known=np.zeros(TOKENIZER.size, dtype=bool), seed=seed)


def _phase(sft: Any, **changed: Any) -> Any:
    settings = {"name": "small", "serendipitous_only": False, "steps": 6, "learning_rate": 1e-2, "rows": 2, "check_steps": 3}
    return sft.Phase(**(settings | changed))


def test_packed_titles_cost_what_each_costs_alone(sft: Any) -> None:
    model = _model(sft).eval()
    together = sft.pack([Example(PROMPT, (MUG, CLOCK, LANTERN), 0)], TOKENIZER, prompt_weight=0.0)
    packed, _ = sft.token_losses(model, together)
    alone = [
        sft.token_losses(model, sft.pack([Example(PROMPT, (title,), 0)], TOKENIZER, prompt_weight=0.0))[0]
        for title in (MUG, CLOCK, LANTERN)
    ]
    np.testing.assert_allclose(packed.detach(), np.concatenate([losses.detach() for losses in alone]), rtol=1e-4)


def test_packed_row_costs_the_same_beside_a_longer_one(sft: Any) -> None:
    model = _model(sft).eval()
    short, long = Example(PROMPT, (MUG,), 0), Example((*PROMPT, *PROMPT), (MUG, CLOCK, LANTERN), 0)
    alone, _ = sft.token_losses(model, sft.pack([short], TOKENIZER, prompt_weight=0.0))
    padded, _ = sft.token_losses(model, sft.pack([short, long], TOKENIZER, prompt_weight=0.0))
    np.testing.assert_allclose(padded.detach()[: len(MUG) + 1], alone.detach(), rtol=1e-4)


def test_prompt_tokens_weigh_as_asked_and_titles_one(sft: Any) -> None:
    batch = sft.pack([Example(PROMPT, (MUG,), 0)], TOKENIZER, prompt_weight=0.25)
    # The prompt's first token is predicted by nothing; the cue predicts the title, the title's last token predicts the end.
    assert batch.weights[0].tolist() == [0.25] * (len(PROMPT) - 1) + [0.0] + [1.0] * (len(MUG) + 1)


def test_recency_weight_halves_with_every_half_life(sft: Any) -> None:
    day_ms = 86_400_000
    rows = [Example(PROMPT, (MUG,), days * day_ms) for days in (0, 30, 60)]
    assert sft.recency_weights(rows, half_life_days=30.0) == [0.25, 0.5, 1.0]


def test_training_learns_what_follows_what(sft: Any) -> None:
    model = _model(sft)
    losses: list[float] = []
    phase = _phase(sft, steps=40, blank_share=0.0)
    training = sft.Training(model, TOKENIZER, phase, rows=[Example(PROMPT, (MUG,), 0)], validation=[], seed=1, save=None)
    training.run(lambda step: losses.append(step.loss))
    assert losses[-1] < losses[0] / 4


def test_training_stopped_and_resumed_ends_in_the_same_weights(sft: Any, tmp_path: Path) -> None:
    rows = [Example(PROMPT, (MUG, CLOCK), 0), Example(PROMPT, (LANTERN,), 1)]

    class Stop(Exception):
        pass

    def stop_after_four(step: Any) -> None:
        if step.step == 4:
            raise Stop

    def training(model: Any, save: Path) -> Any:
        return sft.Training(model, TOKENIZER, _phase(sft), rows=rows, validation=rows, seed=1, save=save)

    whole, broken = _model(sft), _model(sft)
    training(whole, tmp_path / "whole.pt").run(lambda _step: None)
    with pytest.raises(Stop):
        training(broken, tmp_path / "broken.pt").run(stop_after_four)
    resumed = _model(sft, seed=2)
    seen: list[int] = []
    training(resumed, tmp_path / "broken.pt").run(lambda step: seen.append(step.step))
    assert seen == [4, 5, 6]
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], value, err_msg=name)


def test_training_that_gets_worse_ends_early_with_its_best_weights(sft: Any) -> None:
    # Taught mugs, asked for clocks: the more it learns the worse it answers.
    model = _model(sft)
    phase = _phase(sft, steps=60, check_steps=2, patience=2, learning_rate=2e-2)
    checked = [Example(PROMPT, (CLOCK,), 0)]
    training = sft.Training(model, TOKENIZER, phase, rows=[Example(PROMPT, (MUG,), 0)], validation=checked, seed=1, save=None)
    training.run(lambda _step: None)
    assert training.done < 60
    assert sft.validation_loss(model, checked, TOKENIZER) == pytest.approx(training.best_loss, rel=1e-5)


ITEMS = {
    str(n): Item(item_id=str(n), title=title, category=("shop", title.split()[-1]))
    for n, title in enumerate(("red mug", "blue mug", "wall clock", "paper lantern", "tea towel"))
}


def _sample(day: int, bought: str, wanted: str) -> Sample:
    history = (Behaviour("purchase", ITEMS[bought].title, day, day, item_id=bought),)
    return Sample(
        user_id="u", as_of_ms=day, digest=Digest(history=history), seen=Seen(), serendipitous=(wanted,), others=(bought,)
    )


def test_recipe_ends_in_a_checkpoint_that_the_light_engine_scores_alike(sft: Any, tmp_path: Path) -> None:
    torch, transformers = import_module("torch"), import_module("transformers")
    recipe = import_module("models.training.recipe")
    train = [_sample(day, str(day % 4), str(day % 4 + 1)) for day in range(12)]
    phases = (_phase(sft, steps=4), _phase(sft, name="next", serendipitous_only=True, steps=2))
    tiny = recipe.Recipe(vocabulary=330, shape=sft.ModelShape(hidden=32, layers=1, feed_forward=48), phases=phases)
    trained = recipe.train_serengpt(
        train, train[:3], ITEMS.get, recipe=tiny, seed=3, folder=tmp_path, name="tiny", watch=lambda _step: None
    )
    assert [phase.steps for phase in trained.phases] == [4, 2]
    assert not (tmp_path / "unfinished").exists()
    engine = load_engine(tmp_path, threads=1)
    assert engine.model_id.startswith("tiny@")
    titles = tuple(item.title for item in ITEMS.values())
    (scored,) = engine.score([ScoreRequest(digest=train[0].digest, titles=titles)])
    model = transformers.Qwen3ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    tokenizer = TitleTokenizer.load(tmp_path / "tokenizer.json")
    row = Example(
        tuple(prompt_ids(train[0].digest, tokenizer)[:-1]), tuple(title_ids(title, tokenizer) for title in titles), 0
    )
    losses, _ = sft.token_losses(model, sft.pack([row], tokenizer, prompt_weight=0.0))
    ends = np.cumsum([len(title) + 1 for title in row.titles])
    expected = [-float(part.sum()) for part in np.split(losses.detach().numpy(), ends[:-1])]
    assert isinstance(scored, tuple)
    np.testing.assert_allclose([one.logprob for one in scored], expected, rtol=0.02)
    engine.close()


def test_recipe_without_samples_is_refused(sft: Any, tmp_path: Path) -> None:
    recipe = import_module("models.training.recipe")
    with pytest.raises(ValueError, match="train: 0 samples"):
        recipe.train_serengpt(
            [], [], ITEMS.get, recipe=recipe.Recipe(), seed=3, folder=tmp_path, name="tiny", watch=lambda _step: None
        )


def test_what_alignment_keeps_for_itself_is_not_taught_as_serendipitous(sft: Any, tmp_path: Path) -> None:
    recipe = import_module("models.training.recipe")
    train = [_sample(day, "0", "4") for day in range(3)]
    phases = (_phase(sft, serendipitous_only=True, steps=1),)
    tiny = recipe.Recipe(vocabulary=330, phases=phases, left_out=frozenset({("u", "4")}))
    with pytest.raises(ValueError, match="3 samples have a title to teach, 0 a serendipitous one"):
        recipe.train_serengpt(
            train, [], ITEMS.get, recipe=tiny, seed=3, folder=tmp_path, name="tiny", watch=lambda _step: None
        )
