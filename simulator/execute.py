"""Run a graph on values: `run` gives its outputs, a tap sees every node's."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np

from simulator.errors import IllegalValues, Unsupported
from simulator.graph import STORAGE, Array, Graph, Node
from simulator.mac import MacOperator
from simulator.narrow import datapath_of, requantized
from simulator.numeric.datapath import GRAPH_DATAPATH, Datapath
from simulator.plan import Plan

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
    must not change. A datapath that re-quantizes runs the graph of `simulator.narrow.requantized`:
    inputs are given on the file's grids, outputs, states and taps are on that graph's. Nothing
    that is given is changed, and the state returned shares no memory with it. Raises IllegalValues
    for a missing or unknown input or variable, a wrong shape or dtype.
    """
    _check_values(graph, "input", graph.inputs, inputs)
    prepared = requantized(graph, datapath)
    if prepared.graph is not graph:
        graph, inputs = prepared.graph, prepared.enter(inputs)
    if state is not None:
        _check_values(graph, "variable", tuple(graph.variables), state)
    plan = plan_of(graph, datapath)
    values: list[Array | None] = [None] * (len(plan.names) + 1)
    for name, value in graph.constants.items():
        values[plan.place[name]] = value
    for name, value in inputs.items():
        values[plan.place[name]] = np.ascontiguousarray(value).reshape(value.shape)
    for name, value in (graph.variables if state is None else state).items():
        # An initial value may be one element seen everywhere; here it takes its place in memory.
        values[plan.place[name]] = np.asarray(value, order="C")
    _run_steps(graph, plan, values, tap)
    given = [*inputs.values(), plan.workspace.arena]
    outputs = {name: _own(_value(values, plan.place[name]), given) for name in graph.outputs}
    return outputs, {name: _value(values, plan.place[name]).copy() for name in graph.variables}


def run_batch(
    graph: Graph,
    inputs: Mapping[str, Array],
    datapath: Datapath | Mapping[str, Datapath] | None = None,
    state: State | None = None,
    threads: int = 1,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """`run` on many samples: every array has one more axis in front, the sample.

    Samples go through the same buffers one after the other, so memory does not grow with their
    number beyond inputs and outputs. `threads` share them, each with buffers of its own; the bits
    are the same. A network with variables hands them on from sample to sample and takes one thread.
    Raises as `run`, and IllegalValues for arrays of different numbers of samples.
    """
    counts = {len(value) if value.ndim else 0 for value in inputs.values()}
    if len(counts) != 1 or 0 in counts:
        raise IllegalValues(
            f"{graph.name}: every input needs the same number of samples, 1 or more, as its first "
            f"axis; found {sorted(counts)}"
        )
    (count,) = counts
    kinds = requantized(graph, datapath).graph.tensors
    outputs = {
        name: np.empty((count, *kinds[name].shape), STORAGE[kinds[name].dtype])
        for name in graph.outputs
    }

    def sample(index: int, before: State | None) -> dict[str, Array]:
        values = {name: value[index] for name, value in inputs.items()}
        found, after = run(graph, values, datapath, before)
        for name, value in found.items():
            outputs[name][index] = value
        return after

    if threads > 1 and not graph.variables:
        plan_of(requantized(graph, datapath).graph, datapath)
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(lambda index: sample(index, None), range(count)):
                pass
        return outputs, {}
    after = state
    for index in range(count):
        after = sample(index, after)
    return outputs, dict(after or {})


def plan_of(graph: Graph, datapath: Datapath | Mapping[str, Datapath] | None) -> Plan:
    """The plan of a graph, re-quantized already, on a datapath; kept with the graph.

    Raises Unsupported where an operand is wider than the datapath multiplies.
    """
    key: Hashable = datapath or GRAPH_DATAPATH
    if isinstance(datapath, Mapping):
        key = frozenset(datapath.items())
    return graph.kept(plan_of, key, lambda: _plan(graph, datapath))


def _plan(graph: Graph, datapath: Datapath | Mapping[str, Datapath] | None) -> Plan:
    for node in graph.nodes:
        _check_operands(graph, node, datapath_of(node, datapath))
    return Plan(graph, datapath)


def _run_steps(graph: Graph, plan: Plan, values: list[Array | None], tap: Tap | None) -> None:
    workspace = plan.workspace
    for index, step in enumerate(plan.steps):
        operands = [values[i] for i in step.inputs]
        if step.prepared is not None:
            kept = workspace.windows[index]
            # A tap may keep what it sees: it gets memory of its own.
            out = np.empty_like(kept) if tap is not None or kept is None else kept
            step.prepared.run(operands, out, workspace.scratch)
            values[step.results[0]] = out
            results: Sequence[Array] = (out,)
        else:
            try:
                results = step.node.op.run(operands, step.datapath)
            except IllegalValues as error:
                raise IllegalValues(f"{graph.name}, {step.node.name}: {error}") from None
            for place, result in zip(step.results, results, strict=True):
                values[place] = result
        if tap is not None:
            tap(step.node, operands, results[: len(step.node.outputs)])
        for place in step.frees:
            values[place] = None


def _value(values: Sequence[Array | None], place: int) -> Array:
    value = values[place]
    assert value is not None
    return value


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
        if found > datapath.widest(bits):
            raise Unsupported(
                f"{graph.name}, {node.name}: its {what}s have {found} bits, the datapath {bits}; "
                f"widen datapath.{what}_bits or set datapath.narrow: true"
            )


def _check_values(
    graph: Graph, what: str, names: Sequence[str], values: Mapping[str, Array]
) -> None:
    for name in values:
        if name not in names:
            known = ", ".join(f"'{n}'" for n in names)
            raise IllegalValues(
                f"{graph.name}: no {what} is named '{name}'; its {what}s: {known or 'none'}"
            )
    for name in names:
        kind = graph.tensors[name]
        if name not in values:
            known = ", ".join(f"'{n}'" for n in names)
            raise IllegalValues(f"{graph.name}: {what} '{name}' is missing; its {what}s: {known}")
        value = values[name]
        if value.shape != kind.shape or value.dtype != np.dtype(kind.dtype):
            raise IllegalValues(
                f"{graph.name}: {what} '{name}' must be {kind.dtype} of shape {kind.shape}; "
                f"found {value.dtype} of shape {value.shape}"
            )
