"""A float network as AQT serves it: integer products between real tensors.

out = matmul(RC(a s), RC(s^-1 w t)) t^-1 (arXiv 2105.03536 section 3; google/aqt, jax_legacy): RC
rounds and clips, s scales the activations, one factor or one an input channel, t the weights, one
an output channel, found after s was folded into them. The products are integers, exact in 32 bits;
bias and activation function follow in float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from simulator.config import close_match
from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Array, Graph, Node, Operator, TensorType
from simulator.ops.aqt_quantize import AqtQuantize
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.conv_integer import ConvInteger
from simulator.ops.dequantize_linear import DequantizeLinear
from simulator.ops.float_conv_2d import FloatConv2D
from simulator.ops.matmul_integer import MatMulInteger
from simulator.ops.reshape import Reshape
from workloads.float_graph import Layer, layers
from workloads.float_graph.activations import bounds_on
from workloads.quantize.aqt import AqtForm, AqtGrid, aqt
from workloads.quantize.quantizer import Codes, per_channel

Bound: TypeAlias = float | Array


@dataclass(frozen=True, eq=False)
class AqtLayer:
    """How one layer is quantized: widths, and the bound of its input.

    `bound` is the largest |activation|, or one an input channel, (channels,). `form` is unsigned
    where the input is never negative.
    """

    weight_bits: int
    activation_bits: int
    bound: Bound
    form: AqtForm = "signed"


def activation_scale(layer: AqtLayer) -> Array:
    """The factor s of a layer's input, float32, () or (channels,); see `aqt`."""
    grid = aqt(layer.bound, bits=layer.activation_bits, form=layer.form)
    scale = np.array(grid.scale, np.float32)
    return scale if np.ndim(layer.bound) else scale.reshape(())


