"""Laws of `seren label`, through its real HTTP server and its real process."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from click.testing import CliRunner

from models.alignment.decisions import Decision, Question, agreements, by_criterion, majority, pair_of
from models.entities import Behaviour, Digest, Tag
from models.errors import LogError
from models.profiles.policy import DAY_MS
from streams.alignment.labelling.decisions import DecisionFile, file_of, read_decisions, read_questions, write_questions
from streams.alignment.labelling.server import LabelServer
from streams.alignment.labelling.session import Session
from streams.cli.label import label

DIGEST = Digest(
    static=("country: France",),
    long_term=(Tag("teapots", "category", 1.0),),
    short_term=(Tag("<b>baking</b>", "interest", 1.0),),
    history=(Behaviour("purchase", "Old mug", 8 * DAY_MS, 0, "1", "mugs"), Behaviour("search", "kite", 9 * DAY_MS, 1)),
)


def sample(name: str, *, verdict: bool | None = True, user: str = "u") -> Question:
    return Question(
        id=name, kind="sample", user_id=user, ts_ms=10 * DAY_MS, digest=DIGEST, titles=(f"Title {name}",),
        categories=("kites",), verdict=verdict, reason="like 'Old mug'",
    )  # fmt: skip


PAIR = Question(
    id="p", kind="pair", user_id="u", ts_ms=10 * DAY_MS, digest=DIGEST, titles=("Kite", "Mug"), categories=("toys", ""),
    scores=(4.0, 5.0), verdict=False,
)  # fmt: skip


class Page:
    """A browser's side of the page."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.key = parse_qs(parts.query)["key"][0]

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, {"X-Key": self.key} | headers)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def state(self, method: str = "GET", path: str = "/state", body: Any = None) -> Any:
        status, content = self.call(method, path, body)
        assert status == 200, content
        return json.loads(content)

    def decide(self, name: str, choice: str, **more: Any) -> Any:
        return self.state("POST", "/decide", {"id": name, "choice": choice, **more})


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    questions = [sample("a"), sample("b"), PAIR]
    others = [Decision(id="a", kind="sample", person="Bo", choice="reject", decided_ms=1)]
    with DecisionFile(tmp_path / "d.jsonl") as file:
        session = Session(questions, file, person="Ann", others=others, clock_ms=iter(range(1, 99)).__next__, is_blind=False)
        with LabelServer(session) as server:
            yield Page(server.url)


def test_page_shows_profile_history_item_and_verdict(page: Page) -> None:
    question = page.state()["question"]
    assert (question["titles"], question["categories"]) == (["Title a"], ["kites"])
    assert (question["verdict"], question["reason"]) == (True, "like 'Old mug'")
    assert question["static"] == ["country: France"]
    assert question["short_term"] == [{"text": "<b>baking</b>", "family": "interest"}]
    assert [(one["verb"], one["when"]) for one in question["history"]] == [
        ("searched for", "1 day before"), ("bought", "2 days before"),
    ]  # fmt: skip


def test_decisions_are_on_disk_when_the_answer_comes(page: Page, tmp_path: Path) -> None:
    page.decide("a", "reject", failed="relevance")
    page.decide("b", "accept")
    state = page.decide("p", "second")
    assert (state["left"], state["question"]) == (0, None)
    assert read_decisions(tmp_path / "d.jsonl") == [
        Decision(id="a", kind="sample", person="Ann", choice="reject", failed="relevance", decided_ms=1),
        Decision(id="b", kind="sample", person="Ann", choice="accept", decided_ms=2),
        Decision(id="p", kind="pair", person="Ann", choice="second", decided_ms=3),
    ]


def test_undo_takes_the_last_decision_back_and_asks_again(page: Page, tmp_path: Path) -> None:
    page.decide("a", "accept")
    assert page.state("POST", "/undo", {})["question"]["id"] == "a"
    assert read_decisions(tmp_path / "d.jsonl") == []
    assert page.state("POST", "/undo", {})["can_undo"] is False


def test_agreement_is_shown_with_others_and_with_the_judge(page: Page) -> None:
    """Ann and Bo: one case, different answers, chance 0: kappa 0. Ann and the judge: both yes to all, not defined."""
    found = {(one["first"], one["second"]): one for one in page.decide("a", "accept")["agreements"]}
    assert (found["Ann", "Bo"]["cases"], found["Ann", "Bo"]["agreed"], found["Ann", "Bo"]["kappa"]) == (1, 0.0, 0.0)
    assert (found["Ann", "judge"]["agreed"], found["Ann", "judge"]["kappa"]) == (1.0, None)


