"""Laws of the distilled scorer: what it gives, what it refuses to load, and that a fit finds what is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.distilled import Distilled
from models.distilled.features import PAIR_FEATURES, item_side, pair_features, person_side
from models.distilled.scorer import CARD, WEIGHTS, prior_of, read_card, save, title_name, tower_sha256
from models.entities import Behaviour, Digest, Item, Tag
from models.errors import CheckpointError
from models.evaluation.orders import overlap, spearman
from models.pretrained import distilled_folder, tower_folder
from models.retrieval import Tower
from models.serengpt.aligned import log_odds
from models.serengpt.engine import Scored
from models.training.distil import DistilPlan, Lesson, agreements, fit, is_held_out, lessons_of


@pytest.fixture(scope="module")
def shipped() -> Distilled:
    return Distilled.load(distilled_folder())


@pytest.fixture(scope="module")
def tower() -> Tower:
    """Random rows of 8 dimensions: texts that share features lie near each other."""
    return Tower(np.random.default_rng(3).integers(-100, 101, (4096, 8)).astype(np.int8), name="random")


def item(number: int, title: str = "", leaf: str = "") -> Item:
    kind = f"kind {number % 5}"
    return Item(item_id=str(number), title=title or f"thing {number} of {kind}", category=("shop", leaf or kind))


def bought(*titles: str) -> Digest:
    return Digest(
        short_term=(Tag("baking", "interest", 0.5),),
        history=tuple(Behaviour("purchase", title, 1, 1, "x", "tins") for title in titles),
    )


def column(name: str) -> int:
    return PAIR_FEATURES.index(name)


def test_score_of_tag_sums_each_family_and_level_apart(tower: Tower) -> None:
    digest = Digest(
        short_term=(Tag("baking", "interest", 0.5), Tag("tea", "interest", 0.25), Tag("tins", "category", 0.125)),
        long_term=(Tag("baking", "interest", 1.0),),
    )
    one = Item(item_id="1", title="tin", category=("kitchen", "tins"), tags=("interest:baking", "interest:tea"))
    row = pair_features(person_side(digest, tower), [item_side(one, tower)])[0]
    assert row[column("short-term interest tags")] == 0.75
    assert row[column("short-term category tags")] == 0.125
    assert row[column("long-term interest tags")] == 1.0
    assert row[column("category unseen")] == 0.0


def test_words_of_the_newest_behaviour_make_half_and_of_the_one_before_a_little_less(tower: Tower) -> None:
    person = person_side(bought("blue mug", "red tin"), tower)
    # The newest weighs 1, the one before 0.9; w becomes w / (1 + w). "red mug": (1/2 + 0.9/1.9) / 2.
    row = pair_features(person, [item_side(item(1, "red mug", "mugs"), tower)])[0]
    assert row[column("words in the history")] == pytest.approx((0.5 + 0.9 / 1.9) / 2)
    assert row[column("rarest word in the history")] == pytest.approx(0.9 / 1.9)
    assert row[column("title in the history")] == 0.0
    assert row[column("category unseen")] == 1.0
    same = pair_features(person, [item_side(item(1, "Red TIN", "tins"), tower)])[0]
    assert same[column("title in the history")] == 1.0
    assert same[column("category in the history")] == 1.0
    assert same[column("cosine: nearest of the history")] <= 1.0 + 1e-9


def test_what_was_given_back_counts_for_nothing(tower: Tower) -> None:
    kept = bought("red tin")
    returned = msgspec.structs.replace(kept, history=(*kept.history, Behaviour("cancel", "blue mug", 2, 2, "y", "mugs")))
    side = [item_side(item(1, "blue mug", "mugs"), tower)]
    assert np.array_equal(pair_features(person_side(kept, tower), side), pair_features(person_side(returned, tower), side))


def test_aligned_gives_one_share_an_item_in_order_and_nothing_for_nothing(shipped: Distilled) -> None:
    items = [item(number) for number in range(30)]
    scores = shipped.aligned(bought("red tin"), items)
    assert len(scores) == 30
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert shipped.aligned(bought("red tin"), items[::-1]) == scores[::-1]
    assert shipped.aligned(bought("red tin"), []) == []


@settings(max_examples=40, deadline=None)
@given(
    title=st.text(min_size=1, max_size=60),
    history=st.lists(st.text(max_size=40), max_size=4),
    tag=st.text(max_size=20),
    score=st.floats(0, 1),
)
def test_any_text_has_a_finite_score_that_is_its_own(
    shipped: Distilled, title: str, history: list[str], tag: str, score: float
) -> None:
    digest = Digest(
        long_term=(Tag(tag, "scenario", score),),
        history=tuple(Behaviour("click", text, 1, 1) for text in history),
    )
    one, mates = item(1, title), [item(number) for number in range(2, 9)]
    [alone] = shipped.aligned(digest, [one])
    assert 0.0 <= alone <= 1.0
    assert shipped.aligned(digest, [*mates, one])[-1] == pytest.approx(alone, abs=2e-6)


def test_shipped_scorer_is_named_by_content_and_names_its_teacher(shipped: Distilled) -> None:
    assert shipped.model_id == f"distilled-small@{read_card(distilled_folder()).sha256[:12]}"
    assert shipped.teacher == read_card(distilled_folder()).teacher


def test_title_name_knows_no_case_and_no_spaces() -> None:
    assert title_name("RED  Mug ") == title_name("red mug")
    assert title_name("red mugs") != title_name("red mug")


def _cut(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def _other_features(folder: Path) -> None:
    card = msgspec.structs.replace(read_card(folder), features=("one",))
    (folder / CARD).write_bytes(msgspec.json.encode(card))


def _other_tower(folder: Path) -> None:
    card = msgspec.structs.replace(read_card(folder), tower_sha256="0" * 64)
    (folder / CARD).write_bytes(msgspec.json.encode(card))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_cut, "SHA-256 differs"),
        (lambda folder: (folder / WEIGHTS).unlink(), "cannot be read"),
        (lambda folder: (folder / CARD).write_bytes(b"{"), "is no card"),
        (lambda folder: (folder / CARD).write_bytes(b" " * 300_000), "over the bound of 262144"),
        (_other_features, "fit the model anew"),
        (_other_tower, "SHA-256 differs"),
    ],
)
def test_folder_that_is_not_what_was_written_is_refused(harm: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(distilled_folder(), folder)
    Distilled.load(folder)
    harm(folder)
    with pytest.raises(CheckpointError, match=reason):
        Distilled.load(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("item", np.zeros(3, dtype=np.float32)),
        ("bilinear", np.full((64, 64), np.nan, dtype=np.float32)),
        ("pair", np.zeros(2 * len(PAIR_FEATURES), dtype=np.float64)),
    ],
)
def test_weights_of_another_shape_or_not_finite_are_refused(
    name: str, array: np.ndarray, shipped: Distilled, tower: Tower
) -> None:
    weights = shipped._weights._replace(**{name: array})
    with pytest.raises(CheckpointError, match=name):
        Distilled(weights, tower=Tower.load(tower_folder()), model_id="x")


# ---------------------------------------------------------------------- fitting


def lessons(count: int, *, seed: int) -> list[Lesson]:
    """A teacher with a rule: what everybody wants, and for each person the kind that they bought."""
    draw = np.random.default_rng(seed)
    items = [item(number) for number in range(40)]
    worth = -8.0 - np.random.default_rng(0).random(40) * 4
    made = []
    for person in range(count):
        kind = int(draw.integers(0, 5))
        digest = Digest(short_term=(Tag(f"kind {kind}", "category", 1.0),))
        chosen = draw.choice(40, 20, replace=False)
        scored = [Scored(float(worth[one] + (3.0 if one % 5 == kind else 0.0)), float(worth[one]), 3) for one in chosen]
        made.append(
            Lesson(user_id=f"{seed}-{person}", digest=digest, items=tuple(items[one] for one in chosen), scored=tuple(scored))
        )
    return made


@pytest.fixture(scope="module")
def fitted(tower: Tower) -> Distilled:
    return Distilled(fit(lessons(60, seed=1), tower, plan=DistilPlan()), tower=tower, model_id="fitted")


def test_fit_finds_the_teacher_s_rule_and_beats_the_prior_alone(fitted: Distilled) -> None:
    rankers = {
        "distilled": lambda lesson: fitted.aligned(lesson.digest, lesson.items),
        "prior": lambda lesson: [fitted.prior(one) for one in lesson.items],
    }
    distilled, prior = agreements(lessons(20, seed=2), rankers)
    assert distilled.spearman > 0.95
    assert distilled.spearman > prior.spearman + 0.1


def test_fit_knows_the_titles_that_it_was_taught_and_guesses_others_from_their_words(fitted: Distilled, tower: Tower) -> None:
    [lesson, *_] = lessons(1, seed=1)
    known = lesson.items[0]
    assert fitted.prior(known) == pytest.approx(lesson.scored[0].prior_logprob, abs=1e-5)
    unknown = item(77, "thing 3 of a new kind")
    assert prior_of(unknown.title, item_side(unknown, tower), fitted._weights) == fitted.prior(unknown)


def test_fit_without_a_score_is_refused(tower: Tower) -> None:
    with pytest.raises(ValueError, match="0 scored items"):
        fit([], tower, plan=DistilPlan())


def test_saved_weights_are_named_by_content_and_load_with_their_tower(fitted: Distilled, tower: Tower, tmp_path: Path) -> None:
    tower.save(tmp_path / "tower")
    card = msgspec.structs.replace(read_card(distilled_folder()), name="mine", tower_sha256=tower_sha256(tmp_path / "tower"))
    first = save(fitted._weights, tmp_path / "a", card=card)
    assert save(fitted._weights, tmp_path / "b", card=card) == first
    loaded = Distilled.load(tmp_path / "a", tower=tmp_path / "tower")
    assert loaded.model_id == f"mine@{first.sha256[:12]}"
    items = [item(number) for number in range(10)]
    assert loaded.aligned(bought("tin"), items) == fitted.aligned(bought("tin"), items)


def test_lessons_of_one_digest_become_one_with_each_item_once() -> None:
    one, other = Scored(-1.0, -2.0, 3), Scored(-3.0, -4.0, 5)
    digest = bought("tin")
    [lesson] = lessons_of([("u", digest, [(item(1), one)]), ("u", bought("tin"), [(item(2), other), (item(1), one)])])
    assert lesson == Lesson(user_id="u", digest=digest, items=(item(1), item(2)), scored=(one, other))


def test_share_of_held_out_people_is_what_was_asked_for_and_always_the_same() -> None:
    held = [name for name in map(str, range(2_000)) if is_held_out(name, 0.2)]
    assert 340 <= len(held) <= 460  # 400 expected, 18 standard deviation
    assert [name for name in held if not is_held_out(name, 0.5)] == []


# ---------------------------------------------------------------------- agreement


def test_spearman_shares_ranks_among_equal_scores() -> None:
    # Ranks 1.5, 1.5, 3 against 1, 2, 3: centred (-.5, -.5, 1) and (-1, 0, 1); 1.5 / sqrt(1.5 x 2).
    assert spearman([0.0, 0.0, 1.0], [1.0, 2.0, 3.0]) == pytest.approx(1.5 / 3**0.5)
    assert spearman([1.0, 1.0], [1.0, 2.0]) == 0.0
    assert spearman([], []) == 0.0
    with pytest.raises(ValueError, match="must be as many"):
        spearman([1.0], [])


@given(values=st.lists(st.integers(-50, 50), min_size=2, max_size=20))
def test_spearman_of_any_rising_change_is_one(values: list[int]) -> None:
    found = spearman([float(value) for value in values], [3.0 * value - 1 for value in values])
    assert found == pytest.approx(1.0 if len(set(values)) > 1 else 0.0)


def test_overlap_of_fewer_things_than_places_is_whole() -> None:
    assert overlap([1.0, 2.0], [2.0, 1.0], 10) == 1.0
    assert overlap([], [], 10) == 0.0


def test_log_odds_of_the_reference_are_zero() -> None:
    # prior 1/4096 is the reference itself, whatever its share
    nobody = -np.log(4096)
    assert log_odds(Scored(float(nobody), float(nobody), 1)) == pytest.approx(0.0)
