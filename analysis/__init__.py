"""What is asked of bits and costs: validation, sweeps, searches, fronts, pages, the command line.

`sweep` evaluates a design space, `search` the part of one that a method asks for, `pareto` finds
the front of either; all load at their first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.front import pareto
    from analysis.searches import search
    from analysis.sweeps import sweep

__all__ = ["pareto", "search", "sweep"]

_HOMES = {"pareto": "analysis.front", "search": "analysis.searches", "sweep": "analysis.sweeps"}


def __getattr__(name: str) -> Any:
    """Import `sweep`, `search` or `pareto` when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'analysis' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
