"""A float graph as a pure JAX function of its parameters and inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from simulator.config import close_match
from simulator.errors import Unsupported
from simulator.graph import Array, Graph, Node
from workloads.float_graph import with_constants
from workloads.train.twins import TWINS, Real

Parameters: TypeAlias = Mapping[str, Real]
"""Trainable constants by name, in the shapes of the graph."""
Compute: TypeAlias = Callable[[Node, list[Any]], tuple[Real, ...]]


@dataclass(frozen=True)
class Function:
    """A graph's outputs as a function of its parameters and inputs.

    `initial` are the graph's own values of the parameters, float32.
    """

    graph: Graph
    initial: Mapping[str, Array]

    def apply(self, parameters: Parameters, inputs: Mapping[str, Real]) -> dict[str, Real]:
        """Every tensor that a node computes, by name, for one run: inputs in the graph's shapes."""
        values = {**self.graph.constants, **parameters, **inputs}
        return evaluated(self.graph, values, lambda node, given: computed(self.graph, node, given))

    def outputs(self, parameters: Parameters, inputs: Mapping[str, Real]) -> dict[str, Real]:
        """The graph's outputs for a batch: inputs and outputs are [samples, *shape]."""

        def one(sample: Mapping[str, Real]) -> dict[str, Real]:
            found = {**sample, **self.apply(parameters, sample)}
            return {name: found[name] for name in self.graph.outputs}

        return jax.vmap(one)(dict(inputs))


def function_of(graph: Graph) -> Function:
    """The function of a float graph; raises Unsupported for operators and tensors without a twin.

    Parameters are its real constants, but those that an operator reads when it is decoded (a fill
    value, the numbers of a shape).
    """
    for name, kind in graph.tensors.items():
        if kind.quant is not None or kind.dtype == "float64":
            raise Unsupported(
                f"{graph.name}: tensor '{name}' is {'codes' if kind.quant else kind.dtype}; "
                "training takes float32 networks"
            )
    for node in graph.nodes:
        if node.op.kind not in TWINS:
            raise Unsupported(
                f"{graph.name}, {node.name}: no gradient is known for {node.op.kind}; "
                f"{close_match(node.op.kind, TWINS)}"
            )
    decoded = {n for node in graph.nodes if node.op.kind == "pad" for n in node.inputs[1:]}
    real = {n: v for n, v in graph.constants.items() if v.dtype == np.float32 and n not in decoded}
    return Function(graph, real)


def with_parameters(graph: Graph, parameters: Mapping[str, Any]) -> Graph:
    """The graph with trained parameters in place of its constants, float32."""
    return with_constants(graph, {n: np.asarray(v, np.float32) for n, v in parameters.items()})


def evaluated(graph: Graph, values: Mapping[str, Any], compute: Compute) -> dict[str, Real]:
    """Node by node, in order: the tensors that `compute` gives."""
    known, made = dict(values), dict[str, Real]()
    for node in graph.nodes:
        outputs = compute(node, [known[name] if name else None for name in node.inputs])
        fresh = {name: y for name, y in zip(node.outputs, outputs, strict=False) if name}
        known |= fresh
        made |= fresh
    return made


def computed(graph: Graph, node: Node, given: list[Any]) -> tuple[Real, ...]:
    """The outputs of a node by its twin, in float32."""
    shapes = [graph.tensors[name].shape for name in node.outputs]
    real = [jnp.asarray(v) if v is not None else None for v in given]
    y = TWINS[node.op.kind](node.op, real, shapes)
    return y if isinstance(y, tuple) else (y,)
