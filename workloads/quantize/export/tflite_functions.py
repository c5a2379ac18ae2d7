"""Functions and arithmetic of real tensors, as the operators of TFLite that compute on codes."""

from collections.abc import Callable, Mapping
from math import inf
from types import MappingProxyType
from typing import Final

from simulator.graph import Node
from simulator.numeric.bounds import UNBOUNDED
from simulator.numeric.softmax import RealSoftmax
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.float_reduce import FloatReduce
from simulator.ops.float_softmax import FloatSoftmax
from simulator.ops.float_unary import FloatUnary
from simulator.ops.softmax import Softmax
from simulator.reduction import Extreme
from workloads.quantize.export.tflite_draft import Draft
from workloads.quantize.export.tflite_grids import FIXED, code_bounds
from workloads.quantize.export.tflite_versions import INT8_ONLY

_ARITHMETIC: Final = {"add": "ADD", "sub": "SUB", "mul": "MUL"}
_EXTREMES: Final = {"max": "MAXIMUM", "min": "MINIMUM"}
_RECTIFIERS: Final[Mapping[tuple[float, float], str]] = MappingProxyType(
    {
        (0.0, inf): "RELU",
        (0.0, 6.0): "RELU6",
        (-1.0, 1.0): "RELU_N1_TO_1",
        (0.0, 1.0): "RELU_0_TO_1",
    }
)
"""By bounds."""
_UNARY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "abs": "ABS",
        "exp": "EXP",
        "hard_swish": "HARD_SWISH",
        "leaky_relu": "LEAKY_RELU",
        "sigmoid": "LOGISTIC",
        "tanh": "TANH",
    }
)
"""By function. Those that BUILTIN_REF of LiteRT 2.3.0 does not register (ELU) are left out."""
_WAY_OUT: Final = "Replace it, or cut the network before it."
_REDUCTIONS: Final = {"max": "REDUCE_MAX", "mean": "MEAN", "min": "REDUCE_MIN"}


def arithmetic(draft: Draft, node: Node) -> None:
    """ADD, SUB and MUL, each tensor on its own grid; MAXIMUM and MINIMUM on the output's."""
    op = node.op
    assert isinstance(op, Arithmetic)
    if len(node.inputs) != 2 or op.function not in (*_ARITHMETIC, *_EXTREMES):
        found = f"'{op.function}' of {len(node.inputs)}"
        way_out = "Write it with these."
        draft.refuse(node, "int8 arithmetic is add, sub, mul, min, max of two", found, way_out)
    if op.function in _EXTREMES:
        extreme(draft, node)
        return
    given = [draft.operand(node, i) for i in (0, 1)]
    inputs = [x.index for x in given]
    if op.function != "mul":
        _sum_fits(draft, node, max(x.grid.scale for x in given))
    # Scales are of any size: the kernels for powers of two alone are not asked for.
    options = {} if op.function == "mul" else {"pot_scale_int16": False}
    draft.give(node, _ARITHMETIC[op.function], inputs, options, bounds=op.bounds)


def _sum_fits(draft: Draft, node: Node, scale: float) -> None:
    """Refuse operands on a grid so coarse that LiteRT's add.cc ends the process."""
    y = draft.output_grid(node)
    room = 2**14 if y.dtype == "int16" else 2**19
    if scale >= room * y.scale:
        rule = f"a sum's operands have less than {room} times its scale"
        draft.refuse(node, rule, f"{scale:g} and {y.scale:g}", "Give the sum a wider range.")


def extreme(draft: Draft, node: Node) -> None:
    """MAXIMUM or MINIMUM: codes are compared, so all three tensors share a grid."""
    op = node.op
    function = op.function if isinstance(op, Arithmetic) else op.kind
    if isinstance(op, Arithmetic) and op.bounds != UNBOUNDED:
        draft.refuse(node, f"'{function}' has no fused activation", op.bounds, "Export it apart.")
    grid = draft.output_grid(node)
    inputs = [draft.operand(node, i, grid).index for i in (0, 1)]
    draft.give(node, _EXTREMES.get(function, function.upper()), inputs, {}, grid)


