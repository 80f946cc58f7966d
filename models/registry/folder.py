"""The registry as files.

    current.json                       which version serves, and which ones did before it
    versions/0007/version.json         what version 7 is (models.registry.versions)
    versions/0007/checkpoint/...       its checkpoint folder, card included

A version is written beside and moved into place whole; it never changes afterwards. `current.json` is replaced in one step, so
a reader sees the version before or after, and never half of one. Writers on several machines need a file system whose rename
is atomic. Knows nothing about engines or clocks.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from models.errors import CheckpointError
from models.registry.gate import Gate, Metrics, refusals
from models.registry.versions import Version, check_signature, signed
from models.serengpt.checkpoint import file_sha256, read_checkpoint

CURRENT, VERSIONS, VERSION, CHECKPOINT = "current.json", "versions", "version.json", "checkpoint"
_ALIGNMENT = "alignment.json"
_TRIES = 100  # numbers that others may take while a version is written


class Pointer(Struct, frozen=True, kw_only=True):
    """Which version serves (None: none yet), and those that did before, the latest last."""

    current: int | None = None
    before: tuple[int, ...] = ()


def is_registry(folder: Path) -> bool:
    """Whether a folder is a registry, promoted or not."""
    return (folder / VERSIONS).is_dir()


class Registry:
    """A registry's folder.

    Args:
        folder: made by the first `add`.
        key: signs what is added, and must have signed what is read; None: neither.
    """

    def __init__(self, folder: Path, *, key: bytes | None = None) -> None:
        self.folder = folder
        self._key = key

    def add(self, checkpoint: Path, *, metrics: Metrics | None, parent: int | None, created_ms: int) -> Version:
        """Copies a checkpoint in as the next version; it does not serve yet.

        Args:
            checkpoint: its folder; files of an unfinished run are left out.
            metrics: what an evaluation of it found; without, it can never be promoted.
            parent: the version that it was made from; None: the one that serves.
            created_ms: now.

        Raises:
            CheckpointError: the folder is no whole checkpoint, or the parent is unknown.
        """
        model_id = read_checkpoint(checkpoint).model_id
        parent = self.pointer().current if parent is None else self.version(parent).number
        versions = self.folder / VERSIONS
        versions.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".adding-") as beside:
            whole = Path(beside) / "version"
            shutil.copytree(checkpoint, whole / CHECKPOINT, ignore=shutil.ignore_patterns("unfinished", "__pycache__"))
            for _ in range(_TRIES):
                number = max((version.number for version in self.versions()), default=0) + 1
                version = Version(
                    number=number,
                    model_id=model_id,
                    parent=parent,
                    created_ms=created_ms,
                    sha256=_digests(whole / CHECKPOINT),
                    metrics=metrics,
                    training=_training(whole / CHECKPOINT),
                )
                version = signed(version, self._key)
                (whole / VERSION).write_bytes(msgspec.json.format(msgspec.json.encode(version)) + b"\n")
                if _moved(whole, versions / _name(number)):
                    return version
        message = f"registry {self.folder}: {_TRIES} numbers were taken by others; is the folder writable?"
        raise CheckpointError(message)

    def versions(self) -> list[Version]:
        """All versions, oldest first, as they say they are: `verify` looks closer."""
        folders = sorted((self.folder / VERSIONS).glob("[0-9]*"), key=lambda path: int(path.name))
        return [self._read(path) for path in folders]

    def version(self, number: int) -> Version:
        """One version's record. Raises `CheckpointError` when there is none of that number."""
        return self._read(self.folder / VERSIONS / _name(number))

    def pointer(self) -> Pointer:
        """Which version serves. Raises `CheckpointError` when `current.json` cannot be read."""
        try:
            return msgspec.json.decode((self.folder / CURRENT).read_bytes(), type=Pointer)
        except FileNotFoundError:
            return Pointer()
        except (OSError, msgspec.MsgspecError) as error:
            message = f"registry {self.folder}: cannot read {CURRENT}: {error}"
            raise CheckpointError(message) from error

    def current(self) -> int:
        """The number of the version that serves. Raises `CheckpointError` when none does yet."""
        number = self.pointer().current
        if number is None:
            message = f"registry {self.folder}: no version serves yet; promote one"
            raise CheckpointError(message)
        return number

    def verify(self, number: int) -> Version:
        """The version, after its signature and every file of its checkpoint were checked.

        Raises:
            CheckpointError: it is unknown, not signed with the key, or a file is missing, foreign or changed.
        """
        version = self.version(number)
        check_signature(version, self._key)
        found = _digests(self.checkpoint(number))
        for file in sorted({*found, *version.sha256}):
            if found.get(file) != version.sha256.get(file):
                state = "missing" if file not in found else "not of this version" if file not in version.sha256 else "changed"
                message = f"model version {number}: {file} is {state}"
                raise CheckpointError(message)
        return version

    def checkpoint(self, number: int) -> Path:
        """The checkpoint folder of a version."""
        return self.folder / VERSIONS / _name(number) / CHECKPOINT

    def promote(self, number: int, *, gate: Gate) -> tuple[str, ...]:
        """Lets a version serve, if it verifies and the gate lets it pass.

        Returns:
            Why not; empty: it serves now.
        """
        candidate, pointer = self.verify(number), self.pointer()
        if pointer.current == number:
            return ()
        current = None if pointer.current is None else self.version(pointer.current).metrics
        why = refusals(candidate.metrics, current, gate=gate)
        if not why:
            before = pointer.before if pointer.current is None else (*pointer.before, pointer.current)
            self._point(Pointer(current=number, before=before))
        return why

    def rollback(self) -> Version:
        """Lets the version serve again that did before this one; it passed the gate in its day, and is not asked again.

        Raises:
            CheckpointError: none did, or it does not verify.
        """
        pointer = self.pointer()
        if not pointer.before:
            message = f"registry {self.folder}: no version served before {pointer.current}"
            raise CheckpointError(message)
        version = self.verify(pointer.before[-1])
        self._point(Pointer(current=version.number, before=pointer.before[:-1]))
        return version

    def _point(self, pointer: Pointer) -> None:
        beside = self.folder / f".{CURRENT}.{os.getpid()}"
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(pointer) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.folder / CURRENT)

    def _read(self, folder: Path) -> Version:
        try:
            return msgspec.json.decode((folder / VERSION).read_bytes(), type=Version)
        except (OSError, msgspec.MsgspecError) as error:
            message = f"registry {self.folder}: version {folder.name}: {error}"
            raise CheckpointError(message) from error


def _moved(folder: Path, place: Path) -> bool:
    """Moves a folder; False where another writer took the place."""
    try:
        folder.rename(place)
    except OSError:
        if place.exists():
            return False
        raise
    return True


def _name(number: int) -> str:
    return f"{number:04d}"


def _digests(checkpoint: Path) -> dict[str, str]:
    try:
        return {str(path.relative_to(checkpoint)): file_sha256(path) for path in _files(checkpoint)}
    except OSError as error:
        message = f"checkpoint {checkpoint}: {error}"
        raise CheckpointError(message) from error


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _training(checkpoint: Path) -> dict[str, object] | None:
    path = checkpoint / _ALIGNMENT
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, object]) if path.exists() else None
    except (OSError, msgspec.MsgspecError) as error:
        message = f"checkpoint {checkpoint}: cannot read {_ALIGNMENT}: {error}"
        raise CheckpointError(message) from error
