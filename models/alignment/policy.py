"""What shapes alignment's data: every bound of denoising and pairing, in one place for the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.alignment.pairing import PairingPolicy
from models.alignment.rubric import RubricPolicy
from models.alignment.verdicts import VerdictPolicy
from models.judging.buffer import BufferPolicy
from models.judging.gate import GatePolicy


@dataclass(frozen=True, kw_only=True)
class AlignmentPolicy:
    """Denoising (verdicts, the label buffer, the gate) and pairing (the rubric, gaps)."""

    verdicts: VerdictPolicy = field(default_factory=VerdictPolicy)
    rubric: RubricPolicy = field(default_factory=RubricPolicy)
    pairing: PairingPolicy = field(default_factory=PairingPolicy)
    buffer: BufferPolicy = field(default_factory=BufferPolicy)
    gate: GatePolicy = field(default_factory=GatePolicy)