@pytest.mark.parametrize(
    "body",
    [
        b"no json", b"{}", {"id": "x", "choice": "accept"}, {"id": "a", "choice": "first"}, {"id": "p", "choice": "accept"},
        {"id": "a", "choice": "accept", "failed": "relevance"}, {"id": "a", "choice": "reject", "failed": "taste"},
        b"[" * 4_000,
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused_and_changes_nothing(page: Page, tmp_path: Path, body: Any) -> None:
    status, content = page.call("POST", "/decide", body)
    assert status == 400
    assert json.loads(content)["error"].startswith("answer: ")
    assert page.state()["left"] == 3
    assert not (tmp_path / "d.jsonl").exists()


def test_page_is_only_for_its_own_address_and_key(page: Page) -> None:
    assert page.call("GET", "/state", **{"X-Key": "guess"})[0] == 403
    assert page.call("GET", "/state", Host=f"evil.example:{page.port}")[0] == 403
    assert page.call("GET", "/")[0] == 403
    assert page.call("POST", "/decide", b"x" * 5_000)[0] == 413
    assert page.call("GET", "/etc/passwd")[0] == 404
    status, content = page.call("GET", f"/?key={page.key}")
    assert status == 200
    assert b"{{" not in content
    assert b"default-src 'none'" in content


def test_blind_page_does_not_hold_what_the_judge_says(tmp_path: Path) -> None:
    with DecisionFile(tmp_path / "d.jsonl") as file:
        session = Session([PAIR, sample("a")], file, person="Ann", others=[], clock_ms=lambda: 1, is_blind=True)
        assert not {"verdict", "reason", "scores"} & set(session.state()["question"])


def test_session_goes_on_where_it_was_and_nobody_else_can_write_meanwhile(tmp_path: Path) -> None:
    questions = [sample("a"), sample("b")]
    for expected in ("a", "b"):
        with DecisionFile(tmp_path / "d.jsonl") as file:
            session = Session(questions, file, person="Ann", others=[], clock_ms=lambda: 1, is_blind=False)
            assert session.state()["question"]["id"] == expected
            session.decide(json.dumps({"id": expected, "choice": "skip"}).encode())
            with pytest.raises(LogError, match="another session"):
                DecisionFile(tmp_path / "d.jsonl")


def test_torn_decisions_are_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(
        msgspec.json.encode(Decision(id="a", kind="sample", person="A", choice="skip", decided_ms=1)) + b"\n{"
    )
    with pytest.raises(LogError, match="line 2"):
        DecisionFile(tmp_path / "d.jsonl")


def said(name: str, person: str, choice: Any, *, failed: Any = None, at: int = 0) -> Decision:
    return Decision(id=name, kind="sample", person=person, choice=choice, failed=failed, decided_ms=at)


def test_last_word_of_a_person_counts_and_skips_say_nothing() -> None:
    given = [said("a", "Ann", "accept", at=1), said("a", "Ann", "reject", at=2), said("b", "Ann", "skip")]
    assert majority(given) == {"a": False}


def test_criteria_are_known_of_what_was_accepted_and_of_the_one_that_failed() -> None:
    given = [said("a", "Ann", "accept"), said("b", "Ann", "reject", failed="relevance"), said("c", "Ann", "reject")]
    assert by_criterion(given) == {"relevance": {"a": True, "b": False}, "unexpectedness": {"a": True}, "reality": {"a": True}}


def test_kappa_of_two_persons_is_cohens() -> None:
    """Ann: y y y n, Bo: y y n n; they agree on 3 of 4, by chance on 1/2: kappa (3/4 - 1/2) / (1 - 1/2) = 1/2."""
    questions = {name: sample(name, verdict=None, user=name) for name in "abcd"}
    ann = [said(name, "Ann", choice) for name, choice in zip("abcd", ("accept", "accept", "accept", "reject"), strict=True)]
    bo = [said(name, "Bo", choice) for name, choice in zip("abcd", ("accept", "accept", "reject", "reject"), strict=True)]
    (found,) = agreements([*ann, *bo], questions, seed=0)
    assert (found.first, found.second, found.cases, found.agreed) == ("Ann", "Bo", 4, 0.75)
    assert found.kappa is not None
    assert found.kappa.mean == pytest.approx(0.5)
    assert found.kappa.low <= 0.5 <= found.kappa.high


def test_answer_to_a_pair_is_a_pair_with_its_scores() -> None:
    found = pair_of(PAIR, is_first=True, judged_by="person")
    assert (found.chosen, found.rejected, found.chosen_score, found.rejected_score) == ("Kite", "Mug", 4.0, 5.0)


def test_questions_come_back_as_they_were(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.jsonl", [sample("a"), PAIR])
    assert read_questions(tmp_path / "q.jsonl") == [sample("a"), PAIR]


def test_label_command_serves_until_it_is_interrupted_and_tells_agreement(tmp_path: Path) -> None:
    write_questions(tmp_path / "q.jsonl", [sample("a"), sample("b", verdict=False)])
    command = [sys.executable, "-m", "streams", "label", str(tmp_path / "q.jsonl"), "--person", "Ann", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        page = Page(url)
        page.decide("a", "accept")
        page.decide("b", "reject")
        process.send_signal(signal.SIGINT)
        assert "2 of 2 decided" in process.communicate(timeout=30)[0]
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
    result = CliRunner().invoke(label, [str(tmp_path / "q.jsonl"), "--person", "Ann", "--agreement", "--json"])
    outcome = json.loads(result.stdout)
    assert outcome["persons"] == ["Ann"]
    assert outcome["agreements"] == [
        {"first": "Ann", "second": "judge", "cases": 2, "agreed": 1.0, "kappa": 1.0, "low": 1.0, "high": 1.0}
    ]
    assert file_of(tmp_path, "Ann").exists()
