"""Graphs in memory, node by node: what the cases that ship no model file are run through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from simulator.execute import run
from simulator.graph import (
    DTYPE_BITS,
    Array,
    Graph,
    Node,
    Operator,
    QuantParams,
    Source,
    TensorType,
)
from simulator.numeric.dialect import DIALECTS
from simulator.registry import find

CMSIS_NN: Final = DIALECTS["cmsis-nn"]
Adjust = Callable[[Any], Operator]


def grid(
    shape: tuple[int, ...], dtype: str, zero: int = 0, scale: float | tuple[float, ...] = 1.0
) -> TensorType:
    """A tensor type; several scales lie along the last axis."""
    scales = scale if isinstance(scale, tuple) else (scale,)
    axis = len(shape) - 1 if len(scales) > 1 else None
    quant = QuantParams(scales, (zero,) * len(scales), axis)
    return TensorType(shape, dtype, DTYPE_BITS[dtype], quant)


@dataclass
class Chain:
    """A graph being built: tensors by name, and the values fed into it."""

    name: str
    tensors: dict[str, TensorType] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    variables: dict[str, Array] = field(default_factory=dict)
    inputs: dict[str, Array] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def feed(self, name: str, kind: TensorType, value: Array) -> str:
        """A graph input."""
        self.tensors[name], self.inputs[name] = kind, value.reshape(kind.shape)
        return name

    def constant(self, name: str, kind: TensorType, value: Array) -> str:
        """A constant of the graph."""
        self.tensors[name], self.constants[name] = kind, value.reshape(kind.shape)
        return name

    def variable(self, name: str, kind: TensorType) -> str:
        """A variable that starts at its zero point."""
        zero = kind.quant.zero_point[0] if kind.quant else 0
        self.tensors[name] = kind
        self.variables[name] = np.full(kind.shape, zero, dtype=kind.dtype)
        return name

    def node(
        self,
        op: str,
        options: Mapping[str, Any],
        inputs: tuple[str, ...],
        output: TensorType,
        adjust: Adjust = lambda operator: operator,
    ) -> str:
        """Decode `op` as an importer would under `cmsis-nn`, `adjust` it, append it.

        Returns the name of its output.
        """
        place = f"{self.name}, node {len(self.nodes)} ({op})"
        source = Source(
            place=place,
            options=options,
            inputs=tuple(self.tensors[n] if n else None for n in inputs),
            outputs=(output,),
            constants=tuple(self.constants.get(n) for n in inputs),
            dialect=CMSIS_NN,
        )
        operator = adjust(find(f"tflite:{op}", place).decode(source))
        name = f"y{len(self.nodes)}"
        self.tensors[name] = output
        self.nodes.append(Node(f"{operator.kind}_{len(self.nodes)}", operator, inputs, (name,)))
        return name

    def graph(self, *outputs: str) -> Graph:
        """The graph, checked."""
        return Graph(
            name=self.name,
            nodes=tuple(self.nodes),
            tensors=self.tensors,
            constants=self.constants,
            inputs=tuple(self.inputs),
            outputs=outputs,
            dialect=CMSIS_NN.name,
            variables=self.variables,
        )

    def run(self, output: str) -> Array:
        """The value of one tensor."""
        outputs, _ = run(self.graph(output), self.inputs)
        return outputs[output]
