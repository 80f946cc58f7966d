"""The folder of an embedded checkpoint: which files it must hold, and that they are the ones that were written together.

    tokenizer.json       the tokenizer, without added tokens
    ct2/model.bin, ct2/config.json, ct2/vocabulary.json
    ct2/manifest.json    prompt version, and the SHA-256 of each of the files above

Knows nothing about the runtime.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct

from models.errors import CheckpointError
from models.serengpt.prompt import PROMPT_VERSION
from models.serengpt.tokens import TitleTokenizer

TOKENIZER = "tokenizer.json"
CONVERTED = ("ct2/config.json", "ct2/model.bin", "ct2/vocabulary.json")
MANIFEST = "ct2/manifest.json"

_ID_DIGITS = 12  # hexadecimal digits of a checkpoint's name: 48 bits, far from a collision among the models of one shop


class Manifest(Struct, frozen=True, kw_only=True):
    """What was written together. `sha256` is by file name, relative to the checkpoint's folder."""

    name: str
    prompt_version: int
    sha256: dict[str, str]


class EmbeddedCheckpoint(Struct, frozen=True, kw_only=True):
    """A verified checkpoint in memory; `model_files` by the names that the runtime looks for."""

    model_id: str
    prompt_version: int
    tokenizer: TitleTokenizer
    model_files: dict[str, bytes]


def sha256(data: bytes) -> str:
    """The digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def make_manifest(folder: Path, *, name: str) -> Manifest:
    """The manifest of the files that lie in `folder` now."""
    files = (TOKENIZER, *CONVERTED)
    return Manifest(
        name=name, prompt_version=PROMPT_VERSION, sha256={file: sha256((folder / file).read_bytes()) for file in files}
    )


def read_checkpoint(folder: Path) -> EmbeddedCheckpoint:
    """Reads and verifies a checkpoint.

    Raises:
        CheckpointError: a file is missing or is not the one in the manifest, the prompt version is another than this build's,
            or the tokenizer and the model disagree about the vocabulary.
    """
    manifest = _manifest(folder)
    files = {file: _verified(folder, file, manifest) for file in (TOKENIZER, *CONVERTED)}
    tokenizer = TitleTokenizer.load(folder / TOKENIZER)
    if msgspec.json.decode(files["ct2/vocabulary.json"]) != list(tokenizer.tokens):
        message = f"checkpoint {folder}: tokenizer.json and ct2/vocabulary.json hold different vocabularies"
        raise CheckpointError(message)
    content = "".join(manifest.sha256[file] for file in sorted(files))
    return EmbeddedCheckpoint(
        model_id=f"{manifest.name}@{sha256(content.encode())[:_ID_DIGITS]}",
        prompt_version=manifest.prompt_version,
        tokenizer=tokenizer,
        model_files={Path(file).name: data for file, data in files.items() if file != TOKENIZER},
    )


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"checkpoint {folder}: cannot read {MANIFEST}: {error}"
        raise CheckpointError(message) from error
    if manifest.prompt_version != PROMPT_VERSION:
        message = f"checkpoint {folder}: prompt version {manifest.prompt_version}, this build writes {PROMPT_VERSION}"
        raise CheckpointError(message)
    return manifest


def _verified(folder: Path, file: str, manifest: Manifest) -> bytes:
    try:
        data = (folder / file).read_bytes()
    except OSError as error:
        message = f"checkpoint {folder}: cannot read {file}: {error}"
        raise CheckpointError(message) from error
    if sha256(data) != manifest.sha256.get(file):
        message = f"checkpoint {folder}: {file} is not the file that {MANIFEST} names (SHA-256 differs)"
        raise CheckpointError(message)
    return data
