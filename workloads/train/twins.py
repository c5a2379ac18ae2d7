"""Float operators as JAX functions: one small twin each, differentiable, NHWC as in the graph.

A twin takes the operator, its inputs (None where one is absent) and the shapes of its outputs. It
computes the operator's reals, not its bits: the order of sums is XLA's.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from math import inf, prod
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simulator.numeric.bounds import Bounds
from simulator.numeric.matmul import Window
from simulator.ops.float_resize import NEAREST

Real: TypeAlias = Any
"""A jax.Array, or a NumPy array that becomes one."""
Shape = tuple[int, ...]
Twin: TypeAlias = Callable[[Any, Sequence[Any], Sequence[Shape]], Any]

# Products in full float32 on every backend: sums of codes below 2^24 are then exact.
EXACT: Final = lax.Precision.HIGHEST


def cut(y: Real, bounds: Bounds) -> Real:
    """The values cut to bounds; at a bound itself the gradient passes."""
    low, high = bounds
    y = jnp.where(y < low, jnp.float32(low), y) if low > -inf else y
    return jnp.where(y > high, jnp.float32(high), y) if high < inf else y


def _padding(size: Shape, over: Window) -> list[tuple[int, int]]:
    """Elements before and behind each axis of the plane; negative where windows end inside it."""
    sides = zip(
        size, over.kernel, over.stride, over.dilation, over.padding, over.output, strict=True
    )
    return [
        (before, (out - 1) * step + (kernel - 1) * spread + 1 - n - before)
        for n, kernel, step, spread, before, out in sides
    ]


def convolution(op: Any, x: Real, w: Real) -> Real:
    """The sums alone: filters w (oc, ky, kx, ic of a group) over x (n, h, w, c)."""
    over = op.windows.over(x.shape)
    return lax.conv_general_dilated(
        x,
        w,
        over.stride,
        _padding(x.shape[1:3], over),
        rhs_dilation=over.dilation,
        dimension_numbers=("NHWC", "OHWI", "NHWC"),
        feature_group_count=x.shape[3] // w.shape[3],
        precision=EXACT,
    )


def fully_connected(op: Any, x: Real, w: Real) -> Real:
    """The sums alone: rows of weights w (o, i) times x (.., i)."""
    rows = jnp.matmul(x.reshape(-1, w.shape[1]), w.T, precision=EXACT)
    return rows.reshape(*x.shape[:-1], w.shape[0]) if op.keep_dims else rows


def product(op: Any, x: Real, w: Real) -> Real:
    """The sums alone: x (.., m, k) times w (.., k, n)."""
    return jnp.matmul(x, w, precision=EXACT)


SUMS: Final = MappingProxyType(
    {
        "float_conv_2d": convolution,
        "float_fully_connected": fully_connected,
        "float_matmul": product,
    }
)
"""The sums of products of each layer, without bias and bounds."""


def _layer(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    y = SUMS[op.kind](op, given[0], given[1])
    bias = given[2] if len(given) > 2 else None
    if op.kind == "float_matmul":
        y = op.alpha * y if op.alpha != 1 else y
        bias = op.beta * bias if bias is not None and op.beta != 1 else bias
    return cut(y if bias is None else y + bias, op.bounds)


def _arithmetic(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    functions: dict[str, Callable[[Any, Any], Any]] = {
        "add": jnp.add,
        "sub": jnp.subtract,
        "mul": jnp.multiply,
        "div": jnp.divide,
        "pow": jnp.power,
        "min": jnp.minimum,
        "max": jnp.maximum,
        "floor_div": lambda a, b: jnp.floor(a / b),
    }
    return cut(reduce(functions[op.function], given), op.bounds)


def window_sums(x: Real, over: Window) -> Real:
    """The sum of the elements inside each window."""
    pads = _padding(x.shape[1:3], over)
    # Only linear reductions have a gradient through negative padding: crop first.
    x, pads = _cropped(x, pads)
    return lax.reduce_window(
        x,
        np.float32(0),
        lax.add,
        (1, *over.kernel, 1),
        (1, *over.stride, 1),
        ((0, 0), *pads, (0, 0)),
        window_dilation=(1, *over.dilation, 1),
    )


def _cropped(x: Real, pads: list[tuple[int, int]]) -> tuple[Real, list[tuple[int, int]]]:
    rows, columns = (n + min(after, 0) for n, (_, after) in zip(x.shape[1:3], pads, strict=True))
    return x[:, :rows, :columns], [(before, max(after, 0)) for before, after in pads]


def window_counts(shape: Shape, over: Window) -> Any:
    """How many elements of a (n, h, w, c) plane each window holds, (1, oy, ox, 1)."""
    return np.asarray(window_sums(np.ones((1, *shape[1:3], 1), np.float32), over))


def _average_pool(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    x = given[0]
    over = op.windows.over(x.shape)
    if op.count_padding:
        count: Any = np.float32(prod(over.kernel))
    else:
        with jax.ensure_compile_time_eval():
            count = window_counts(x.shape, over)
    return cut(window_sums(x, over) / count, op.bounds)


def taps(x: Real, over: Window, fill: float) -> list[Real]:
    """The elements of every window, one (n, oy, ox, c) for each place in it, row by row."""
    x, pads = _cropped(x, _padding(x.shape[1:3], over))
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    rows, columns = (
        [slice(k * spread, k * spread + (out - 1) * step + 1, step) for k in range(kernel)]
        for kernel, step, spread, out in zip(
            over.kernel, over.stride, over.dilation, over.output, strict=True
        )
    )
    return [padded[:, y, z] for y in rows for z in columns]


def _max_pool(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    over = op.windows.over(given[0].shape)
    return cut(reduce(jnp.maximum, taps(given[0], over, -inf)), op.bounds)


def _reduce(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    functions: dict[str, Any] = {"max": jnp.max, "min": jnp.min, "mean": jnp.mean, "sum": jnp.sum}
    return functions[op.function](given[0], axis=op.axes, keepdims=op.keep)


def _softmax(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    plain = op.kind != "float_softmax"
    axes = (-1,) if plain else op.axes
    beta = op.function.beta if op.kind == "softmax" else 1.0 if plain else op.beta
    logarithm = op.kind == "log_softmax" or (not plain and op.logarithm)
    function = jax.nn.log_softmax if logarithm else jax.nn.softmax
    return function(beta * given[0], axis=axes)


def _hard_sigmoid(x: Real, alpha: float, beta: float) -> Real:
    return jnp.clip(alpha * x + beta, 0.0, 1.0)


UNARY: Final[MappingProxyType[str, Callable[..., Any]]] = MappingProxyType(
    {
        "abs": jnp.abs,
        "ceil": jnp.ceil,
        "erf": jax.scipy.special.erf,
        "exp": jnp.exp,
        "clip": lambda x, low, high: cut(x, (low, high)),
        "elu": lambda x, alpha: jnp.where(x >= 0, x, alpha * jnp.expm1(jnp.minimum(x, 0))),
        "floor": jnp.floor,
        "hard_sigmoid": _hard_sigmoid,
        "hard_swish": lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5),
        "leaky_relu": lambda x, alpha: jnp.where(x >= 0, x, alpha * x),
        "log": jnp.log,
        "neg": jnp.negative,
        "reciprocal": lambda x: 1.0 / x,
        "relu": jax.nn.relu,
        "round": jnp.rint,
        "rsqrt": lax.rsqrt,
        "sigmoid": jax.nn.sigmoid,
        "sign": jnp.sign,
        "sqrt": jnp.sqrt,
        "tanh": jnp.tanh,
    }
)


def _unary(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    return UNARY[op.function](given[0], *op.parameters)


def _named(function: str) -> Twin:
    return lambda op, given, shapes: UNARY[function](given[0])


def _concatenation(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    return jnp.concatenate(list(given), axis=op.axis)


def _pad(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    return jnp.pad(given[0], list(zip(op.before, op.after, strict=True)), constant_values=op.fill)


def _shaped(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    return given[0].reshape(shapes[0])


def _transpose(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    return given[0].transpose(op.order)


def _slice(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    # The operator's own indexing: basic slices and a reshape.
    return op.move(given[0])[0]


def _parts(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> tuple[Real, ...]:
    return tuple(op.move(given[op.operand]))


def _resize(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    x = given[0]
    for k in (0, 1):
        at, axis = op._places(k, x.shape[1 + k]), 1 + k
        last = x.shape[axis] - 1
        if op.nearest:
            x = x.take(np.clip(NEAREST[op.nearest](at), 0, last).astype(np.int32), axis)
            continue
        inside = np.clip(at, 0, last)
        low = np.floor(inside).astype(np.int32)
        share = (
            (inside - low).astype(np.float32).reshape([-1 if d == axis else 1 for d in range(4)])
        )
        x = x.take(low, axis) * (1 - share) + x.take(np.minimum(low + 1, last), axis) * share
    return x


def _batch_normalization(op: Any, given: Sequence[Real], shapes: Sequence[Shape]) -> Real:
    shape = [-1 if k == op.axis else 1 for k in range(given[0].ndim)]
    gamma, beta, mean, variance = (v.reshape(shape) for v in given[1:5])
    return (given[0] - mean) * (gamma / jnp.sqrt(variance + op.epsilon)) + beta


TWINS: Final[MappingProxyType[str, Twin]] = MappingProxyType(
    {
        **dict.fromkeys(SUMS, _layer),
        "arithmetic": _arithmetic,
        "float_average_pool": _average_pool,
        "max_pool": _max_pool,
        "float_reduce": _reduce,
        **dict.fromkeys(("softmax", "log_softmax", "float_softmax"), _softmax),
        "float_unary": _unary,
        "logistic": _named("sigmoid"),
        "tanh": _named("tanh"),
        "neg": _named("neg"),
        "concatenation": _concatenation,
        "pad": _pad,
        **dict.fromkeys(("reshape", "squeeze", "expand_dims"), _shaped),
        "transpose": _transpose,
        **dict.fromkeys(("slice", "strided_slice"), _slice),
        **dict.fromkeys(("split", "split_v"), _parts),
        "float_resize": _resize,
        "batch_normalization": _batch_normalization,
    }
)
"""By the operator's kind."""
