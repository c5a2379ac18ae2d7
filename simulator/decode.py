"""What operators share when they are decoded from a file: grids, windows, activation ranges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NoReturn, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Array, QuantParams, Source, TensorType
from simulator.numeric.dialect import Scale
from simulator.numeric.matmul import Window
from simulator.numeric.requantize import Requantize, make_requantize

_T = TypeVar("_T")

Padding: TypeAlias = str | tuple[int, int, int, int]
"""SAME or VALID as TFLite places them, or the elements (top, left, bottom, right)."""

DTYPE_RANGE: Final = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
}


def value_range(kind: TensorType) -> tuple[int, int]:
    """The least and greatest value a tensor may hold: its own, or its dtype's sign at its width."""
    if kind.limits is not None:
        return kind.limits
    if kind.dtype.startswith("u"):
        return 0, (1 << kind.bits) - 1
    return -(1 << (kind.bits - 1)), (1 << (kind.bits - 1)) - 1


_ACTIVATION_REALS: Final[dict[str, tuple[float | None, float | None]]] = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
_NEVER_FUSED: Final = ("RELU_0_TO_1",)


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
    place: str, kinds: Sequence[TensorType | None], allowed: tuple[str, ...], first: int = 0
) -> None:
    """Refuse tensors of a dtype this operator does not compute on; `first` is their number."""
    for i, kind in enumerate(kinds, first):
        if kind is not None and kind.dtype not in allowed:
            refuse(
                place,
                f"input {i} must be {' or '.join(allowed)}",
                kind.dtype,
                "Convert the model to full integer quantization.",
            )


def require_same_dtype(source: Source) -> None:
    """Refuse an output of another dtype than the first input's."""
    x, y = present(source.inputs, 0).dtype, source.outputs[0].dtype
    if x != y:
        refuse(source.place, f"the output must be {x} as the input is", y, "Insert a quantize.")


def padding_of(source: Source) -> Padding:
    """The padding option: SAME, VALID or given elements; raises IllegalGraph for any other."""
    padding: Padding = source.options["padding"]
    if not isinstance(padding, tuple) and padding not in ("SAME", "VALID"):
        raise IllegalGraph(f"{source.place}: padding must be SAME or VALID; found {padding}")
    return padding


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
    place: str, name: str, scale: float, zero_point: int, limits: tuple[int, int]
) -> tuple[int, int]:
    """The output clamp of a fused activation on its grid (LiteRT kernel_util.cc).

    Bounds are f32(bound / scale) rounded half away, plus the zero point, cut to `limits`, the
    output's `value_range`.
    """
    if name not in _ACTIVATION_REALS:
        known = ", ".join(n for n in _ACTIVATION_REALS if n not in _NEVER_FUSED)
        refuse(place, f"fused activation must be one of {known}", name, "Export it as its own op.")
    low, high = limits
    below, above = _ACTIVATION_REALS[name]
    with np.errstate(over="ignore"):
        codes = [
            None if r is None else float(np.float32(r) / np.float32(scale)) for r in (below, above)
        ]
    if any(c is not None and math.isinf(c) for c in codes):
        raise IllegalGraph(f"{place}: output scale {scale} is too small to hold {name}'s bounds")
    if codes[0] is not None:
        low = max(low, zero_point + round_away(codes[0]))
    if codes[1] is not None:
        high = min(high, zero_point + round_away(codes[1]))
    return low, high