def folded_weights(weights: Array, layer: Layer, scale: Array) -> Array:
    """s^-1 w, float32: each weight over the factor of the input channel that it multiplies."""
    if scale.ndim == 0:
        return weights * (np.float32(1) / scale)
    filters, each = weights.shape[layer.filter_axis], weights.shape[layer.input_axis]
    inverse = (np.float32(1) / scale).reshape(layer.groups, each)
    # Filter f reads the channels of its group.
    by_filter = np.repeat(inverse, filters // layer.groups, axis=0)
    shape = [1] * weights.ndim
    shape[layer.filter_axis], shape[layer.input_axis] = filters, each
    turned = by_filter if layer.filter_axis < layer.input_axis else by_filter.T
    return np.asarray(weights * turned.reshape(shape))


def aqt_weights(weights: Array, layer: Layer, settings: AqtLayer) -> tuple[Codes, AqtGrid]:
    """RC(s^-1 w t) and the grid that holds t, one factor an output channel."""
    scaled = folded_weights(weights, layer, activation_scale(settings))
    layout = per_channel(layer.filter_axis)
    bound = layout.reduce(np.maximum, np.abs(scaled))
    grid = aqt(bound, bits=settings.weight_bits, form="signed", layout=layout)
    return grid.quantize(scaled), grid


def aqt_network(graph: Graph, settings: Mapping[str, AqtLayer]) -> Graph:
    """The graph with integer products in the layers of `settings`, by name of weight constant.

    `graph` is float32 with folded batch norms (`prepared`). What `settings` leaves out stays float.
    Raises IllegalGraph for a name that is no layer's, Unsupported for scales that no integer
    product can carry: one a pixel, or the form that has no code for the zeros of padding.
    """
    known = {layer.weights: layer for layer in layers(graph)}
    stray = next((name for name in settings if name not in known), None)
    if stray is not None:
        raise IllegalGraph(
            f"{graph.name}: '{stray}' is not the weights of a layer; "
            f"{close_match(stray, tuple(known))}"
        )
    by_node = {layer.node.name: layer for layer in known.values() if layer.weights in settings}
    work = _Emission(graph)
    for node in graph.nodes:
        layer = by_node.get(node.name)
        if layer is None:
            work.nodes.append(node)
        else:
            work.emit(layer, settings[layer.weights])
    return work.graph()


class _Emission:
    """A graph under construction."""

    def __init__(self, graph: Graph) -> None:
        self.before = graph
        self.nodes = list[Node]()
        self.tensors = dict(graph.tensors)
        self.constants = dict(graph.constants)

    def graph(self) -> Graph:
        """The graph with the tensors and constants that its nodes name."""
        used = {name for node in self.nodes for name in (*node.inputs, *node.outputs) if name}
        used |= {*self.before.inputs, *self.before.outputs}
        return replace(
            self.before,
            nodes=tuple(self.nodes),
            tensors={name: kind for name, kind in self.tensors.items() if name in used},
            constants={name: value for name, value in self.constants.items() if name in used},
        )

    def emit(self, layer: Layer, settings: AqtLayer) -> None:
        """Quantize the input, multiply integers, scale back, add the bias, cut."""
        _check(self.before, layer, settings)
        codes, grid = aqt_weights(self.before.constants[layer.weights], layer, settings)
        x = self._quantized(layer, settings)
        sums = self._products(layer, settings, x, codes)
        inverse = (1 / np.array(grid.scale)).astype(np.float32)
        scale = self._constant(f"{layer.output}/scale", inverse, 32)
        real = self._tensor(f"{layer.output}/sums", self.tensors[sums].shape, "float32", 32)
        axis = len(self.tensors[sums].shape) - 1
        self._node("dequantize", DequantizeLinear(axis, 0, "float32"), (sums, scale), real)
        shape = self.before.tensors[layer.output].shape
        ending = Arithmetic("add", "float32", bounds_on(layer.node))
        addends = (real, layer.bias) if layer.bias else (real,)
        if self.tensors[real].shape == shape:
            self._node("bias", ending, addends, layer.output)
            return
        flat = self._tensor(f"{layer.output}/rows", self.tensors[sums].shape, "float32", 32)
        self._node("bias", ending, addends, flat)
        self._node("reshape", Reshape(shape), (flat,), layer.output)

    def _quantized(self, layer: Layer, settings: AqtLayer) -> str:
        op = AqtQuantize(settings.form, settings.activation_bits)
        x = self.before.tensors[layer.activations]
        scale = self._constant(f"{layer.output}/input_scale", activation_scale(settings), 32)
        name = f"{layer.output}/input_codes"
        codes = self._tensor(name, x.shape, op.dtype, settings.activation_bits)
        self._node("quantize", op, (layer.activations, scale), codes)
        return codes

    def _products(self, layer: Layer, settings: AqtLayer, x: str, codes: Codes) -> str:
        held, op = codes.astype(np.int8), layer.node.op
        name = f"{layer.output}/accumulators"
        bits = settings.weight_bits
        if isinstance(op, FloatConv2D):
            weights = self._constant(f"{layer.weights}/codes", held, bits)
            shape = self.before.tensors[layer.output].shape
            sums = self._tensor(name, shape, "int32", 32)
            self._node("products", ConvInteger(op.windows), (x, weights), sums)
            return sums
        matrix = held if layer.filter_axis == 1 else np.ascontiguousarray(held.T)
        weights = self._constant(f"{layer.weights}/codes", matrix, bits)
        rows, kind = x, self.tensors[x]
        if kind.shape[-1] != matrix.shape[0]:
            flat = (kind.elements // matrix.shape[0], matrix.shape[0])
            rows = self._tensor(f"{x}/rows", flat, kind.dtype, kind.bits)
            self._node("rows", Reshape(flat), (x,), rows)
        shape = (*self.tensors[rows].shape[:-1], matrix.shape[1])
        sums = self._tensor(name, shape, "int32", 32)
        self._node("products", MatMulInteger(), (rows, weights), sums)
        return sums

    def _node(self, what: str, op: Operator, inputs: tuple[str, ...], output: str) -> None:
        self.nodes.append(Node(f"{output}/{what}", op, inputs, (output,)))

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: str, bits: int) -> str:
        self.tensors[name] = TensorType(shape, dtype, bits)
        return name

    def _constant(self, name: str, value: Array, bits: int) -> str:
        self.constants[name] = value
        return self._tensor(name, value.shape, value.dtype.name, bits)


def _check(graph: Graph, layer: Layer, settings: AqtLayer) -> None:
    place = f"{graph.name}: layer '{layer.node.name}'"
    x = graph.tensors[layer.activations]
    if x.dtype != "float32":
        raise Unsupported(f"{place} reads {x.dtype}; AQT's arithmetic is in float32")
    channels = graph.constants[layer.weights].shape[layer.input_axis] * layer.groups
    shape = np.shape(settings.bound)
    if shape not in ((), (channels,)):
        raise Unsupported(
            f"{place}: bounds of shape {shape}; integer products take one bound, or one an input "
            f"channel, ({channels},): others cannot be folded into the weights"
        )
    if shape and x.shape[-1] != channels:
        raise Unsupported(
            f"{place} flattens its input {x.shape}, whose last axis holds no whole row of "
            f"{channels}; give one bound"
        )
    if settings.form == "half_shift":
        raise Unsupported(
            f"{place}: half_shift has no code for 0, which padding needs, and leaves half steps in "
            "the sums; use signed or unsigned"
        )
    if max(settings.weight_bits, settings.activation_bits) > 8:
        raise Unsupported(f"{place}: AQT's integer products take up to 8 bits; bf16 stays float")