def unary(draft: Draft, node: Node) -> None:
    """A function by table, or a clamp."""
    op = node.op
    assert isinstance(op, FloatUnary)
    if op.function in ("relu", "clip"):
        low, high = op.parameters if op.function == "clip" else (0.0, inf)
        _clamp(draft, node, low, high)
        return
    if op.function not in _UNARY:
        known = ", ".join((*_UNARY, "relu", "clip"))
        draft.refuse(node, f"functions of codes are {known}", f"'{op.function}'", _WAY_OUT)
    alpha = {"alpha": op.parameters[0]} if op.function == "leaky_relu" else {}
    function(draft, node, _UNARY[op.function], alpha)


def function(
    draft: Draft, node: Node, op: str, options: Mapping[str, object] = MappingProxyType({})
) -> None:
    """An operator of one tensor, on its only output grid where it has one."""
    grid = FIXED.get((op, draft.dtype(node)))
    draft.give(node, op, [draft.operand(node).index], options, grid)


def softmax(draft: Draft, node: Node) -> None:
    """SOFTMAX or LOG_SOFTMAX over the last axis."""
    op, rank = node.op, len(draft.graph.tensors[node.inputs[0]].shape)
    name, beta = "LOG_SOFTMAX" if op.kind == "log_softmax" else "SOFTMAX", 1.0
    if isinstance(op, FloatSoftmax):
        name, beta = "LOG_SOFTMAX" if op.logarithm else "SOFTMAX", op.beta
        if op.axes != (rank - 1,):
            way_out = "Transpose it there."
            draft.refuse(node, f"{name} is over the last axis", op.axes, way_out)
    if isinstance(op, Softmax) and isinstance(op.function, RealSoftmax):
        beta = op.function.beta
    options = {"beta": beta} if name == "SOFTMAX" else {}
    step = beta * draft.operand(node).grid.scale
    if draft.dtype(node) == "int8" and step <= 2.0**-26:
        rule = "beta times the input's scale is above 2^-26, or LiteRT's softmax ends the process"
        draft.refuse(node, rule, f"{step:g}", "Give its input a wider range.")
    function(draft, node, name, options)


def reduction(draft: Draft, node: Node) -> None:
    """MEAN, whose tensors have grids of their own; REDUCE_MAX and REDUCE_MIN, which keep one."""
    op, x = node.op, draft.operand(node)
    assert isinstance(op, FloatReduce | Extreme)
    keep = op.keep if isinstance(op, FloatReduce) else op.keep_dims
    function = op.function if isinstance(op, FloatReduce) else op.kind.removeprefix("reduce_")
    if function not in _REDUCTIONS:
        draft.refuse(
            node,
            "sums of codes are left to MEAN (LiteRT's SUM reads int8 as uint8)",
            f"'{function}'",
            "Write it as a mean and a product.",
        )
    axes = draft.integers(f"{node.outputs[0]}@axes", op.axes)
    grid = None if function == "mean" else x.grid
    draft.give(node, _REDUCTIONS[function], [x.index, axes], {"keep_dims": keep}, grid)


def _clamp(draft: Draft, node: Node, low: float, high: float) -> None:
    """RELU and its kin, which change the grid as well; else codes are cut on the output's grid."""
    name = _RECTIFIERS.get((low, high), "")
    if name and not (name in INT8_ONLY and draft.dtype(node) == "int16"):
        draft.give(node, name, [draft.operand(node).index], {})
        return
    grid = draft.output_grid(node)
    x = draft.onto(draft.operand(node), grid)
    clamp = code_bounds((low, high), grid)
    if clamp == grid.limits:
        draft.give(node, "RESHAPE", [x.index, draft.integers("shape", x.shape)], {}, grid)
        return
    draft.settle(node.outputs[0], x, grid, clamp)


EMITTERS: Final[Mapping[str, Callable[[Draft, Node], None]]] = MappingProxyType(
    {
        "arithmetic": arithmetic,
        "float_reduce": reduction,
        "float_softmax": softmax,
        "float_unary": unary,
        "log_softmax": softmax,
        "logistic": lambda draft, node: function(draft, node, "LOGISTIC"),
        "maximum": extreme,
        "minimum": extreme,
        "reduce_max": reduction,
        "reduce_min": reduction,
        "softmax": softmax,
        "tanh": lambda draft, node: function(draft, node, "TANH"),
    }
)
"""By kind of operator."""
