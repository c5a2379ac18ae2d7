"""Plans with min-max ranges, and small float networks drawn from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Graph
from tests.ops.onnx_runtime import graph_of, model, node
from workloads.float_graph import layers
from workloads.quantize import PER_TENSOR, Grid, affine, per_channel, single, symmetric
from workloads.quantize.ptq import Plan, Weights, forward, places, prepared


@dataclass(frozen=True)
class Widths:
    """What a plan is made with; `centred` activations have zero point 0 and both signs."""

    weights: int
    activations: int
    by_channel: bool = True
    centred: bool = False
    affine_weights: bool = False


def plan_of(
    graph: Graph,
    batch: Mapping[str, Array],
    widths: Widths,
    other: Mapping[str, Widths] | None = None,
) -> Plan:
    """Grids over the ranges of one batch [samples, ...]; `other` widths for some layers' weights.

    An activation that a layer of `other` gives has its width, where nothing ties it.
    """
    exceptions = other or {}
    found = places(graph)
    names = [n for n in found.tensors if n not in graph.constants]
    (seen,) = forward(graph, [batch], names)
    values = {**{n: graph.constants[n] for n in found.tensors if n in graph.constants}, **seen}
    made = {layer.output: exceptions.get(layer.weights, widths) for layer in layers(graph)}
    activations = dict[str, Grid]()
    for group in found.groups:
        chosen = next((made[n] for n in group if n in made), widths)
        low = min(float(values[n].min()) for n in group)
        high = max(float(values[n].max()) for n in group)
        if group[0] in found.known:
            low, high = found.known[group[0]]
            high -= (high - low) / 2**chosen.activations
        form = symmetric if chosen.centred else affine
        grid = single(form(np.array([low]), np.array([high]), bits=chosen.activations))
        activations |= dict.fromkeys(group, grid)
    weights = {}
    for layer in layers(graph):
        chosen = exceptions.get(layer.weights, widths)
        weights[layer.weights] = _weights(graph.constants[layer.weights], layer.filter_axis, chosen)
    return Plan(graph, weights, activations)


def _weights(value: Array, axis: int, widths: Widths) -> Weights:
    layout = per_channel(axis) if widths.by_channel else PER_TENSOR
    low, high = layout.reduce(np.minimum, value), layout.reduce(np.maximum, value)
    if widths.affine_weights:
        grid = affine(low, high, bits=widths.weights, layout=layout)
    else:
        restricted = widths.weights > 1
        grid = symmetric(low, high, bits=widths.weights, layout=layout, restricted=restricted)
    grid = single(grid)
    return Weights(grid.quantize(value), grid)


@dataclass
class _Network:
    """A network that grows: images by name with (channels, height, width), batch of 1."""

    rng: Random
    functions: bool
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    images: list[tuple[str, tuple[int, int, int]]] = field(default_factory=list)

    def reals(self, shape: tuple[int, ...], taps: int) -> str:
        draw = np.random.default_rng(self.rng.getrandbits(32))
        name = f"c{len(self.constants)}"
        self.constants[name] = (draw.standard_normal(shape) / taps**0.5).astype(np.float32)
        return name

    def add(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(node(op, inputs, [name], **attributes))
        return name

    def convolution(self, x: str, shape: tuple[int, int, int]) -> None:
        rng, (channels, height, width) = self.rng, shape
        size = rng.choice([k for k in (1, 2, 3) if k <= min(height, width)])
        group = rng.choice([1, 1, channels, 2 if channels % 2 == 0 else 1])
        filters = channels if group == channels else group * rng.randint(1, 9)
        stride = rng.choice([1, 1, 2])
        pads = [rng.randint(0, size - 1) for _ in range(4)]
        w = self.reals((filters, channels // group, size, size), channels // group * size**2)
        inputs = [x, w, self.reals((filters,), 4)][: rng.choice([2, 3, 3])]
        y = self.add("Conv", inputs, group=group, strides=[stride, stride], pads=pads)
        out = [
            (n + pads[k] + pads[k + 2] - size) // stride + 1 for k, n in enumerate((height, width))
        ]
        self.images.append((self.activation(y), (filters, out[0], out[1])))

    def activation(self, x: str) -> str:
        exact = ["", "Relu", "Relu", "Clip", "LeakyRelu"]
        kind = self.rng.choice([*exact, "Sigmoid", "HardSwish"] if self.functions else exact)
        if kind == "Clip":
            self.constants |= {"zero": np.array(0, "f4"), "six": np.array(1.5, "f4")}
            return self.add("Clip", [x, "zero", "six"])
        return self.add(kind, [x]) if kind else x

    def pooling(self, x: str, shape: tuple[int, int, int]) -> None:
        channels, height, width = shape
        kind = self.rng.choice(["MaxPool", "AveragePool"] if self.functions else ["MaxPool"])
        y = self.add(kind, [x], kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
        self.images.append((y, (channels, (height + 1) // 2, (width + 1) // 2)))

    def joined(self, x: str, shape: tuple[int, int, int]) -> None:
        alike = [name for name, other in self.images if other == shape]
        other = self.rng.choice(alike)
        kind = self.rng.choice(["Add", "Add", "Mul", "Sub", "Concat"])
        if kind == "Concat":
            y = self.add(kind, [x, other], axis=1)
            self.images.append((y, (2 * shape[0], *shape[1:])))
        else:
            self.images.append((self.activation(self.add(kind, [x, other])), shape))

    def step(self) -> None:
        x, shape = self.rng.choice(self.images[-3:])
        kinds = [self.convolution, self.convolution, self.joined]
        if min(shape[1:]) > 1:
            kinds.append(self.pooling)
        self.rng.choice(kinds)(x, shape)


def drawn(seed: int, folder: Path, *, functions: bool = True) -> tuple[Graph, NDArray[np.float32]]:
    """A prepared network with a head, and samples [6, 1, c, h, w] for it.

    `functions` are those that float32 gives to rounding alone: sigmoid, softmax, averages.
    """
    rng = Random(seed)
    shape = (rng.choice([1, 3, 4, 8]), rng.randint(3, 9), rng.randint(3, 9))
    made = _Network(rng, functions, images=[("x", shape)])
    made.convolution("x", shape)
    for _ in range(rng.randint(0, 5)):
        made.step()
    x, (channels, height, width) = made.images[-1]
    if functions and rng.random() < 0.5:
        x, height, width = made.add("GlobalAveragePool", [x]), 1, 1
    x = made.add("Flatten", [x])
    taps = channels * height * width
    w = made.reals((5, taps), taps)
    x = made.add("Gemm", [x, w, made.reals((5,), 4)], transB=1)
    if functions and rng.random() < 0.5:
        x = made.add("Softmax", [x])
    inputs = {"x": ("float32", (1, *shape))}
    data = model(made.nodes, inputs, {x: "float32"}, made.constants)
    samples = np.random.default_rng(seed).standard_normal((6, 1, *shape)).astype(np.float32)
    return prepared(graph_of(data, folder)), samples
