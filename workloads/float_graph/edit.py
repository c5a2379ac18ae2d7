"""Graphs with other constants, other outputs, or fewer nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simulator.config import close_match
from simulator.errors import IllegalGraph, IllegalValues
from simulator.graph import Array, Graph, Node, TensorType


def with_constants(graph: Graph, values: Mapping[str, Array]) -> Graph:
    """The graph with other values of named constants, of the same shapes and dtypes.

    What an operator keeps of its constants is decoded again. Raises IllegalValues for a name that
    is no constant, a wrong shape or dtype.
    """
    for name, value in values.items():
        if name not in graph.constants:
            raise IllegalValues(
                f"{graph.name}: no constant is named '{name}'; "
                f"{close_match(name, tuple(graph.constants))}"
            )
        old = graph.constants[name]
        if value.shape != old.shape or value.dtype != old.dtype:
            raise IllegalValues(
                f"{graph.name}: constant '{name}' must be {old.dtype} of shape {old.shape}; "
                f"found {value.dtype} of shape {value.shape}"
            )
    constants = {**graph.constants, **values}
    nodes = tuple(
        decoded(node, graph.tensors, constants) if values.keys() & set(node.inputs) else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes, constants=constants)


def with_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """The graph that gives the named tensors, whichever node computes them."""
    return cut(graph, graph.inputs, names)


def cut(graph: Graph, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
    """The part of a graph that leads from some of its tensors to others.

    Raises IllegalGraph for a tensor that is not there, and where an output also depends on an input
    of the graph that is none of `inputs`.
    """
    for name in (*inputs, *outputs):
        if name not in graph.tensors:
            raise IllegalGraph(
                f"{graph.name}: no tensor is named '{name}'; "
                f"{close_match(name, tuple(graph.tensors))}"
            )
    wanted, nodes = set(outputs), list[Node]()
    for node in reversed(graph.nodes):
        computed = [n for n in (*node.outputs, *node.updates) if n not in inputs]
        if wanted.intersection(computed):
            nodes.append(node)
            wanted.update(node.inputs)
    missing = sorted(wanted.intersection(graph.inputs) - set(inputs))
    if missing:
        raise IllegalGraph(
            f"{graph.name}: {', '.join(outputs)} also depends on the input '{missing[0]}'; "
            "name it among the inputs"
        )
    produced = {n for node in nodes for n in node.outputs} & set(inputs)
    if produced:
        raise IllegalGraph(
            f"{graph.name}: '{sorted(produced)[0]}' is made by a node that other outputs need; "
            "cut elsewhere"
        )
    return rebuilt(graph, tuple(reversed(nodes)), graph.tensors, graph.constants, inputs, outputs)


def decoded(
    node: Node,
    tensors: Mapping[str, TensorType],
    constants: Mapping[str, Array],
    options: Mapping[str, Any] | None = None,
) -> Node:
    """A node with its operator decoded again, for its inputs and outputs as they are now.

    `options` are set beside those of its source. A node made in memory is given back.
    """
    source = node.source
    if source is None:
        return node
    known = tuple(constants.get(name) for name in node.inputs)
    kinds = tuple(tensors[name] if name else None for name in node.inputs)
    given = tuple(
        _stated(kind, source.inputs[i] if i < len(source.inputs) else None)
        for i, kind in enumerate(kinds)
    )
    made = replace(
        source,
        inputs=given,
        outputs=tuple(tensors[name] for name in node.outputs),
        constants=known,
        options={**source.options, **(options or {})},
    )
    return replace(node, op=type(node.op).decode(made), source=made)


def _stated(kind: TensorType | None, before: TensorType | None) -> TensorType | None:
    """A type with the grid that the file's node states, where it states one."""
    if kind is None or before is None or before.quant is None:
        return kind
    return replace(kind, quant=before.quant)


def rebuilt(
    graph: Graph,
    nodes: Sequence[Node],
    tensors: Mapping[str, TensorType],
    constants: Mapping[str, Array],
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Graph:
    """A graph of other nodes, with the tensors and constants that they still name."""
    ends = (tuple(inputs or graph.inputs), tuple(outputs or graph.outputs))
    used = {name for node in nodes for name in (*node.inputs, *node.outputs) if name}
    used |= {*ends[0], *ends[1]}
    return replace(
        graph,
        nodes=tuple(nodes),
        tensors={n: kind for n, kind in tensors.items() if n in used},
        constants={n: v for n, v in constants.items() if n in used and n not in ends[0]},
        inputs=ends[0],
        outputs=ends[1],
        source_index={n: i for n, i in graph.source_index.items() if n in used},
        source_view={n: view for n, view in graph.source_view.items() if n in used},
        variables={n: v for n, v in graph.variables.items() if n in used},
    )


def only_reader(graph: Graph, name: str) -> Node | None:
    """The node that alone reads a tensor, once; None where it is an output or others read it."""
    readers = [node for node in graph.nodes for n in node.inputs if n == name]
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def producer(graph: Graph, name: str) -> Node | None:
    """The node that computes a tensor; None for inputs and constants."""
    return next((node for node in graph.nodes if name in node.outputs), None)
