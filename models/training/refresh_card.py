"""The card of a refreshed checkpoint: from which one, on which days, how. Pure text; knows nothing about training."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from models.errors import CheckpointError
from models.serengpt.prompt import PROMPT_TOKENS, PROMPT_VERSION

RECORD = "refresh.json"  # beside the weights


class Window(NamedTuple):
    """What one refresh learns from, end excluded. Units: milliseconds since 1970, UTC."""

    since_ms: int
    until_ms: int

    @property
    def name(self) -> str:
        """The day of the end, as folders are named."""
        return datetime.fromtimestamp(self.until_ms / 1000, UTC).strftime("%Y-%m-%d")


class RefreshRecord(Struct, frozen=True, kw_only=True):
    """How a checkpoint was refreshed, as `refresh.json` beside it says.

    `until_ms` is the cut: nothing from then on was seen, by this checkpoint or by those that it comes from. Days from
    `since_ms` are the window; older ones were replayed.
    """

    name: str
    parent: str  # model_id of the checkpoint that it went on from
    since_ms: int
    until_ms: int
    window_days: int  # visit days that taught
    older_days: int
    policy: Mapping[str, Any]  # seed included


def read_record(folder: Path) -> RefreshRecord | None:
    """The record of a refreshed checkpoint; None for one that was not refreshed.

    Raises:
        CheckpointError: the file is there and is none of ours.
    """
    path = folder / RECORD
    try:
        return msgspec.json.decode(path.read_bytes(), type=RefreshRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        message = f"{path}: is no record of a refresh: {error}"
        raise CheckpointError(message) from error


def refresh_card(record: RefreshRecord, sha256: Mapping[str, str], *, data: str, command: str, seconds: float) -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        record: of the run.
        sha256: of the checkpoint's files.
        data: the log.
        command: that made it.
        seconds: that it took.
    """
    ends = (record.since_ms, record.until_ms)
    since, until = (datetime.fromtimestamp(end / 1000, UTC).strftime("%Y-%m-%d %H:%M") for end in ends)
    settings = "\n".join(f"| {name} | {value} |" for name, value in record.policy.items())
    files = "\n".join(f"| {name} | `{digest}` |" for name, digest in sha256.items())
    return f"""---
license: cc0-1.0
library_name: transformers
pipeline_tag: text-generation
---

# {record.name}

SerenGPT, refreshed from `{record.parent}`: the same network and tokenizer, taught what was wanted since. Prompt version
{PROMPT_VERSION}, at most {PROMPT_TOKENS} tokens.

## Data

{data}: {record.window_days:,} visit days from {since} to {until} (UTC), and {record.older_days:,} older ones against
forgetting. Nothing from the cut, {until}, on was seen: rank only later days with it.

## Training

| setting | value |
| --- | --- |
{settings}

{seconds:.0f} s:

    {command}

## Files

| file | SHA-256 |
| --- | --- |
{files}
"""
