"""Versions of SerenGPT in a folder: what each is, what it measured, who signed it, and which one serves.

Knows nothing about engines, or about how a checkpoint is trained.
"""

from models.registry.folder import Registry, is_registry
from models.registry.gate import Gate, refusals
from models.registry.measured import Evaluation, Measured, Metrics
from models.registry.versions import Version, model_key

__all__ = ["Evaluation", "Gate", "Measured", "Metrics", "Registry", "Version", "is_registry", "model_key", "refusals"]
