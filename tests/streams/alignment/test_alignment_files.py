"""Laws of alignment's files: what was written is read, in the same bytes each time; they need pyarrow."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.alignment.records import AlignmentSample, PreferencePair
from models.entities import Behaviour, Digest, Tag
from models.errors import LogError
from streams.cli.train import train_group
from streams.recorded.logs import RecordedLog

pytestmark = pytest.mark.train

DIGEST = Digest(
    static=("country: France",),
    short_term=(Tag("tea", "category", 0.5, (1, 2)),),
    history=(Behaviour("purchase", 'A "quoted" \u2603 title', 5, 3, "17", "tea"),),
)
SAMPLE = AlignmentSample(
    event_id="e", user_id="u", ts_ms=9, item_id="i", title="Tea", category="tea", digest=DIGEST, source="accuracy",
    visit_days=3, verdict=True, verdict_reason="like tea", person_label=None, classifier_score=0.25, split="sft",
)  # fmt: skip
PAIR = PreferencePair(
    user_id="u", ts_ms=9, digest=DIGEST, chosen="a", rejected="b", chosen_score=5.0, rejected_score=2.0, judged_by="teacher"
)


@pytest.fixture(scope="module")
def files() -> Any:
    return import_module("streams.alignment.files")


def test_samples_and_pairs_come_back_as_they_were(files: Any, tmp_path: Path) -> None:
    files.write_samples(tmp_path / "s.parquet", [SAMPLE] * 3)
    files.write_pairs(tmp_path / "p.parquet", [PAIR])
    assert files.read_samples(tmp_path / "s.parquet") == [SAMPLE] * 3
    assert files.read_pairs(tmp_path / "p.parquet") == [PAIR]


def test_nothing_is_a_file_too(files: Any, tmp_path: Path) -> None:
    files.write_samples(tmp_path / "s.parquet", [])
    assert files.read_samples(tmp_path / "s.parquet") == []


def test_file_of_another_kind_is_refused_by_name(files: Any, tmp_path: Path) -> None:
    files.write_samples(tmp_path / "s.parquet", [SAMPLE])
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    for name in ("s.parquet", "t.parquet", "missing.parquet"):
        with pytest.raises(LogError, match=name):
            files.read_pairs(tmp_path / name)


def test_train_data_of_a_log_is_the_same_bytes_twice_and_from_its_labels(
    files: Any, small_log: RecordedLog, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        result = CliRunner().invoke(train_group, ["data", "--log", str(small_log.folder), "--out", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
    first, second = ((tmp_path / name / files.SAMPLES).read_bytes() for name in ("first", "second"))
    assert first == second
    found = files.read_samples(tmp_path / "first" / files.SAMPLES)
    assert {one.split for one in found} == {"sft", "ipo", "validation", "test"}
    assert f"{len(found):,} Definition-1 samples" in (tmp_path / "first" / "README.md").read_text()


def test_train_data_of_two_places_is_wrong_use(tmp_path: Path) -> None:
    result = CliRunner().invoke(train_group, ["data", "--topic", "--log", "online-retail", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "name one" in result.output
