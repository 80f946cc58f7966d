"""Laws of recorded logs: what is written is read, damage is named, and no line is larger than a message."""

import tracemalloc
from collections import deque

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import json

from models.entities import Event, Item, UserAttributes
from models.errors import LogError
from streams.recorded import logs
from streams.recorded.logs import LINE_BYTES, About, RecordedLog, read_lines, shipped_log, write_lines, write_log

LINES = st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=40)


def about(**changes):
    facts = {
        "name": "n",
        "licence": "CC0-1.0",
        "source": "s",
        "first_ts_ms": 5,
        "last_ts_ms": 5,
        "events": 1,
        "users": 1,
        "items": 1,
        "events_by_type": {"visit": 1},
        "impressions": False,
        "notes": "",
        "importer_version": 1,
    }
    return About(**(facts | changes))


@pytest.mark.parametrize("name", ["log.jsonl.zst", "log.jsonl"])
@given(lines=LINES)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_lines_written_are_read_back_with_their_numbers(tmp_path, name, lines):
    path = tmp_path / name
    assert write_lines(path, lines) == len(lines)
    assert list(read_lines(path)) == list(enumerate(lines, start=1))


def test_write_twice_gives_the_same_bytes(tmp_path):
    lines = [b'{"a":%d}' % n for n in range(1000)]
    write_lines(tmp_path / "a.zst", lines)
    write_lines(tmp_path / "b.zst", lines)
    assert (tmp_path / "a.zst").read_bytes() == (tmp_path / "b.zst").read_bytes()


