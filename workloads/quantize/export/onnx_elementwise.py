"""Functions of elements, normalizations and rows, as ONNX has them."""

from collections.abc import Mapping
from math import inf
from types import MappingProxyType
from typing import Final

import numpy as np

from simulator.graph import Node
from simulator.numeric.bounds import Bounds
from simulator.numeric.softmax import RealSoftmax
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.batch_normalization import BatchNormalization
from simulator.ops.cast import Cast
from simulator.ops.float_softmax import FloatSoftmax
from simulator.ops.float_unary import FloatUnary
from simulator.ops.softmax import Softmax
from workloads.quantize.export.onnx_values import Form, Values
from workloads.quantize.export.onnx_writer import ELEMENTS

_BINARY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "add": "Add",
        "sub": "Sub",
        "mul": "Mul",
        "div": "Div",
        "pow": "Pow",
        "min": "Min",
        "max": "Max",
        "maximum": "Max",
        "minimum": "Min",
    }
)
_UNARY: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "abs": ("Abs", ()),
        "ceil": ("Ceil", ()),
        "elu": ("Elu", ("alpha",)),
        "erf": ("Erf", ()),
        "exp": ("Exp", ()),
        "floor": ("Floor", ()),
        "hard_sigmoid": ("HardSigmoid", ("alpha", "beta")),
        "hard_swish": ("HardSwish", ()),
        "leaky_relu": ("LeakyRelu", ("alpha",)),
        "log": ("Log", ()),
        "neg": ("Neg", ()),
        "reciprocal": ("Reciprocal", ()),
        "round": ("Round", ()),
        "sigmoid": ("Sigmoid", ()),
        "sign": ("Sign", ()),
        "sqrt": ("Sqrt", ()),
        "tanh": ("Tanh", ()),
        "logistic": ("Sigmoid", ()),
    }
)
"""Operator and the names of its parameters, by function or kind."""
HARD_SWISH_OPSET: Final = 14
"""The one that HardSwish came with."""


def binary(values: Values, node: Node) -> None:
    """Two operands or more, from left to right."""
    op, y = node.op, node.outputs[0]
    function = op.function if isinstance(op, Arithmetic) else op.kind
    if function not in _BINARY and function != "floor_div":
        raise values.refuse(node, f"ONNX has no operator for {function}")
    form = _broadcast_form(values, node)
    total, *rest = (_operand(values, name, form) for name in node.inputs)
    for other in rest:
        name = "Div" if function == "floor_div" else _BINARY[function]
        total = values.writer.node(name, [total, other], f"{y}_real")
        if function == "floor_div":
            total = values.writer.node("Floor", [total], f"{y}_floor")
    bounds = op.bounds if isinstance(op, Arithmetic) else (-inf, inf)
    values.put(y, form, total, bounds)


def _broadcast_form(values: Values, node: Node) -> Form:
    """Where one operand is an image in NCHW, all must be images or constants."""
    return values.form(node.inputs)


def _operand(values: Values, name: str, form: Form) -> str:
    """A value that broadcasts in a form; a constant of one element has no layout."""
    if name in values.graph.constants and values.graph.tensors[name].elements == 1:
        return values.at(name, "own")
    return values.at(name, form)


def unary(values: Values, node: Node) -> None:
    """A function of each element, in the layout that the input has."""
    op, x, y = node.op, node.inputs[0], node.outputs[0]
    form = values.form((x,))
    function = op.function if isinstance(op, FloatUnary) else op.kind
    held = values.at(x, form)
    if function in ("relu", "clip"):
        assert isinstance(op, FloatUnary)
        bounds = (0.0, inf) if function == "relu" else (op.parameters[0], op.parameters[1])
        _cut(values, node, held, form, bounds)
        return
    if function == "rsqrt":
        root = values.writer.node("Sqrt", [held], f"{y}_root")
        values.put(y, form, values.writer.node("Reciprocal", [root], f"{y}_real"))
        return
    if function not in _UNARY:
        raise values.refuse(node, f"ONNX has no operator for {function}")
    name, parameters = _UNARY[function]
    given = op.parameters if isinstance(op, FloatUnary) else ()
    options = dict(zip(parameters, given, strict=True))
    values.put(y, form, values.writer.node(name, [held], f"{y}_real", **options))


def _cut(values: Values, node: Node, held: str, form: Form, bounds: Bounds) -> None:
    """A cut of its own. On a grid it is Max and Min: a Relu before a quantizer that clamps as much
    is dropped by ONNX Runtime, which then merges the two quantizers into another one.
    """
    y = node.outputs[0]
    if y not in values.plan.activations:
        values.put(y, form, held, bounds)
        return
    for name, bound in zip(("Max", "Min"), bounds, strict=True):
        if abs(bound) < inf:
            limit = values.writer.constant(f"{name}_bound", np.float32(bound))
            held = values.writer.node(name, [held, limit], f"{y}_real")
    values.put(y, form, held)


def softmax(values: Values, node: Node) -> None:
    """Softmax or its logarithm over the last axes, those joined to one."""
    op, x, y = node.op, node.inputs[0], node.outputs[0]
    shape = values.shape(x)
    axes: tuple[int, ...] = (len(shape) - 1,)
    beta, name = 1.0, "Softmax"
    if isinstance(op, FloatSoftmax):
        axes, beta = op.axes, op.beta
        name = "LogSoftmax" if op.logarithm else name
    elif isinstance(op, Softmax):
        beta = op.function.beta if isinstance(op.function, RealSoftmax) else 1.0
    else:
        name = "LogSoftmax"
    held = values.at(x, "own")
    if beta != 1:
        factor = values.writer.constant("beta", np.float32(beta))
        held = values.writer.node("Mul", [held, factor], f"{y}_scaled")
    if len(axes) > 1:
        if axes != tuple(range(axes[0], len(shape))):
            raise values.refuse(node, f"several axes must be the last ones; found {axes}")
        joined = values.writer.constant("shape", np.array((*shape[: axes[0]], -1), np.int64))
        held = values.writer.node("Reshape", [held, joined], f"{y}_joined")
    value = values.writer.node(name, [held], f"{y}_real", axis=axes[0])
    if len(axes) > 1:
        own = values.writer.constant("shape", np.array(shape, np.int64))
        value = values.writer.node("Reshape", [value, own], f"{y}_parted")
    values.put(y, "own", value)


def batch_normalization(values: Values, node: Node) -> None:
    """BatchNormalization, channels on the second axis."""
    op, y = node.op, node.outputs[0]
    assert isinstance(op, BatchNormalization)
    rank = len(values.shape(node.inputs[0]))
    if not (rank == 4 and op.axis == 3) and op.axis != 1:
        raise values.refuse(node, f"channels must lie on axis 1 or last of 4; found {op.axis}")
    form: Form = "nchw" if rank == 4 and op.axis == 3 else "own"
    parameters = [values.at(name, "own") for name in node.inputs[1:]]
    inputs = [values.at(node.inputs[0], form), *parameters]
    value = values.writer.node("BatchNormalization", inputs, f"{y}_real", epsilon=op.epsilon)
    values.put(y, form, value)


def cast(values: Values, node: Node) -> None:
    """Cast to another type of numbers."""
    op, y = node.op, node.outputs[0]
    assert isinstance(op, Cast)
    if op.dtype not in ELEMENTS:
        raise values.refuse(node, f"there is no cast to {op.dtype} here")
    form = values.form(node.inputs)
    held = values.at(node.inputs[0], form)
    values.put(y, form, values.writer.node("Cast", [held], f"{y}_real", to=ELEMENTS[op.dtype]))
