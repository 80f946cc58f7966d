"""One version of a model: what it is made of, by content, what was measured of it, and signatures that say who put it there.

The signature is an HMAC-SHA256 over the whole record with a key that the registry's writers and the workers share; it covers
the files through their digests. Knows nothing about folders.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from models.errors import CheckpointError, ConfigError
from models.registry.measured import Metrics
from models.serengpt.checkpoint import MANIFEST

_Record = TypeVar("_Record", "Version", "Measurement")
_KEY_BYTES = 16  # the least: half of what HMAC-SHA256 gives is still out of reach of guessing


class Version(Struct, frozen=True, kw_only=True):
    """A version as `version.json` holds it. `sha256` is by file, relative to the version's checkpoint folder."""

    number: int
    model_id: str
    parent: int | None
    created_ms: int
    sha256: Mapping[str, str]
    training: Mapping[str, Any] | None = None  # alignment.json, where the checkpoint has one
    signature: str = ""

    @property
    def checkpoint(self) -> str:
        """The digest of its manifest, by which measurements name it."""
        return self.sha256[MANIFEST]

    @property
    def content_hash(self) -> str:
        """One digest for all files, whatever the record says of them."""
        lines = "".join(f"{digest}  {file}\n" for file, digest in sorted(self.sha256.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


class Measurement(Struct, frozen=True, kw_only=True):
    """What was measured of a version, under a signature of its own: it may come long after the version."""

    number: int
    metrics: Metrics
    signature: str = ""


def model_key(path: str) -> bytes | None:
    """The signing key in a file, surrounding white space taken off; None for an empty path.

    Raises:
        ConfigError: the file cannot be read, or holds too little to be a key.
    """
    if not path:
        return None
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        message = f"configuration: serengpt.key_file: {error}"
        raise ConfigError(message) from error
    if len(key) < _KEY_BYTES:
        message = f"configuration: serengpt.key_file = {path}: {len(key)} bytes, must be at least {_KEY_BYTES}"
        raise ConfigError(message)
    return key


def signed(record: _Record, key: bytes | None) -> _Record:
    """The record under a key's signature; without a key, without one."""
    return replace(record, signature=_signature(record, key) if key else "")


def check_signature(record: Version | Measurement, key: bytes | None) -> None:
    """Raises `CheckpointError` when there is a key and the record is not signed with it."""
    if key is not None and not hmac.compare_digest(record.signature, _signature(record, key)):
        what = "signed with another key, or changed since" if record.signature else "not signed"
        whose = f"model version {record.number}" + (": its metrics" if isinstance(record, Measurement) else "")
        message = f"{whose}: {what}; serengpt.key_file demands its signature"
        raise CheckpointError(message)


def _signature(record: Version | Measurement, key: bytes) -> str:
    text = msgspec.json.encode(msgspec.to_builtins(replace(record, signature="")), order="deterministic")
    return hmac.new(key, text, hashlib.sha256).hexdigest()
