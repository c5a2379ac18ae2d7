"""Networks of one structure share compiled functions: their real constants are arguments."""

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import numpy as np

from simulator.graph import Graph

_T = TypeVar("_T")


class Same(Generic[_T]):
    """A value for a cache, equal to every other of the same key."""

    def __init__(self, key: tuple[Hashable, ...], value: _T) -> None:
        self.key = key
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def structure(graph: Graph) -> tuple[Hashable, ...]:
    """All of a float graph but the values of its float32 constants."""
    fixed: tuple[Any, ...] = tuple(
        (name, str(value.dtype), value.shape, value.tobytes() if value.dtype != np.float32 else b"")
        for name, value in graph.constants.items()
    )
    shapes = tuple((name, kind.shape) for name, kind in graph.tensors.items())
    nodes = tuple((node.name, node.op, node.inputs, node.outputs) for node in graph.nodes)
    return (nodes, graph.inputs, graph.outputs, fixed, shapes)
