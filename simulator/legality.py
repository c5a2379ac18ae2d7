"""What makes a graph legal: names, order, and what each operator says of its types."""

from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import IllegalGraph
from simulator.types import STORAGE

if TYPE_CHECKING:
    from simulator.graph import Graph, Node


def check_graph(graph: "Graph") -> None:
    """Refuse a graph that is not legal: raises IllegalGraph, naming graph and node."""
    _check_names(graph)
    _check_order(graph)
    for node in graph.nodes:
        _check_types(graph, node)


def _check_names(graph: "Graph") -> None:
    seen: set[str] = set()
    for node in graph.nodes:
        if node.name in seen:
            raise IllegalGraph(f"{graph.name}: two nodes are named '{node.name}'; rename one")
        seen.add(node.name)
    used = {t for n in graph.nodes for t in (*n.inputs, *n.outputs) if t}
    stored = {**graph.constants, **graph.variables}
    for name in sorted(used | set(stored) | set(graph.inputs) | set(graph.outputs)):
        if name not in graph.tensors:
            raise IllegalGraph(f"{graph.name}: tensor '{name}' is used but has no type")
    for name, value in stored.items():
        what = "variable" if name in graph.variables else "constant"
        if value.shape != graph.tensors[name].shape:
            raise IllegalGraph(
                f"{graph.name}: {what} '{name}' has shape {value.shape}; "
                f"its type says {graph.tensors[name].shape}"
            )
        if value.dtype != np.dtype(STORAGE.get(graph.tensors[name].dtype, value.dtype)):
            raise IllegalGraph(
                f"{graph.name}: constant '{name}' holds {value.dtype}; "
                f"its type says {graph.tensors[name].dtype}"
            )


def _check_order(graph: "Graph") -> None:
    known = set(graph.inputs) | set(graph.constants)
    for name in graph.variables:
        if name in known:
            raise IllegalGraph(
                f"{graph.name}: variable '{name}' is also a graph input or a constant"
            )
        known.add(name)
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in known:
                raise IllegalGraph(
                    f"{graph.name}, {node.name}: input '{name}' is not known yet; it is "
                    "neither a graph input, a constant nor the output of an earlier node"
                )
        for index, name in zip(node.op.updates, node.updates, strict=True):
            if name not in graph.variables:
                raise IllegalGraph(
                    f"{graph.name}, {node.name}: input {index} must be a variable, for "
                    f"{node.op.kind} replaces it; '{name}' is none"
                )
        for name in node.outputs:
            if not name:
                raise IllegalGraph(f"{graph.name}, {node.name}: an output has no name")
            if name in known:
                raise IllegalGraph(
                    f"{graph.name}, {node.name}: tensor '{name}' is written a second time"
                )
            known.add(name)
    for name in graph.outputs:
        if name not in known:
            raise IllegalGraph(f"{graph.name}: graph output '{name}' is never computed")


def _check_types(graph: "Graph", node: "Node") -> None:
    inputs, outputs = graph.types(node.inputs), graph.output_types(node)
    try:
        node.op.check(inputs, outputs)
        shapes = node.op.infer(inputs)
    except IllegalGraph as error:
        raise IllegalGraph(f"{graph.name}, {node.name}: {error}") from None
    names = (*node.outputs, *node.updates)
    if len(shapes) != len(names):
        raise IllegalGraph(
            f"{graph.name}, {node.name}: {len(outputs)} outputs are declared; "
            f"{node.op.kind} has {len(shapes) - len(node.updates)}"
        )
    for name, shape in zip(names, shapes, strict=True):
        kind = graph.tensors[name]
        if shape != kind.shape:
            what = "variable" if name in graph.variables else "output"
            raise IllegalGraph(
                f"{graph.name}, {node.name}: {what} '{name}' is declared {kind.shape}; "
                f"its inputs make it {shape}"
            )
