"""A described network as a graph that holds shapes and no values: to be costed, never run.

Each layer is the int8 operator of that name, decoded as a `.tflite` file's would be; every grid
is the same made-up one. Weights are one zero seen everywhere.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from simulator.graph import Array, Graph, Node, QuantParams, Source, TensorType
from simulator.numeric.dialect import dialect
from simulator.registry import find
from simulator.work import Work
from workloads.topology_csv import SHAPES_ONLY, shape_alone
from workloads.zoo.description import PROBABILITIES, Description, Layer, Weight

BITS: Final = 8
_GRID: Final = QuantParams((1 / 32,), (0,))
_UNIT: Final = QuantParams((1 / 256,), (-128,))
"""Of probabilities: from 0 to 1."""
_ROOTS: Final = QuantParams((1 / 32,), (-128,))
"""Of what is never negative, and of inverse roots."""


def shapes_alone(network: Description, bits: int = BITS) -> Graph:
    """The graph; `bits` is the width of weights and activations, biases have 32."""
    made = _Lowering(network).graph()
    return made if bits == BITS else _in_bits(made, bits)


class _Lowering:
    """The tensors and nodes made so far."""

    def __init__(self, network: Description) -> None:
        self.network = network
        self.rules = dialect("litert-ref")
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.tensors = {
            name: TensorType(shape, "int32", 32)
            if name in network.indices
            else TensorType(shape, "int8", BITS, _GRID)
            for name, shape in network.inputs.items()
        }
        self.grids = _grids(network)

    def graph(self) -> Graph:
        """Every layer in order."""
        for layer in self.network.layers:
            self._node(layer)
        inputs, outputs = tuple(self.network.inputs), self.network.outputs
        return Graph(
            self.network.name,
            tuple(self.nodes),
            self.tensors,
            self.constants,
            inputs,
            outputs,
            dialect=SHAPES_ONLY,
        )

    def _node(self, layer: Layer) -> None:
        names = tuple(self._operand(layer, operand) for operand in layer.operands)
        kind = TensorType(layer.shape, "int8", BITS, self.grids[layer.name])
        self.tensors[layer.name] = kind
        settings = tuple(np.array(values, np.int32) for values in layer.settings)
        source = Source(
            place=f"{self.network.name}, {layer.name}",
            options=layer.options,
            inputs=(
                *(self.tensors[name] for name in names),
                *(TensorType(values.shape, "int32", 32) for values in settings),
            ),
            outputs=(kind,),
            constants=(*(self.constants.get(name) for name in names), *settings),
            dialect=self.rules,
        )
        operator = find(f"tflite:{layer.op}", source.place).decode(source)
        self.nodes.append(Node(layer.name, operator, names, (layer.name,)))

    def _operand(self, layer: Layer, operand: str | Weight) -> str:
        """The name of an operand; a weight becomes a constant of its own."""
        if isinstance(operand, str):
            return operand
        name = f"{layer.name}.{operand.role}"
        if operand.role == "bias":
            kind = TensorType(operand.shape, "int32", 32)
        else:
            kind = TensorType(operand.shape, "int8", BITS, _weight_grid(layer, operand))
        self.tensors[name] = kind
        self.constants[name] = shape_alone(operand.shape, kind.dtype)
        return name


def _weight_grid(layer: Layer, weight: Weight) -> QuantParams:
    """One scale a filter in convolutions, as TFLite's converter gives them; else one."""
    axes = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
    if layer.op not in axes:
        return _GRID
    filters = weight.shape[axes[layer.op]]
    return QuantParams(_GRID.scale * filters, (0,) * filters, axes[layer.op])


def _grids(network: Description) -> Mapping[str, QuantParams]:
    """Of each layer's output: probabilities have their own, and what only moves them keeps it."""
    grids = dict.fromkeys(network.inputs, _GRID)
    moves = ("SLICE", "RESHAPE", "TRANSPOSE", "CONCATENATION")
    for layer in network.layers:
        first = layer.operands[0]
        grid = _GRID
        if layer.op in PROBABILITIES:
            grid = _UNIT
        elif layer.op in moves and isinstance(first, str):
            grid = grids[first]
        grids[layer.name] = grid
    rooted = [layer.operands[0] for layer in network.layers if layer.op == "RSQRT"]
    return grids | {str(name): _ROOTS for name in rooted}


def _in_bits(graph: Graph, bits: int) -> Graph:
    """The graph with quantized tensors of other widths, to be costed alone."""
    dtype = "int8" if bits <= BITS else "int16"
    tensors = {
        name: kind if kind.quant is None else replace(kind, dtype=dtype, bits=bits)
        for name, kind in graph.tensors.items()
    }
    widths = {"weight_bits": bits, "activation_bits": bits, "output_bits": bits}
    works: list[Work] = [replace(work, **widths) for work in graph.work]
    return graph.in_widths(tensors, works)
