"""Laws of work in stages, with commands that are run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from streams.training.stages import Stage, StageFailed, run_stages


def writing(folder: Path, name: str, text: str = "x", *, log: Path) -> Stage:
    """A stage that writes its file and a line into the log."""
    code = f"open({str(folder / name)!r}, 'w').write({text!r}); open({str(log)!r}, 'a').write({name!r})"
    return Stage(name, (sys.executable, "-c", code), folder / name)


def ran(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def test_stages_done_before_are_skipped_and_keep_their_times(tmp_path: Path) -> None:
    log, told = tmp_path / "log", []
    stages = [writing(tmp_path, name, log=log) for name in "abc"]
    first = run_stages(stages, folder=tmp_path, tell=told.append)
    second = run_stages(stages, folder=tmp_path, tell=told.append)
    assert ran(log) == "abc"
    assert [one.is_kept for one in first] == [False] * 3
    assert [(one.is_kept, one.wall_s, one.cpu_s) for one in second] == [(True, one.wall_s, one.cpu_s) for one in first]
    assert told[-1] == "3/3 c: done before"
    assert all(one.cpu_s > 0 for one in first)


def test_stage_with_another_command_or_without_its_product_runs_again_and_so_does_all_after_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stages = [writing(tmp_path, name, log=log) for name in "abc"]
    run_stages(stages, folder=tmp_path, tell=str)
    run_stages([stages[0], writing(tmp_path, "b", "other", log=log), stages[2]], folder=tmp_path, tell=str)
    assert ran(log) == "abcbc"
    (tmp_path / "c").unlink()
    run_stages([stages[0], writing(tmp_path, "b", "other", log=log), stages[2]], folder=tmp_path, tell=str)
    assert ran(log) == "abcbcc"


def test_stage_that_fails_keeps_those_before_it_and_is_where_the_next_run_begins(tmp_path: Path) -> None:
    log = tmp_path / "log"
    failing = Stage("b", (sys.executable, "-c", "raise SystemExit(3)"), tmp_path / "b")
    with pytest.raises(StageFailed, match="b ended with code 3"):
        run_stages([writing(tmp_path, "a", log=log), failing], folder=tmp_path, tell=str)
    done = run_stages([writing(tmp_path, name, log=log) for name in "ab"], folder=tmp_path, tell=str)
    assert [one.is_kept for one in done] == [True, False]
    assert ran(log) == "ab"


def test_stage_that_makes_nothing_has_failed(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="ended well without"):
        run_stages([Stage("a", (sys.executable, "-c", ""), tmp_path / "a")], folder=tmp_path, tell=str)


def test_output_of_a_stage_lands_in_its_file_whole_or_not_at_all(tmp_path: Path) -> None:
    said = tmp_path / "made" / "said.json"
    printing = Stage("a", (sys.executable, "-c", "print(1)"), said, output=said)
    run_stages([printing], folder=tmp_path, tell=str)
    assert said.read_text() == "1\n"
    said.unlink()
    failing = Stage("a", (sys.executable, "-c", "print(2); raise SystemExit(1)"), said, output=said)
    with pytest.raises(StageFailed):
        run_stages([failing], folder=tmp_path, tell=str)
    assert not said.exists()
