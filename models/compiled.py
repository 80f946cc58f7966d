"""What the hot path tells its compiler (`streams.native`); in plain Python it says nothing, and needs no compiler to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["mypyc_attr"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_told: Any) -> Any:
        """The class as it is. `acyclic=True`: its objects lie in no cycle, so the garbage collector need not know them."""
        return lambda described: described
