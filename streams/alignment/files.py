"""Alignment's Parquet files: samples and pairs, the same bytes for the same records.

Knows nothing about how they are made. Needs the `train` extra (pyarrow).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from models.alignment.records import AlignmentSample, PreferencePair
from models.errors import LogError, brief

SAMPLES, PAIRS = "samples.parquet", "pairs.parquet"

_SAMPLES = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("ts_ms", pa.int64(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("visit_days", pa.int32(), nullable=False),
        pa.field("verdict", pa.bool_()),
        pa.field("verdict_reason", pa.string(), nullable=False),
        pa.field("person_label", pa.bool_()),
        pa.field("classifier_score", pa.float64()),
        pa.field("split", pa.string(), nullable=False),
    ]
)
_PAIRS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("ts_ms", pa.int64(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
        pa.field("chosen", pa.string(), nullable=False),
        pa.field("rejected", pa.string(), nullable=False),
        pa.field("chosen_score", pa.float64()),
        pa.field("rejected_score", pa.float64()),
        pa.field("judged_by", pa.string(), nullable=False),
    ]
)
_ROWS = 4_096  # of a row group: some 8 MB of profiles, unpacked one at a time
_LEVEL = 9  # of zstd: profiles of one user are much alike

_T = TypeVar("_T", AlignmentSample, PreferencePair)


def write_samples(path: Path, samples: Iterable[AlignmentSample]) -> None:
    """Writes samples in their order; a file that is there is replaced whole or not at all."""
    _write(path, samples, _SAMPLES)


def read_samples(path: Path) -> list[AlignmentSample]:
    """The samples of a file. Raises `LogError` when it is none."""
    return _read(path, AlignmentSample)


def write_pairs(path: Path, pairs: Iterable[PreferencePair]) -> None:
    """Writes pairs in their order; a file that is there is replaced whole or not at all."""
    _write(path, pairs, _PAIRS)


def read_pairs(path: Path) -> list[PreferencePair]:
    """The pairs of a file. Raises `LogError` when it is none."""
    return _read(path, PreferencePair)


def _write(path: Path, records: Iterable[Struct], schema: Any) -> None:
    rows = [_row(record) for record in records]
    table = pa.Table.from_pylist(rows, schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.part")
    pq.write_table(
        table, whole, compression="zstd", compression_level=_LEVEL, row_group_size=_ROWS, store_schema=False, version="2.6"
    )
    whole.replace(path)


def _row(record: Struct) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(record, name) for name in record.__struct_fields__}
    row["digest"] = msgspec.json.encode(row["digest"]).decode()
    return row


def _read(path: Path, kind: type[_T]) -> list[_T]:
    try:
        file = pq.ParquetFile(path)
        batches = [batch.to_pylist() for batch in file.iter_batches(columns=list(kind.__struct_fields__))]
        return [_record(row, kind) for rows in batches for row in rows]
    except (OSError, pa.ArrowException, KeyError, msgspec.DecodeError) as error:
        message = f"{path}: no {kind.__name__} file: {brief(str(error))}"
        raise LogError(message) from error


def _record(row: dict[str, Any], kind: type[_T]) -> _T:
    digest = msgspec.Raw(row["digest"].encode())
    return msgspec.json.decode(msgspec.json.encode(row | {"digest": digest}), type=kind)
