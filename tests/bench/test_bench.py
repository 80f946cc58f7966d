"""Laws of `seren bench`: every figure says what it is. No law about speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.errors import DecodeError
from streams import codec
from streams.bench.figures import Figure, Meaning, repeated
from streams.bench.hostile import HOSTILE
from streams.cli.bench import bench


def test_figure_is_the_median_of_its_runs() -> None:
    values = iter((5.0, 1.0, 3.0))
    [figure] = repeated(lambda: {"x": next(values)}, {"x": Meaning("s", "a number")}, n=2, runs=3)
    assert figure == Figure(name="x", unit="s", what="a number", n=2, runs=(5.0, 1.0, 3.0))
    assert figure.value == 3.0


def test_bench_writes_figures_with_unit_meaning_and_machine(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    ended = CliRunner().invoke(bench, ["--quick", "--only", "update", "--only", "slates", "--json", str(path)])
    assert ended.exit_code == 0, ended.output
    report = json.loads(path.read_text())
    assert {"cpu", "cores", "python", "versions", "commit", "date", "load_average"} <= set(report["machine"])
    names = {figure["name"] for figure in report["figures"]}
    assert names == {"profile update", "slate publish", "slate read p50", "slate read p99", "slate"}
    for figure in report["figures"]:
        assert figure["value"] > 0
        assert figure["unit"]
        assert figure["what"]
        assert figure["n"] >= 1


NOW_MS = 20_000 * 86_400_000


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("hot user", 20), ("garbage", 0), ("huge events", 10), ("ahead", 10), ("late", 20), ("duplicates", 20)],
)
def test_hostile_records_are_accepted_or_refused_as_they_say(name: str, accepted: int) -> None:
    make, _, _ = HOSTILE[name]
    found = 0
    for number in range(20):
        key, value = make(number, NOW_MS)
        try:
            found += codec.decode_event(value, clock_ms=NOW_MS).user_id.encode() == key
        except DecodeError:
            continue
    assert found == accepted
