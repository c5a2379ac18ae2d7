"""A float32 network in float64: the same weights, every sum and function in double.

A reference for accuracy: what differs from it is rounding. Its operators add in no stated order.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Array, Graph, Node, TensorType
from simulator.registry import operators
from workloads.float_graph.edit import decoded

_WIDE: Final = ("float64", 64)

_TWINS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = MappingProxyType(
    {
        "logistic": ("float_unary", {"function": "sigmoid", "parameters": ()}),
        "tanh": ("float_unary", {"function": "tanh", "parameters": ()}),
        "neg": ("float_unary", {"function": "neg", "parameters": ()}),
        "maximum": ("arithmetic", {"function": "max"}),
        "minimum": ("arithmetic", {"function": "min"}),
        "softmax": ("float_softmax", {"logarithm": False}),
        "log_softmax": ("float_softmax", {"logarithm": True}),
    }
)
"""Operators whose float32 form is a runtime's own: the one that computes the same in double."""


def as_double(graph: Graph) -> Graph:
    """The graph with float64 tensors and constants in place of float32; inputs are float64 too.

    Raises Unsupported where a tensor holds codes or an operator has no form in float64.
    """
    for name, kind in graph.tensors.items():
        if kind.quant is not None:
            raise Unsupported(
                f"{graph.name}: tensor '{name}' holds codes of a grid; only float networks have a "
                "form in float64"
            )
    tensors = {name: _doubled(kind) for name, kind in graph.tensors.items()}
    return replace(
        graph,
        nodes=tuple(_node(graph, node, tensors) for node in graph.nodes),
        tensors=tensors,
        constants={name: _widened(value) for name, value in graph.constants.items()},
        variables={name: _widened(value) for name, value in graph.variables.items()},
    )


def _doubled(kind: TensorType) -> TensorType:
    return replace(kind, dtype=_WIDE[0], bits=_WIDE[1]) if kind.dtype == "float32" else kind


def _widened(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype == np.float32 else value


def _node(graph: Graph, node: Node, tensors: dict[str, TensorType]) -> Node:
    names = (*node.inputs, *node.outputs)
    if node.source is None or all(tensors[n] == graph.tensors[n] for n in names if n):
        return node
    constants = {n: _widened(graph.constants[n]) for n in node.inputs if n in graph.constants}
    try:
        if node.op.kind not in _TWINS:
            return decoded(node, tensors, constants)
        kind, options = _TWINS[node.op.kind]
        last = len(tensors[node.inputs[0]].shape) - 1
        wanted = {**options, "axes": (last,)} if kind == "float_softmax" else options
        source = replace(
            node.source,
            inputs=tuple(tensors[n] if n else None for n in node.inputs),
            outputs=tuple(tensors[n] for n in node.outputs),
            options={**node.source.options, **wanted},
        )
        return replace(node, op=operators()[kind].decode(source), source=source)
    except (IllegalGraph, Unsupported) as error:
        rule = str(error).removeprefix(f"{node.source.place}: ").split(". ")[0]
        raise Unsupported(
            f"{graph.name}, {node.name}: {node.op.kind} has no form in float64: {rule}"
        ) from None
