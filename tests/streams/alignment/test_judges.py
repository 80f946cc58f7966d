"""Laws of the judges of alignment: one bad answer costs one sample, and pairs come out of prompts whatever the judge."""

from __future__ import annotations

import json
from typing import Any

from models.alignment.grounding import Grounding
from models.alignment.pairing import PairingPolicy
from models.alignment.policy import AlignmentPolicy
from models.alignment.prompts import Prompt
from models.alignment.verdicts import Verdict
from models.entities import Behaviour, Digest, Item
from models.errors import MalformedAnswer
from models.judging.local import Ask, LocalJudge
from models.judging.policy import JudgePolicy
from streams.alignment.judges import LocalAlignmentJudge, Teacher, Title
from streams.alignment.pairs import judged, unjudged_pairs

DIGEST = Digest(history=tuple(Behaviour("purchase", "Tea cup roses", 5 + n, n, "1", "cups") for n in range(3)))
PROMPT = Prompt(user_id="u", ts_ms=9, digest=DIGEST, wanted=("Rose tea pot", "Rose tray"))
SHOP = Grounding(
    [
        Item(item_id=str(n), title=title, category=("shop", leaf))
        for n, (title, leaf) in enumerate([("Rose tea pot", "pots"), ("Wall clock", "clocks"), ("Tea cup roses", "cups")])
    ]
)
TITLES = {("u", 9): ("rose tea pot", "Tea Pot, rose", "wall clock", "tea cup roses", "gibberish")}


def teacher(*answers: str) -> tuple[Teacher, list[Any]]:
    asked: list[Any] = []

    def ask(system: str, question: str, *, schema: Any = None) -> str:
        asked.append(json.loads(question))
        return answers[len(asked) - 1]

    return Teacher(ask, parallel=1), asked


def test_teacher_that_answers_one_sample_badly_judges_the_others() -> None:
    judge, asked = teacher(
        '{"reason": "r", "serendipitous": false}', "I would rather not", '{"reason": "", "serendipitous": true}'
    )
    found = judge.verdicts([Ask(DIGEST, title, "cups") for title in ("a", "b", "c")])
    assert [found[0], found[2]] == [Verdict(False, "r"), Verdict(True, "")]
    assert isinstance(found[1], MalformedAnswer)
    assert [one["item"]["title"] for one in asked] == ["a", "b", "c"]


def test_teachers_scores_become_pairs_judged_by_the_teacher() -> None:
    judge, asked = teacher(json.dumps({"scores": [{"score": score} for score in (6, 3, 2, 1)]}))
    ((key, made),) = judged([PROMPT], TITLES, judge, SHOP, PairingPolicy())
    assert key == ("u", 9)
    assert asked[0]["titles"] == ["rose tea pot", "wall clock", "tea cup roses", "gibberish"]
    assert {(one.chosen, one.rejected, one.judged_by) for one in made.pairs} == {
        ("rose tea pot", "wall clock", "teacher"), ("rose tea pot", "tea cup roses", "teacher"),
        ("rose tea pot", "gibberish", "teacher"), ("wall clock", "gibberish", "teacher"),
    }  # fmt: skip
    assert [set(one.titles) for one in made.questions] in ([{"wall clock", "tea cup roses"}], [{"tea cup roses", "gibberish"}])


def test_prompt_that_the_teacher_answers_badly_gives_no_pair_and_is_told() -> None:
    judge, _ = teacher('{"scores": []}')
    ((_, made),) = judged([PROMPT], TITLES, judge, SHOP, PairingPolicy())
    assert made.pairs == []
    assert made.failed == ["user u: scores: 0, must be 4"]


def test_local_judge_gives_what_was_had_and_what_is_not_sold_the_lowest_score() -> None:
    judge = LocalAlignmentJudge(LocalJudge(JudgePolicy(), None), AlignmentPolicy())
    titles = [
        Title("cup tea roses", "cups"),
        Title("gibberish", None),
        Title("rose tea pot", "pots"),
        Title("wall clock", "clocks"),
    ]
    (found,) = judge.scores([(DIGEST, titles)])
    assert isinstance(found, list)
    scores = {one.title: one.score for one in found}
    assert (scores["cup tea roses"], scores["gibberish"]) == (1, 1)
    assert scores["rose tea pot"] > scores["wall clock"]


def test_local_judge_scores_two_prompts_as_it_scores_each() -> None:
    judge = LocalAlignmentJudge(LocalJudge(JudgePolicy(), None), AlignmentPolicy())
    prompts = [(DIGEST, [Title("rose tea pot", "pots")]), (Digest(), [Title("wall clock", "clocks"), Title("x", None)])]
    assert judge.scores(prompts) == [judge.scores([one])[0] for one in prompts]


def test_unjudged_pairs_set_what_was_wanted_against_what_was_not() -> None:
    found = unjudged_pairs([PROMPT], {("u", 9): ("ROSE TRAY", "rose tea pot", "wall clock")}, PairingPolicy())
    assert [(one.chosen, one.rejected, one.chosen_score, one.judged_by) for one in found] == [
        ("Rose tea pot", "wall clock", None, "none")
    ]
