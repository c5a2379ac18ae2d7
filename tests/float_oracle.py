"""Float networks in plain NumPy float64, node by node: what `as_double` is compared with.

Written from the definitions: windows by their padded input, no kernel of ours.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Graph, Node

Doubles = NDArray[np.float64]


def run_double(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Doubles]:
    """Every tensor of a float32 graph in float64, by name."""
    values: dict[str, Any] = {n: _wide(v) for n, v in {**graph.constants, **inputs}.items()}
    for node in graph.nodes:
        given = [values[name] if name else None for name in node.inputs]
        values[node.outputs[0]] = _result(graph, node, given)
    return values


def _wide(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def _result(graph: Graph, node: Node, given: list[Any]) -> Any:
    op: Any = node.op
    x = given[0]
    shape = graph.tensors[node.outputs[0]].shape
    bias = given[2] if len(given) > 2 and given[2] is not None else 0.0
    match op.kind:
        case "float_conv_2d":
            return _cut(convolution(x, given[1], op.windows, shape) + bias, op)
        case "float_fully_connected":
            return _cut((x.reshape(-1, given[1].shape[1]) @ given[1].T + bias).reshape(shape), op)
        case "float_matmul":
            return _cut(op.alpha * np.matmul(x, given[1]) + op.beta * bias, op)
        case "float_average_pool":
            return _cut(pooled(x, op.windows, shape), op)
        case "arithmetic":
            names = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
            return _cut(names[op.function](x, given[1]), op)
        case "float_unary" if op.function == "relu":
            return np.where(x > 0, x, 0.0)
        case "float_unary" if op.function == "clip":
            return np.clip(x, *op.parameters)
        case "batch_normalization":
            gamma, beta, mean, variance = given[1:]
            return gamma * (x - mean) / np.sqrt(variance + op.epsilon) + beta
        case "reshape":
            return x.reshape(shape)
        case "transpose":
            return x.transpose(op.order)
        case "softmax" | "float_softmax":
            e = np.exp(x - x.max(axis=-1, keepdims=True))
            return np.asarray(e / e.sum(axis=-1, keepdims=True))
    raise NotImplementedError(op.kind)


def _cut(y: Doubles, op: Any) -> Any:
    return np.clip(y, *op.bounds)


def _inside(x: Doubles, windows: Any, shape: tuple[int, ...], fill: float) -> Doubles:
    """The input inside `fill`, as far as the windows reach."""
    padding = windows.padding
    before, after = [0, 0], [0, 0]
    for k in (0, 1):
        reach = (windows.kernel[k] - 1) * windows.dilation[k] + 1
        needed = (shape[1 + k] - 1) * windows.stride[k] + reach
        missing = max(needed - x.shape[1 + k], 0)
        if padding == "SAME":
            before[k] = missing // 2
        elif padding != "VALID":
            before[k] = padding[k]
        after[k] = max(needed - x.shape[1 + k] - before[k], 0)
    widths = [(0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)]
    return np.pad(x, widths, constant_values=fill)


def _window(x: Doubles, windows: Any, y: int, z: int) -> Doubles:
    (ky, kx), (sy, sx), (dy, dx) = windows.kernel, windows.stride, windows.dilation
    return x[:, y * sy : y * sy + (ky - 1) * dy + 1 : dy, z * sx : z * sx + (kx - 1) * dx + 1 : dx]


def convolution(x: Doubles, w: Doubles, windows: Any, shape: tuple[int, ...]) -> Doubles:
    """Window by window: the sum over ky, kx, ic for every filter of every group."""
    out = np.empty(shape)
    each = w.shape[3]
    groups = x.shape[3] // each
    filters = w.reshape(groups, -1, *w.shape[1:])
    padded = _inside(x, windows, shape, 0.0)
    for y in range(shape[1]):
        for z in range(shape[2]):
            window = _window(padded, windows, y, z)
            parts = window.reshape(*window.shape[:3], groups, each)
            sums = np.einsum("nijgc,gfijc->ngf", parts, filters)
            out[:, y, z] = sums.reshape(len(x), -1)
    return out


def pooled(x: Doubles, windows: Any, shape: tuple[int, ...]) -> Doubles:
    """The mean of the elements inside the input."""
    out = np.empty(shape)
    padded = _inside(x, windows, shape, math.nan)
    for y in range(shape[1]):
        for z in range(shape[2]):
            out[:, y, z] = np.nanmean(_window(padded, windows, y, z), axis=(1, 2))
    return out
