"""Run a graph on values: `run` gives its outputs, a tap sees every node's."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from simulator.errors import IllegalValues, Unsupported
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator
from simulator.narrow import datapath_of, prepare
from simulator.numeric.datapath import Datapath

Tap: TypeAlias = Callable[[Node, Sequence[Array | None], Sequence[Array]], None]
State: TypeAlias = Mapping[str, Array]
"""The value of every variable of a graph, by name."""


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    datapath: Datapath | Mapping[str, Datapath] | None = None,
    state: State | None = None,
    tap: Tap | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Compute the graph's outputs bit-exactly; returns (outputs by name, state).

    `inputs` maps each graph input to an array of its shape and dtype. `datapath` is a machine's
    arithmetic for all nodes or by node name; without it each node computes what its reference
    does. `state` holds every variable as an earlier run returned it; without it they start from
    their initial values. `tap` is called after each node with its inputs and outputs, which it
    must not change. A datapath that re-quantizes runs the graph of `simulator.narrow.prepare`:
    inputs are given on the file's grids, outputs, states and taps are on that graph's. Nothing that
    is given is changed, and the state returned shares no memory with
    it. Raises IllegalValues for a missing or unknown input or variable, a wrong shape or dtype.
    """
    _check_values(graph, "input", graph.inputs, inputs)
    prepared = prepare(graph, datapath)
    if prepared.graph is not graph:
        graph, inputs = prepared.graph, prepared.enter(inputs)
    if state is not None:
        _check_values(graph, "variable", tuple(graph.variables), state)
    started = graph.variables if state is None else state
    values: dict[str, Array] = {**graph.constants, **inputs}
    # An initial value may be one element seen everywhere; here it takes its place in memory.
    values.update((name, np.asarray(value, order="C")) for name, value in started.items())
    last_use = _last_uses(graph)
    for node in graph.nodes:
        _check_operands(graph, node, datapath_of(node, datapath))
    for index, node in enumerate(graph.nodes):
        operands = [values[name] if name else None for name in node.inputs]
        try:
            results = node.op.run(operands, datapath_of(node, datapath))
        except IllegalValues as error:
            raise IllegalValues(f"{graph.name}, {node.name}: {error}") from None
        values.update(zip((*node.outputs, *node.updates), results, strict=True))
        if tap is not None:
            tap(node, operands, results[: len(node.outputs)])
        for name in last_use.get(index, ()):
            del values[name]
    given = list(inputs.values())
    outputs = {name: _own(values[name], given) for name in graph.outputs}
    return outputs, {name: values[name].copy() for name in graph.variables}


def _own(output: Array, given: Sequence[Array]) -> Array:
    """The output, copied where it is a window on an input or on a constant."""
    shared = not output.flags.writeable or any(np.may_share_memory(output, g) for g in given)
    return output.copy() if shared else output


def _check_operands(graph: Graph, node: Node, datapath: Datapath) -> None:
    """Refuse products whose operands are wider than the datapath multiplies."""
    if datapath.graph or not isinstance(node.op, MacOperator):
        return
    pairs = (("activation", datapath.activation_bits), ("weight", datapath.weight_bits))
    for position, (what, bits) in zip(node.op.positions, pairs, strict=False):
        found = graph.tensors[node.inputs[position]].bits
        if found > bits:
            raise Unsupported(
                f"{graph.name}, {node.name}: its {what}s have {found} bits, the datapath {bits}; "
                f"widen datapath.{what}_bits or set datapath.narrow: true"
            )


def _check_values(
    graph: Graph, what: str, names: Sequence[str], values: Mapping[str, Array]
) -> None:
    known = ", ".join(f"'{n}'" for n in names)
    for name in values:
        if name not in names:
            raise IllegalValues(
                f"{graph.name}: no {what} is named '{name}'; its {what}s: {known or 'none'}"
            )
    for name in names:
        kind = graph.tensors[name]
        if name not in values:
            raise IllegalValues(f"{graph.name}: {what} '{name}' is missing; its {what}s: {known}")
        value = values[name]
        if value.shape != kind.shape or value.dtype != np.dtype(kind.dtype):
            raise IllegalValues(
                f"{graph.name}: {what} '{name}' must be {kind.dtype} of shape {kind.shape}; "
                f"found {value.dtype} of shape {value.shape}"
            )


def _last_uses(graph: Graph) -> dict[int, list[str]]:
    """For each node index, the tensors no later node reads: freed there."""
    kept = {*graph.constants, *graph.variables, *graph.outputs, ""}
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in (*node.inputs, *node.outputs):
            last[name] = index
    frees: dict[int, list[str]] = {}
    for name, index in last.items():
        if name not in kept:
            frees.setdefault(index, []).append(name)
    return frees