def test_write_with_a_failing_source_leaves_the_old_file(tmp_path):
    path = tmp_path / "log.zst"
    write_lines(path, [b"old"])

    def lines():
        yield b"new"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_lines(path, lines())
    assert [line for _, line in read_lines(path)] == [b"old"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.zst"]


@pytest.mark.parametrize(("line", "complaint"), [(b"a\nb", "newline"), (b"x" * (LINE_BYTES + 1), str(LINE_BYTES))])
def test_write_of_a_line_that_is_no_message_is_refused_by_number(tmp_path, line, complaint):
    with pytest.raises(LogError, match=rf"log\.zst: line 2 .*{complaint}"):
        write_lines(tmp_path / "log.zst", [b"{}", line])


@pytest.mark.parametrize("name", ["log.zst", "log.jsonl"])
def test_oversize_line_is_cut_to_one_byte_over_the_bound_and_the_next_is_whole(tmp_path, name):
    # 3 MiB cross many of the pieces in which a file is read.
    content = b"first\n" + b"x" * (3 << 20) + b"\nlast\n" + b"y" * LINE_BYTES
    path = tmp_path / name
    path.write_bytes(zstd.compress(content) if name.endswith(".zst") else content)
    assert list(read_lines(path)) == [
        (1, b"first"),
        (2, b"x" * (LINE_BYTES + 1)),
        (3, b"last"),
        (4, b"y" * LINE_BYTES),
    ]


@pytest.mark.parametrize("content", [b"x", b"spam\n"])
def test_bomb_fills_no_memory_and_is_refused(tmp_path, monkeypatch, content):
    # 16 MiB are about 1 KiB of zstd: more than 1,000 times as much.
    monkeypatch.setattr(logs, "UNFOLD_BYTES", 1 << 20)
    path = tmp_path / "bomb.zst"
    writer = zstd.ZstdCompressor()
    with path.open("wb") as file:
        for _ in range(16):
            file.write(writer.compress(content * ((1 << 20) // len(content))))
        file.write(writer.flush())
    tracemalloc.start()
    with pytest.raises(LogError, match=rf"{path.stat().st_size} bytes unfold to more than 1000 times as many"):
        deque(read_lines(path), maxlen=0)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 40 << 20  # a step of 1 MiB, cut into 200,000 lines


def test_truncated_file_yields_what_is_whole_and_then_names_file_and_line(tmp_path):
    lines = [b'{"n":%d,"x":"%x"}' % (n, (n * 2654435761) % 2**64) for n in range(20_000)]
    path = tmp_path / "log.zst"
    write_lines(path, lines)
    path.write_bytes(path.read_bytes()[:-20])
    seen = []
    with pytest.raises(LogError, match=r"log\.zst.* line \d+.*truncated"):
        seen.extend(read_lines(path))
    assert [line for _, line in seen] == lines[: len(seen)]


def test_truncated_file_after_whole_lines_names_the_last_of_them(tmp_path):
    path = tmp_path / "log.zst"
    path.write_bytes(zstd.compress(b"one\ntwo\n") + zstd.compress(b"three\n")[:-3])
    reader = read_lines(path)
    assert [next(reader), next(reader)] == [(1, b"one"), (2, b"two")]
    with pytest.raises(LogError, match=r"log\.zst: cannot be read after line [23]: .*truncated"):
        list(reader)


def test_corrupt_frame_names_the_file(tmp_path):
    path = tmp_path / "log.zst"
    path.write_bytes(b"no zstd at all\n")
    with pytest.raises(LogError, match=r"log\.zst"):
        list(read_lines(path))


def test_missing_file_names_the_file(tmp_path):
    with pytest.raises(LogError, match=r"nothing\.zst: cannot be read: No such file"):
        list(read_lines(tmp_path / "nothing.zst"))


def test_frames_that_follow_each_other_are_one_log(tmp_path):
    path = tmp_path / "log.zst"
    path.write_bytes(zstd.compress(b"one\ntw") + zstd.compress(b"o\nthree"))
    assert [line for _, line in read_lines(path)] == [b"one", b"two", b"three"]


def test_log_folder_is_read_as_it_was_written(tmp_path):
    event = Event(event_id="e", user_id="u", type="visit", ts_ms=5)
    item = Item(item_id="i", title="t", category=("a", "b"))
    user = UserAttributes(user_id="u", attributes={"country": "Wales"})
    log = write_log(tmp_path / "log", about(), events=[event], items=[item], users=[user])
    assert log == RecordedLog(tmp_path / "log")
    assert log.about == about()
    assert [json.decode(line, type=Event) for _, line in log.events()] == [event]
    assert [json.decode(line, type=Item) for _, line in log.items()] == [item]
    assert [json.decode(line, type=UserAttributes) for _, line in log.users()] == [user]


def test_log_folder_with_other_counts_than_it_says_gets_no_description(tmp_path):
    with pytest.raises(LogError, match=r"1 records, but about\.json says 2"):
        write_log(
            tmp_path,
            about(events=2),
            events=[Event(event_id="e", user_id="u", type="visit", ts_ms=5)],
            items=[],
            users=[],
        )
    with pytest.raises(LogError, match=r"about\.json"):
        _ = RecordedLog(tmp_path).about


def test_shipped_log_that_is_not_there_names_those_that_are():
    with pytest.raises(LogError, match=r"'nonesuch'.*online-retail"):
        shipped_log("nonesuch")


def test_shipped_online_retail_log_decodes_wholly_and_is_what_it_says():
    log = shipped_log("online-retail")
    by_type: dict[str, int] = {}
    times = []
    event_ids, bought, who = set(), set(), set()
    for _, line in log.events():
        event = json.decode(line, type=Event)
        by_type[event.type] = by_type.get(event.type, 0) + 1
        times.append(event.ts_ms)
        event_ids.add(event.event_id)
        bought.add(event.item_id)
        who.add(event.user_id)
    items = {json.decode(line, type=Item).item_id for _, line in log.items()}
    users = {json.decode(line, type=UserAttributes).user_id for _, line in log.users()}
    assert by_type == log.about.events_by_type
    assert len(times) == log.about.events == len(event_ids)
    assert times == sorted(times)
    assert (times[0], times[-1]) == (log.about.first_ts_ms, log.about.last_ts_ms)
    assert (len(items), len(users)) == (log.about.items, log.about.users)
    assert items == bought - {None}
    assert users == who
    assert not log.about.impressions
    assert "purchases and clicks count as seen" in log.about.notes
