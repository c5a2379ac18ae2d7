"""What operators share when they are decoded from a file: grids, windows, activation ranges."""

import math
from collections.abc import Sequence
from typing import Final, NoReturn, TypeVar

import numpy as np

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Array, QuantParams, Source, TensorType
from simulator.numeric.matmul import Window
from simulator.numeric.requantize import Requantize, make_requantize

_T = TypeVar("_T")

DTYPE_RANGE: Final = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
}

_ACTIVATION_REALS: Final[dict[str, tuple[float | None, float | None]]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def refuse(place: str, rule: str, value: object, way_out: str) -> NoReturn:
    """Raise Unsupported as one line: place, rule, value, way out."""
    raise Unsupported(f"{place}: {rule}; found {value}. {way_out}")


def grid(kind: TensorType | None, place: str, what: str) -> QuantParams:
    """The quantization of a tensor; raises IllegalGraph where it has none."""
    if kind is None or kind.quant is None:
        raise IllegalGraph(
            f"{place}: {what} has no quantization parameters. "
            "Only fully quantized graphs run here; quantize the model first."
        )
    return kind.quant


def single_grid(kind: TensorType | None, place: str, what: str) -> tuple[float, int]:
    """The one scale and zero point of a tensor quantized as a whole."""
    quant = grid(kind, place, what)
    if len(quant.scale) != 1:
        raise IllegalGraph(
            f"{place}: {what} must have one scale; found {len(quant.scale)}. "
            "Only weights may be quantized per channel."
        )
    return quant.scale[0], quant.zero_point[0]


def require_dtypes(
    place: str, kinds: Sequence[TensorType | None], allowed: tuple[str, ...]
) -> None:
    """Refuse tensors of a dtype this operator does not compute on."""
    for i, kind in enumerate(kinds):
        if kind is not None and kind.dtype not in allowed:
            refuse(
                place,
                f"input {i} must be {' or '.join(allowed)}",
                kind.dtype,
                "Convert the model to full integer quantization.",
            )


def constant(source: Source, index: int, what: str) -> Array:
    """The value of an input that must be known at import."""
    value = source.constants[index] if index < len(source.constants) else None
    if value is None:
        raise Unsupported(
            f"{source.place}: {what} must be constant; input {index} is computed at run time. "
            "Fold it before export."
        )
    return value


def round_away(value: float) -> int:
    """Nearest integer, ties away from zero (C's round)."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


def activation_range(
    place: str, name: str, scale: float, zero_point: int, dtype: str
) -> tuple[int, int]:
    """The output clamp of a fused activation on its grid (LiteRT kernel_util.cc).

    Bounds are f32(bound / scale) rounded half away, plus the zero point, cut to the dtype.
    """
    if name not in _ACTIVATION_REALS:
        known = ", ".join(_ACTIVATION_REALS)
        refuse(place, f"fused activation must be one of {known}", name, "Export it as its own op.")
    low, high = DTYPE_RANGE[dtype]
    below, above = _ACTIVATION_REALS[name]
    if below is not None:
        low = max(low, zero_point + round_away(float(np.float32(below) / np.float32(scale))))
    if above is not None:
        high = min(high, zero_point + round_away(float(np.float32(above) / np.float32(scale))))
    return low, high


def window(
    height: int,
    width: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: str,
) -> Window:
    """Output size and leading padding of a window (TFLite: SAME pads more behind than before)."""
    output, before = [], []
    for size, k, s, d in zip((height, width), kernel, stride, dilation, strict=True):
        reach = (k - 1) * d + 1
        if padding == "SAME":
            out = -(-size // s)
            before.append(max((out - 1) * s + reach - size, 0) // 2)
        else:
            out = max(-(-(size - reach + 1) // s), 0)
            before.append(0)
        output.append(out)
    return Window(kernel, stride, dilation, (before[0], before[1]), (output[0], output[1]))


def weighted_requantize(source: Source, kind: str) -> Requantize:
    """The requantizer of x * w -> y with the fused activation as its clamp, one scale a channel.

    Scales are (double) s_in * s_w / s_out (LiteRT kernel_util.cc:258); the dialect names the
    rounding. Refuses weights that are not constant, symmetric int8.
    """
    require_dtypes(source.place, source.inputs[:2], ("int8",))
    constant(source, 1, "weights")
    x_scale, _ = single_grid(source.inputs[0], source.place, "the input")
    y_scale, y_zero = single_grid(source.outputs[0], source.place, "the output")
    weights = grid(source.inputs[1], source.place, "the weight tensor")
    if any(weights.zero_point):
        raise IllegalGraph(f"{source.place}: int8 weights must have zero point 0")
    activation = source.options["fused_activation_function"]
    low, high = activation_range(
        source.place, activation, y_scale, y_zero, source.outputs[0].dtype
    )
    scale = tuple(x_scale * s / y_scale for s in weights.scale)
    return make_requantize(source.dialect.rounding(kind), scale, y_zero, low, high)


def present(values: Sequence[_T | None], index: int) -> _T:
    """Input `index`, which this operator cannot do without."""
    value = values[index] if index < len(values) else None
    if value is None:
        raise IllegalGraph(f"input {index} is missing; this operator needs it")
    return value


def optional(values: Sequence[_T | None], index: int) -> _T | None:
    """Input `index`, or None where it is left out."""
    return values[index] if index < len(values) else None


def bias_or_zeros(inputs: Sequence[Array | None], channels: int) -> Array:
    """The bias (input 2), or int32 zeros where there is none."""
    bias = optional(inputs, 2)
    return np.zeros(channels, dtype=np.int32) if bias is None else bias
