"""The folder of a checkpoint: which files it must hold, and that they are the ones that were written together.

    tokenizer.json       the tokenizer, without added tokens
    ct2/model.bin, ct2/config.json, ct2/vocabulary.json     the int8 conversion, for the embedded engine
    config.json, model*.safetensors                         the weights, for torch; the light install leaves them out
    ct2/manifest.json    prompt version, and the SHA-256 of each of the files above

Knows nothing about the runtimes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from models.errors import CheckpointError
from models.serengpt.prompt import PROMPT_VERSION
from models.serengpt.tokens import TitleTokenizer

TOKENIZER = "tokenizer.json"
CONVERTED = ("ct2/config.json", "ct2/model.bin", "ct2/vocabulary.json")
CONFIG = "config.json"
WEIGHTS = "model*.safetensors"  # large ones come in parts
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


class WeightsCheckpoint(Struct, frozen=True, kw_only=True):
    """A verified checkpoint whose weights are still on the disk."""

    model_id: str
    prompt_version: int
    tokenizer: TitleTokenizer
    config_json: bytes
    weights: tuple[Path, ...]


def sha256(data: bytes) -> str:
    """The digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def make_manifest(folder: Path, *, name: str) -> Manifest:
    """The manifest of the files that lie in `folder` now."""
    trained = sorted(path.name for pattern in (CONFIG, WEIGHTS) for path in folder.glob(pattern))
    files = (TOKENIZER, *CONVERTED, *trained)
    return Manifest(name=name, prompt_version=PROMPT_VERSION, sha256={file: file_sha256(folder / file) for file in files})


def read_checkpoint(folder: Path) -> EmbeddedCheckpoint:
    """Reads and verifies what the embedded engine runs.

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
    return EmbeddedCheckpoint(
        model_id=_model_id(manifest, (TOKENIZER, *CONVERTED)),
        prompt_version=manifest.prompt_version,
        tokenizer=tokenizer,
        model_files={Path(file).name: data for file, data in files.items() if file != TOKENIZER},
    )


def read_weights_checkpoint(folder: Path) -> WeightsCheckpoint:
    """Verifies what the torch engine runs; the weights are hashed from the disk, and not kept.

    Raises:
        CheckpointError: a file is missing or is not the one in the manifest, or the prompt version is another than this
            build's.
    """
    manifest = _manifest(folder)
    weights = sorted(file for file in manifest.sha256 if file.endswith(".safetensors"))
    if not weights:
        message = f"checkpoint {folder}: {MANIFEST} names no {WEIGHTS}; save the checkpoint anew"
        raise CheckpointError(message)
    config_json = _verified(folder, CONFIG, manifest)
    for file in (TOKENIZER, *weights):
        _verify(folder, file, manifest)
    return WeightsCheckpoint(
        model_id=_model_id(manifest, (TOKENIZER, CONFIG, *weights)),
        prompt_version=manifest.prompt_version,
        tokenizer=TitleTokenizer.load(folder / TOKENIZER),
        config_json=config_json,
        weights=tuple(folder / file for file in weights),
    )


def checkpoint_sha256(folder: Path) -> str:
    """What names a checkpoint by its content: the digest of its manifest, which has that of each of its files.

    Raises:
        CheckpointError: a file that is there is not the one in the manifest. A light install has left some out.
    """
    manifest = _manifest(folder)
    for file in sorted(manifest.sha256):
        if (folder / file).exists():
            _verify(folder, file, manifest)
    return file_sha256(folder / MANIFEST)


def _model_id(manifest: Manifest, files: Sequence[str]) -> str:
    content = "".join(manifest.sha256[file] for file in sorted(files))
    return f"{manifest.name}@{sha256(content.encode())[:_ID_DIGITS]}"


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
        raise _unreadable(folder, file, error) from error
    _check_digest(folder, file, manifest, sha256(data))
    return data


def _verify(folder: Path, file: str, manifest: Manifest) -> None:
    """The same for a file that is too large to be kept beside what is made of it."""
    try:
        digest = file_sha256(folder / file)
    except OSError as error:
        raise _unreadable(folder, file, error) from error
    _check_digest(folder, file, manifest, digest)


def _unreadable(folder: Path, file: str, error: OSError) -> CheckpointError:
    message = f"checkpoint {folder}: cannot read {file}: {error}"
    return CheckpointError(message)


def _check_digest(folder: Path, file: str, manifest: Manifest, digest: str) -> None:
    if digest != manifest.sha256.get(file):
        message = f"checkpoint {folder}: {file} is not the file that {MANIFEST} names (SHA-256 differs)"
        raise CheckpointError(message)


def file_sha256(path: Path) -> str:
    """The digest of a file in hexadecimal, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
