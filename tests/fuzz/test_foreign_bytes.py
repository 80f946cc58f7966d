"""Laws for bytes from outside: a documented outcome, in bounded memory, whatever the bytes are.

`tests/corpus/<target>` holds inputs that broke a law once, or that a writer of readers must think of; each file's name says
what it is, `outcomes.json` what becomes of it.
"""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.fuzz.samples import samples
from streams.fuzz.targets import ACCEPTED, TARGETS, outcome

CORPUS = Path(__file__).parents[1] / "corpus"
OUTCOMES: dict[str, str] = json.loads((CORPUS / "outcomes.json").read_text(encoding="utf-8"))
INPUTS = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.glob("*/*"))
SAMPLES = samples()
# Python memory while an input is read: a step of 1 MiB unfolded and cut into lines, and 200 times the input (an empty cell,
# key or tag of three bytes becomes an object of up to 100, held by the one who reads and by the one who compares).
FIXED_BYTES, PER_BYTE = 48 << 20, 200
# Importers write logs with zstd's slowest levels: a hundred milliseconds each.
SLOW = {"online-retail", "complete-journey"}


def settled(target: str, data: bytes) -> str:
    """The outcome without the folder in which the input lay, and without the known key that is nearest at this time."""
    return re.sub(r"/\S*?/fuzz-[^/]+/|; the nearest known one is .*$", "", outcome(target, data))


@pytest.mark.parametrize("name", INPUTS)
def test_nasty_input_has_its_outcome_in_bounded_memory(name: str) -> None:
    data = (CORPUS / name).read_bytes()
    outcome(name.partition("/")[0], data)  # what a target loads once is not the input's
    tracemalloc.start()
    found = settled(name.partition("/")[0], data)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == OUTCOMES[name]
    assert peak_bytes <= FIXED_BYTES + PER_BYTE * len(data)


def test_every_outcome_has_its_input_and_every_input_is_small() -> None:
    assert sorted(OUTCOMES) == INPUTS
    assert {name: size for name in INPUTS if (size := (CORPUS / name).stat().st_size) > 70_000} == {}


@pytest.mark.parametrize("target", list(TARGETS))
def test_valid_sample_is_accepted(target: str) -> None:
    found = {outcome(target, data) for data in SAMPLES[target]}
    assert found == {ACCEPTED} or target == "slate-changed"


def changed(data: st.DataObject, target: str) -> bytes:
    """A sample with a piece cut out, repeated, or replaced."""
    source = data.draw(st.sampled_from(SAMPLES[target]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(source)))
        end = data.draw(st.integers(start, min(len(source), start + 12)))
        piece = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from(PIECES), st.just(source[start:end] * 2)))
        source = source[:start] + piece + source[end:]
    return source


PIECES = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b'"',
    b"[" * 40,
    b"{" * 40,
    b"1e999",
    b"9" * 30,
    b"-1",
    b"\\ud800",
]
PIECES += [b"null", b"\r", b"\n", b"\xef\xbb\xbf", b"0001-01-01", b"9999-12-31 23:59:59+14:00", b"nan", b"C", b",", b"=", b"."]


@pytest.mark.parametrize("target", [name for name in TARGETS if name not in SLOW])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_changed_sample_is_read_or_refused_by_name(target: str, data: st.DataObject) -> None:
    assert outcome(target, changed(data, target))


@pytest.mark.parametrize("target", sorted(SLOW))
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_changed_table_is_imported_or_refused_by_name(target: str, data: st.DataObject) -> None:
    assert outcome(target, changed(data, target))
