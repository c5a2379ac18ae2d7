"""Float networks in memory, from plain arrays: `FloatNet` adds a node a call, `graph` ends it.

    net = FloatNet((1, 8, 8, 3), "float64")
    x = net.conv("x", weights, bias, bounds=RELU)
    graph = net.graph(net.dense(net.flatten(x), matrix))

Nodes are decoded as a file's are, so that every transform of float graphs takes them.
"""

from collections.abc import Mapping, Sequence
from math import inf, prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Graph, Node, Source, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds
from simulator.numeric.dialect import dialect
from simulator.registry import operators

RELU: Final[Bounds] = (0.0, inf)
RELU6: Final[Bounds] = (0.0, 6.0)
Shape = tuple[int, ...]
Reals = NDArray[Any]


class FloatNet:
    """The tensors and nodes so far; the input is `x`. Weights take the dtype of the network."""

    def __init__(self, shape: Shape, dtype: str = "float32") -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.tensors = {"x": self._type(shape)}

    def graph(self, *outputs: str) -> Graph:
        """The network with these outputs, or with its last tensor."""
        ends = outputs or self.nodes[-1].outputs
        return Graph("net", tuple(self.nodes), self.tensors, self.constants, ("x",), ends)

    def shape(self, name: str) -> Shape:
        """The shape of a tensor."""
        return self.tensors[name].shape

    def constant(self, name: str, value: Array) -> str:
        """A named constant; reals take the network's dtype."""
        held = value.astype(self.dtype) if value.dtype.kind == "f" else value
        self.constants[name] = held
        self.tensors[name] = TensorType(held.shape, held.dtype.name, 8 * held.dtype.itemsize)
        return name

    def conv(
        self,
        x: str,
        weights: Reals,
        bias: Reals | None = None,
        *,
        bounds: Bounds = UNBOUNDED,
        stride: int = 1,
        padding: str | tuple[int, int, int, int] = "SAME",
    ) -> str:
        """Convolution with weights (filters, ky, kx, channels of a group)."""
        windows = _windows(weights.shape[1:3], stride, padding)
        names = self._parameters("conv", x, weights, bias)
        return self.add_node("float_conv_2d", names, {**windows, "bounds": bounds})

    def dense(
        self, x: str, weights: Reals, bias: Reals | None = None, *, bounds: Bounds = UNBOUNDED
    ) -> str:
        """Fully connected, weights (outputs, inputs)."""
        names = self._parameters("dense", x, weights, bias)
        options = {"keep_num_dims": True, "bounds": bounds}
        return self.add_node("float_fully_connected", names, options)

    def matmul(
        self, x: str, weights: Reals, bias: Reals | None = None, *, bounds: Bounds = UNBOUNDED
    ) -> str:
        """Product with weights (inputs, outputs)."""
        names = self._parameters("matmul", x, weights, bias)
        options = {"packed": True, "turned": False, "bounds": bounds}
        return self.add_node("float_matmul", names, options)

    def batch_norm(self, x: str, parameters: Sequence[Reals], epsilon: float = 1e-3) -> str:
        """With gamma, beta, mean and variance."""
        keys, at = ("gamma", "beta", "mean", "variance"), len(self.nodes)
        given = zip(keys, parameters, strict=True)
        names = [self.constant(f"norm{at}.{key}", value) for key, value in given]
        options = {"axis": len(self.shape(x)) - 1, "epsilon": epsilon}
        return self.add_node("batch_normalization", [x, *names], options)

    def arithmetic(self, function: str, *names: str, bounds: Bounds = UNBOUNDED) -> str:
        """A sum, product and the like of tensors."""
        return self.add_node("arithmetic", names, {"function": function, "bounds": bounds})

    def unary(self, x: str, function: str, *parameters: float) -> str:
        """A function of one tensor: relu, clip, sigmoid and the like."""
        return self.add_node("float_unary", [x], {"function": function, "parameters": parameters})

    def max_pool(self, x: str, size: int = 2) -> str:
        """The largest of each square."""
        return self.add_node("max_pool", [x], _windows((size, size), size, "VALID"))

    def average_pool(self, x: str, size: int = 2) -> str:
        """The mean of each square."""
        options = {**_windows((size, size), size, "VALID"), "count_padding": False}
        return self.add_node("float_average_pool", [x], options)

    def mean(self, x: str, axes: Shape = (1, 2), *, keep: bool = False) -> str:
        """The mean over axes."""
        options = {"function": "mean", "axes": axes, "keep": keep}
        return self.add_node("float_reduce", [x], options)

    def pad(self, x: str, pads: Sequence[tuple[int, int]]) -> str:
        """Zeros before and after along each axis."""
        name = self.constant(f"pads{len(self.nodes)}", np.array(pads, np.int32))
        shape = tuple(sum(p) + n for p, n in zip(pads, self.shape(x), strict=True))
        return self.add_node("pad", [x, name], {}, shape)

    def reshape(self, x: str, shape: Shape) -> str:
        """The same elements in the same order."""
        return self.add_node("reshape", [x], {}, shape)

    def flatten(self, x: str) -> str:
        """All but the first axis as one."""
        shape = self.shape(x)
        return self.reshape(x, (shape[0], prod(shape[1:])))

    def transpose(self, x: str, order: Shape) -> str:
        """Other order of axes."""
        name = self.constant(f"order{len(self.nodes)}", np.array(order, np.int32))
        return self.add_node("transpose", [x, name], {}, tuple(self.shape(x)[k] for k in order))

    def add_node(
        self,
        kind: str,
        inputs: Sequence[str],
        options: Mapping[str, Any],
        shape: Shape | None = None,
    ) -> str:
        """One node of any operator; the shape of its output where the operator needs it said."""
        at = len(self.nodes)
        given = tuple(self.tensors[n] if n else None for n in inputs)
        known = tuple(self.constants.get(n) for n in inputs)
        first = given[0]
        assert first is not None
        guess = self._type(first.shape if shape is None else shape)
        source = Source(f"net, node {at}", options, given, (guess,), known, dialect("litert-ref"))
        op = operators()[kind].decode(source)
        output = f"{kind}{at}"
        self.tensors[output] = self._type(op.infer(given)[0])
        self.nodes.append(Node(f"n{at}", op, tuple(inputs), (output,), source))
        return output

    def _parameters(self, name: str, x: str, weights: Reals, bias: Reals | None) -> list[str]:
        at = len(self.nodes)
        names = [x, self.constant(f"{name}{at}.weights", weights)]
        return names if bias is None else [*names, self.constant(f"{name}{at}.bias", bias)]

    def _type(self, shape: Shape) -> TensorType:
        return TensorType(shape, self.dtype, 32 if self.dtype == "float32" else 64)


def _windows(size: Sequence[int], stride: int, padding: str | Shape) -> dict[str, Any]:
    return {
        "kernel": tuple(size),
        "stride": (stride, stride),
        "dilation": (1, 1),
        "padding": padding,
    }


def mlp(layers: Sequence[tuple[Reals, Reals]], rows: int = 1, dtype: str = "float32") -> Graph:
    """Fully connected layers (weights (outputs, inputs), bias), ReLU between; `rows` a run."""
    net, x = FloatNet((rows, layers[0][0].shape[1]), dtype), "x"
    for i, (weights, bias) in enumerate(layers):
        x = net.dense(x, weights, bias, bounds=RELU if i < len(layers) - 1 else UNBOUNDED)
    return net.graph(x)
