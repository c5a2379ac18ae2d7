"""What an ONNX file says, free of protobuf: nodes, element types, constants."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Array

STORAGE: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "float": ("float32", 32),
        "float16": ("float16", 16),
        "double": ("float64", 64),
        "bool": ("bool", 8),
        "int2": ("int8", 2),
        "uint2": ("uint8", 2),
        "int4": ("int8", 4),
        "uint4": ("uint8", 4),
        "int8": ("int8", 8),
        "uint8": ("uint8", 8),
        "int16": ("int16", 16),
        "uint16": ("uint16", 16),
        "int32": ("int32", 32),
        "uint32": ("uint32", 32),
        "int64": ("int64", 64),
        "uint64": ("uint64", 64),
        "float8e4m3fn": ("float32", 8),
        "float8e4m3fnuz": ("float32", 8),
        "float8e5m2": ("float32", 8),
        "float8e5m2fnuz": ("float32", 8),
        "float4e2m1": ("float32", 4),
    }
)
"""The dtype that holds an element type's values exactly, and how many bits they need."""


@dataclass(frozen=True)
class Tensor:
    """Element type (ONNX's name, lower case) and fixed shape, in the file's layout."""

    element: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """The dtype of the arrays that hold it; raises Unsupported where there is none."""
        return storage(self.element)[0]


def storage(element: str) -> tuple[str, int]:
    """(dtype, bits) of an element type; raises Unsupported for strings, bfloat16, complex."""
    if element not in STORAGE:
        raise Unsupported(f"tensors of element type {element} are not supported; use float or int8")
    return STORAGE[element]


@dataclass(frozen=True)
class OnnxNode:
    """One node: an absent optional input is the empty name. `index` counts the file's nodes."""

    index: int
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    place: str = ""

    def input(self, position: int) -> str:
        """The name of an input, empty where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def required(self, position: int) -> str:
        """The name of an input that must be there; raises IllegalGraph."""
        if not self.input(position):
            raise IllegalGraph(f"{self.place}: input {position} is missing; export the model again")
        return self.input(position)

    def get(self, name: str, default: Any) -> Any:
        """An attribute, or its default."""
        return self.attributes.get(name, default)


@dataclass
class Model:
    """One main graph. `types` and `constants` are by tensor name; constants hold storage dtypes.

    `widths` are the bits that codes need where their element type has more: metadata of the file,
    or a Cast from a narrower type.
    """

    name: str
    opset: int
    nodes: list[OnnxNode]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)

    def bits(self, name: str) -> int:
        """The bits that the values of a tensor need."""
        return self.widths.get(name, storage(self.types[name].element)[1])

    def scalar(self, name: str) -> Any:
        """The one value of a constant, None where it is computed or has several."""
        value = self.constants.get(name)
        return None if value is None or value.size != 1 else value.reshape(-1)[0].item()

    def consumers(self) -> dict[str, list[OnnxNode]]:
        """The nodes that read each tensor, in order; a node reading it twice is listed twice."""
        found: dict[str, list[OnnxNode]] = {}
        for node in self.nodes:
            for name in node.inputs:
                if name:
                    found.setdefault(name, []).append(node)
        return found

    def producers(self) -> dict[str, OnnxNode]:
        """The node that writes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def fresh(self, stem: str) -> str:
        """A tensor name that is not taken yet."""
        name, number = stem, 0
        while name in self.types or name in self.constants:
            number += 1
            name = f"{stem}_{number}"
        return name


def renamed(node: OnnxNode, names: Mapping[str, str]) -> OnnxNode:
    """The node with inputs of other names."""
    return replace(node, inputs=tuple(names.get(n, n) for n in node.inputs))


def stored(value: Array, element: str) -> Array:
    """An array in its storage dtype, contiguous."""
    return np.ascontiguousarray(value).astype(storage(element)[0]).reshape(value.shape)


def in_order(nodes: Iterable[OnnxNode], known: Iterable[str]) -> list[OnnxNode]:
    """Nodes sorted so that each reads what is known by then (a stable order)."""
    waiting, have, ordered = list(nodes), {*known, ""}, list[OnnxNode]()
    while waiting:
        ready = [n for n in waiting if have.issuperset(n.inputs)]
        if not ready:
            node = waiting[0]
            missing = next(name for name in node.inputs if name not in have)
            raise IllegalGraph(
                f"{node.place}: input '{missing}' is neither a graph input, a constant nor the "
                "output of an earlier node; export the model again"
            )
        ordered += ready
        have.update(name for node in ready for name in node.outputs)
        waiting = [n for n in waiting if n not in ready]
    return ordered
