"""Each operator of an exported network on what it reads there, against the float operator.

Fed the same, errors do not add up from layer to layer: what is left are the roundings of the one
kernel, in steps of its grids.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import frexp

import numpy as np

from simulator.execute import run_batch
from simulator.graph import Array, Graph, Node
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.float_unary import FloatUnary
from workloads.float_graph import cut, layer_of, layers, with_outputs
from workloads.quantize.ptq import Plan
from workloads.quantize.ptq.biases import with_room_for_biases
from workloads.quantize.ptq.places import moves
from workloads.quantize.ptq.plan import real_bias
from workloads.quantize.ptq.simulate import with_reals

SINGLE = 2.0**-20
"""What sums of float32 are off by, of the greatest value."""
INT16_TABLE = 4.0
"""Steps of 2^-15 that sigmoid and tanh of 16 bits are off by: entries 1/24 and 1/48 apart, between
them straight lines, and an input of 12 fractional bits."""


@dataclass(frozen=True)
class Off:
    """How far a tensor is from what its operator gives in reals, and how far it may be."""

    tensor: str
    kind: str
    apart: float
    allowed: float

    @property
    def too_far(self) -> bool:
        """Whether no rounding explains it."""
        return not self.apart <= self.allowed


def operators_off(plan: Plan, exported: Graph, batch: Mapping[str, Array]) -> Iterator[Off]:
    """Every tensor of the plan in an exported `.tflite`; `batch` holds real inputs."""
    plan = with_room_for_biases(plan)
    found = reals_of(exported, batch, {n for node in plan.graph.nodes for n in node.outputs})
    graph = on_grids(plan)
    for node in graph.nodes:
        given = [n for n in dict.fromkeys(node.inputs) if n and n not in graph.constants]
        inputs = {n: found[n].astype(np.float32) for n in given}
        wanted = run_batch(cut(graph, given, node.outputs), inputs)[0]
        for name in node.outputs:
            (low,), (high,) = plan.activations[name].ends()
            real = np.clip(wanted[name].astype(np.float64), low, high)
            apart = np.abs(found[name] - real).max()
            yield Off(name, described(node), float(apart), allowed(plan, node, name, real))


def on_grids(plan: Plan) -> Graph:
    """The float graph with the values of weights, biases and constant operands on their grids."""
    graph = plan.graph
    values = {name: held.real() for name, held in plan.weights.items()}
    values |= {at.bias: real_bias(plan, at) for at in layers(graph) if at.bias}
    for name, grid in plan.activations.items():
        if name in graph.constants:
            values[name] = grid.dequantize(grid.quantize(graph.constants[name]))
    return with_reals(graph, values)


def reals_of(exported: Graph, batch: Mapping[str, Array], names: set[str]) -> dict[str, Array]:
    """Inputs and named tensors of a network of codes, in reals, [samples, ...]."""
    codes = dict[str, Array]()
    for name in exported.inputs:
        ends = np.iinfo(exported.tensors[name].dtype)
        (scale,), zero = grid_of(exported, name)
        steps = np.rint(batch[name].astype(np.float64) / scale) + zero
        codes[name] = np.clip(steps, ends.min, ends.max).astype(ends.dtype)
    made = run_batch(with_outputs(exported, sorted(names)), codes)[0]
    return {
        name: (value.astype(np.float64) - zero) * scale
        for name, value in {**codes, **made}.items()
        for (scale,), zero in [grid_of(exported, name)]
    }


def grid_of(graph: Graph, name: str) -> tuple[tuple[float, ...], int]:
    quant = graph.tensors[name].quant
    assert quant is not None, name
    return quant.scale, quant.zero_point[0]


def described(node: Node) -> str:
    op = node.op
    return op.function if isinstance(op, FloatUnary | Arithmetic) else op.kind


def allowed(plan: Plan, node: Node, name: str, real: Array) -> float:
    """The roundings of LiteRT's kernel of an operator, in reals."""
    y = plan.activations[name]
    (step,) = y.scale
    wide = y.code_bits > 8
    codes = float(np.abs(real).max()) / step
    if moves(node):
        return step * codes * SINGLE
    steps = 0.5 + codes * SINGLE + kernel_steps(plan, node, wide, codes)
    return step * steps + requantized(plan, node, step)


def kernel_steps(plan: Plan, node: Node, wide: bool, codes: float) -> float:
    """Beyond the half step of the last rounding, in steps of the output."""
    kind = described(node)
    (step,) = plan.activations[node.outputs[0]].scale
    scales = [plan.activations[n].scale[0] for n in node.inputs if n in plan.activations]
    layer = layer_of(plan.graph, node)
    if layer is not None:
        # The multiplier of a 64-bit sum is cut to 15 bits (MultiplyByQuantizedMultiplier).
        weights = plan.weights[layer.weights].grid.scale
        return codes * 2**-15 if wide else max(twice(scales[0] * s / step) for s in weights)
    if kind == "mul":
        return twice(scales[0] * scales[-1] / step)
    if kind in ("add", "sub"):
        return 3 * 2 * max(scales) / step * 2.0 ** -(15 if wide else 20)
    if kind == "leaky_relu":
        op = node.op
        assert isinstance(op, FloatUnary)
        return max(twice(scales[0] * factor / step) for factor in (1.0, op.parameters[0]))
    if kind in ("sigmoid", "tanh", "logistic"):
        return INT16_TABLE if wide else 0.0
    if kind in ("softmax", "float_softmax"):
        # Exponentials from a table of 513 entries are off by 3 steps, so is each of their sum.
        taps = plan.graph.tensors[node.outputs[0]].shape[-1]
        return 3.0 * (1 + taps) if wide else 2.0**-6
    return twice(scales[0] / step)


def requantized(plan: Plan, node: Node, step: float) -> float:
    """Half a step of the input's grid, which averages are rounded to first."""
    (x,) = plan.activations[node.inputs[0]].scale
    return x / 2 if node.op.kind == "float_average_pool" and x != step else 0.0


def twice(scale: float) -> float:
    """What the first of two roundings moves: half a unit of 2^exponent steps, none from 1/2 on."""
    return 2.0 ** min(frexp(scale)[1], 0) / 2 if scale < 0.5 else 0.0