@lru_cache(maxsize=4096)
def window(
    height: int,
    width: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: Padding,
) -> Window:
    """Output size and leading padding of a window (TFLite: SAME pads more behind than before)."""
    output, before = [], []
    given = ((0, 0), (0, 0)) if isinstance(padding, str) else (padding[::2], padding[1::2])
    for size, k, s, d, (lead, trail) in zip(
        (height, width), kernel, stride, dilation, given, strict=True
    ):
        reach = (k - 1) * d + 1
        if padding == "SAME":
            out = -(-size // s)
            before.append(max((out - 1) * s + reach - size, 0) // 2)
        else:
            out = max(-(-(lead + size + trail - reach + 1) // s), 0)
            before.append(lead)
        output.append(out)
    return Window(kernel, stride, dilation, (before[0], before[1]), (output[0], output[1]))


@dataclass(frozen=True)
class Weighted:
    """What a product of activations and weights needs besides its geometry.

    `weight_zero_points` holds one value, or one a filter; `accumulator_bits` is the (wrapping)
    accumulator of the reference: 64 for int16 activations with int64 bias, else 32.
    """

    input_zero_point: int
    weight_zero_points: tuple[int, ...]
    accumulator_bits: int
    requantize: Requantize
    dtype: str
    _kept: dict[int, tuple[Array, NDArray[np.int16]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def operand(self, x: Array, *, folded: bool) -> tuple[NDArray[np.int16], int]:
        """(x - zx, 0), or raw x and the value zx of its padding with `folded`; int16."""
        if folded:
            return x.astype(np.int16), self.input_zero_point
        return x.astype(np.int16) - np.int16(self.input_zero_point), 0

    def weights(self, w: Array, axis: int) -> NDArray[np.int16]:
        """W - zw as int16, a zero point for each index along `axis`; kept for constant `w`."""
        kept, rows = self._kept.get(axis, (None, None))
        if kept is w and rows is not None:
            return rows
        operand = w.astype(np.int16)
        if any(self.weight_zero_points):
            shape = [1] * w.ndim
            shape[axis] = len(self.weight_zero_points)
            operand -= np.asarray(self.weight_zero_points, dtype=np.int16).reshape(shape)
        if not w.flags.writeable:
            self._kept[axis] = (w, operand)
        return operand


def decode_weighted(
    source: Source, kind: str, *, constant_weights: bool = True, case: str = ""
) -> Weighted:
    """The operands and requantizer of x * w -> y, the fused activation as its clamp.

    The dialect names rounding and scale derivation by operator and activation dtype, and by `case`
    where a runtime computes such a node by another kernel. Refuses dtypes that no reference
    multiplies, and weights that must be constant but are not.
    """
    require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16"))
    x_dtype = present(source.inputs, 0).dtype
    mixed = source.dialect.form("weights", "own sign") == "any sign"
    allowed = ("uint8",) if x_dtype == "uint8" else ("int8", "int4")
    allowed = ("int8", "uint8") if mixed else allowed
    weight_dtypes = allowed if constant_weights else (x_dtype,)
    require_dtypes(source.place, source.inputs[1:2], weight_dtypes, first=1)
    require_same_dtype(source)
    if constant_weights:
        constant(source, 1, "weights")
    x_scale, x_zero = single_grid(source.inputs[0], source.place, "the input")
    y_scale, y_zero = single_grid(source.outputs[0], source.place, "the output")
    weights = grid(source.inputs[1], source.place, "the weight tensor")
    # A tensor with limits was given bits that it has in no reference, nor has it its weights there.
    widened = present(source.inputs, 0).limits is not None
    symmetric = x_dtype != "uint8" and constant_weights and not (mixed or widened)
    if any(weights.zero_point) and symmetric:
        raise IllegalGraph(f"{source.place}: int8 weights must have zero point 0")
    activation = source.options.get("fused_activation_function", "NONE")
    limits = value_range(source.outputs[0])
    low, high = activation_range(source.place, activation, y_scale, y_zero, limits)
    bias = optional(source.inputs, 2)
    biases = ("int32", "int64") if x_dtype == "int16" else ("int32",)
    if bias is not None and bias.dtype not in biases:
        refuse(
            source.place,
            f"bias of {x_dtype} activations must be {' or '.join(biases)}",
            bias.dtype,
            "Export the model again.",
        )
    wide = x_dtype == "int16" and (bias is None or bias.dtype == "int64")
    operands = "int16x32" if x_dtype == "int16" and not wide else x_dtype
    if x_dtype == "int8" and present(source.inputs, 1).dtype == "int4":
        operands = "int8x4"
    rule = source.dialect.rule(kind, f"{operands}.{case}" if case else operands)
    how = rule.scale
    if how == "by_weights":
        how = "single_product" if len(weights.scale) == 1 else "double"
    scale = tuple(product_scale(how, x_scale, s, y_scale) for s in weights.scale)
    return Weighted(
        input_zero_point=x_zero,
        weight_zero_points=weights.zero_point,
        accumulator_bits=64 if wide else 32,
        requantize=make_requantize(rule.rounding, scale, y_zero, low, high, rule.blocks),
        dtype=x_dtype,
    )


def product_scale(how: Scale, x_scale: float, w_scale: float, y_scale: float) -> float:
    """s_x * s_w / s_y in the precision the rule names (LiteRT kernel_util.cc:258 and :333)."""
    if how == "double":
        return x_scale * w_scale / y_scale
    product = np.float32(x_scale) * np.float32(w_scale)
    if how == "single_product":
        return float(product) / y_scale
    return float(product / np.float32(y_scale))


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
