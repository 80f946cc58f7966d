"""Laws of `seren bench`: every figure says what it is. No law about speed."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from streams.bench.figures import Figure, Meaning, repeated
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
