"""Bit-accurate execution and cost of quantized graphs on described machines.

`run` computes a graph's bits, `run_batch` those of many samples; `estimate` counts its cycles,
energy and area. All are loaded at their first use, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.cost import estimate
    from simulator.execute import run, run_batch

__all__ = ["estimate", "run", "run_batch"]

_HOMES = {
    "estimate": "simulator.cost",
    "run": "simulator.execute",
    "run_batch": "simulator.execute",
}


def __getattr__(name: str) -> Any:
    """Import one of them when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'simulator' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
