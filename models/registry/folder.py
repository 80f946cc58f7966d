"""The registry as files.

    current.json                       which version serves, and which ones did before it
    versions/0007/version.json         what version 7 is (models.registry.versions)
    versions/0007/checkpoint/...       its checkpoint folder, card included
    measured/0007-1b2c3d4e5f60.json    what was measured of it on one set of cases, value by value (models.registry.measured)

A version is written beside and moved into place whole; it never changes afterwards. `current.json` is replaced in one step, so
a reader sees the version before or after, and never half of one. Writers on several machines need a file system whose rename
is atomic. Knows nothing about engines or clocks.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from models.errors import CheckpointError
from models.registry.gate import Gate, refusals
from models.registry.measured import METRICS_BYTES, Evaluation, Metrics
from models.registry.versions import Measurement, Version, check_signature, signed
from models.serengpt.checkpoint import checkpoint_sha256, file_sha256, read_checkpoint

CURRENT, VERSIONS, VERSION, CHECKPOINT, MEASURED = "current.json", "versions", "version.json", "checkpoint", "measured"
_ALIGNMENT = "alignment.json"
_DIGITS = 12  # hexadecimal digits of a digest in names and messages
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
            metrics: what an evaluation of it found; without, and unless `measure` brings some, it is never promoted.
            parent: the version that it was made from; None: the one that serves.
            created_ms: now.

        Raises:
            CheckpointError: the folder is no whole checkpoint, the parent is unknown, or the metrics are of another one.
        """
        model_id, digest = read_checkpoint(checkpoint).model_id, checkpoint_sha256(checkpoint)
        if metrics is not None:
            _check_measured(metrics, digest, f"checkpoint {checkpoint}")
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
                    training=_training(whole / CHECKPOINT),
                )
                version = signed(version, self._key)
                (whole / VERSION).write_bytes(msgspec.json.format(msgspec.json.encode(version)) + b"\n")
                if _moved(whole, versions / _name(number)):
                    if metrics is not None:
                        self.measure(number, metrics)
                    return version
        message = f"registry {self.folder}: {_TRIES} numbers were taken by others; is the folder writable?"
        raise CheckpointError(message)

    def measure(self, number: int, metrics: Metrics) -> None:
        """Keeps what was measured of a version, beside what was measured of it on other cases.

        Raises:
            CheckpointError: there is no such version, or the metrics are of another checkpoint.
        """
        _check_measured(metrics, self.version(number).checkpoint, f"version {number}")
        record = signed(Measurement(number=number, metrics=metrics), self._key)
        (self.folder / MEASURED).mkdir(exist_ok=True)
        self._write(f"{MEASURED}/{_name(number)}-{_evaluation_name(metrics.evaluation)}.json", record)

    def measured(self, number: int) -> list[Metrics]:
        """What was measured of a version, on the most cases first.

        Raises:
            CheckpointError: a record cannot be read, is not signed with the key, or is not of this version.
        """
        version = self.version(number)
        found = [self._measurement(path, version) for path in sorted((self.folder / MEASURED).glob(f"{_name(number)}-*.json"))]
        return sorted(found, key=lambda one: -one.evaluation.cases)

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
        why = self._refusals(candidate.number, pointer.current, gate)
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

    def _refusals(self, candidate: int, current: int | None, gate: Gate) -> tuple[str, ...]:
        """Decided on the most cases that both were measured on, so that no luckier few undo it; of equally many on all."""
        new = self.measured(candidate)
        if current is None or not new:
            return refusals(new[0] if new else None, None, gate=gate)
        old = self.measured(current)
        if not old:
            return (f"version {current}, which serves, was not measured: seren models measure {current} --metrics FILE",)
        pairs = [(one, other) for one in new for other in old if not one.evaluation.differences(other.evaluation)]
        if not pairs:
            return refusals(new[0], old[0], gate=gate)
        most = pairs[0][0].evaluation.cases
        largest = [pair for pair in pairs if pair[0].evaluation.cases == most]
        return tuple(why for one, other in largest for why in refusals(one, other, gate=gate))

    def _measurement(self, path: Path, version: Version) -> Metrics:
        try:
            with path.open("rb") as file:
                record = msgspec.json.decode(file.read(METRICS_BYTES), type=Measurement)
        except (OSError, msgspec.MsgspecError) as error:
            message = f"registry {self.folder}: {path.name}: {error}; measure version {version.number} again"
            raise CheckpointError(message) from error
        check_signature(record, self._key)
        if record.number != version.number:
            message = f"registry {self.folder}: {path.name} says that it is of version {record.number}"
            raise CheckpointError(message)
        _check_measured(record.metrics, version.checkpoint, f"version {version.number}")
        return record.metrics

    def _point(self, pointer: Pointer) -> None:
        self._write(CURRENT, pointer)

    def _write(self, name: str, record: Struct) -> None:
        place = self.folder / name
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(record) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)

    def _read(self, folder: Path) -> Version:
        try:
            return msgspec.json.decode((folder / VERSION).read_bytes(), type=Version)
        except (OSError, msgspec.MsgspecError) as error:
            message = f"registry {self.folder}: version {folder.name}: {error}"
            raise CheckpointError(message) from error


def _check_measured(metrics: Metrics, digest: str, whose: str) -> None:
    if metrics.checkpoint != digest:
        message = (
            f"the metrics are of checkpoint {metrics.checkpoint[:_DIGITS]} ({metrics.model_id}); {whose} is "
            f"{digest[:_DIGITS]}: measure it with seren evaluate gate"
        )
        raise CheckpointError(message)


def _evaluation_name(evaluation: Evaluation) -> str:
    return hashlib.sha256(msgspec.json.encode(evaluation)).hexdigest()[:_DIGITS]


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
