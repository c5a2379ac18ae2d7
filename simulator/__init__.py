"""Bit-accurate execution and cost of quantized graphs on described machines.

`run` computes a graph's bits; `estimate` counts its cycles, energy and area. Both are loaded at
their first use, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.cost import estimate
    from simulator.execute import run

__all__ = ["estimate", "run"]

_HOMES = {"estimate": "simulator.cost", "run": "simulator.execute"}


def __getattr__(name: str) -> Any:
    """Import `run` or `estimate` when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'simulator' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
