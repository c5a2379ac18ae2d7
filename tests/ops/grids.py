"""Operators of the ONNX importer, decoded from types and options, and operands for them."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

import numpy as np

from simulator.graph import DTYPE_BITS, Array, Operator, QuantParams, Source, TensorType
from simulator.numeric.dialect import DIALECTS
from simulator.registry import operators
from tests.ops.structure import single

Case = tuple[Operator, tuple[TensorType | None, ...], tuple[Array | None, ...]]
BITS: Final = {**DTYPE_BITS, "uint16": 16}


def kind(
    shape: tuple[int, ...],
    dtype: str,
    scale: float | tuple[float, ...] | None = None,
    zero: int | tuple[int, ...] = 0,
    *,
    axis: int | None = None,
    bits: int | None = None,
) -> TensorType:
    """A tensor type; several scales lie along `axis`."""
    quant = None
    if scale is not None:
        scales = scale if isinstance(scale, tuple) else (scale,)
        zeros = zero if isinstance(zero, tuple) else (zero,) * len(scales)
        quant = QuantParams(scales, zeros, axis if len(scales) > 1 else None)
    return TensorType(shape, dtype, bits or BITS[dtype], quant)


def decoded(
    name: str,
    options: Mapping[str, Any],
    inputs: Sequence[TensorType | None],
    output: TensorType,
    values: Sequence[Array | None] = (),
    dialect: str = "onnxruntime",
) -> Operator:
    """The operator of that kind, as the importer would have it."""
    constants = tuple(values) or (None,) * len(inputs)
    source = Source(
        f"one.onnx, node 0 ({name})",
        options,
        tuple(inputs),
        (output,),
        constants,
        DIALECTS[dialect],
    )
    return operators()[name].decode(source)


def scale(rng: Random, low: float = -8, high: float = 2) -> float:
    """A float32 scale, each octave equally likely."""
    return single(2 ** rng.uniform(low, high))


def ends(dtype: str) -> tuple[int, int]:
    """The range of an integer dtype."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def zero(rng: Random, dtype: str) -> int:
    """Any zero point, the ends more often."""
    low, high = ends(dtype)
    return rng.choice([low, high, 0, rng.randint(low, high)])


def codes(rng: Random, shape: tuple[int, ...], dtype: str, *, extreme: bool = False) -> Array:
    """Random codes; only the ends of the range where `extreme`."""
    low, high = ends(dtype)
    count = int(np.prod(shape))
    drawn = [rng.choice([low, high]) if extreme else rng.randint(low, high) for _ in range(count)]
    return np.array(drawn, dtype=dtype).reshape(shape)


def reals(rng: Random, shape: tuple[int, ...], spread: float = 1.0, step: float = 0.0) -> Array:
    """Random float32 values; on a grid of `step`, halves included, every other time."""
    count = int(np.prod(shape))
    drawn = [rng.gauss(0, spread) for _ in range(count)]
    if step:
        drawn = [round(2 * v / step) * step / 2 if rng.random() < 0.5 else v for v in drawn]
    return np.array(drawn, dtype=np.float32).reshape(shape)


def shape(rng: Random, rank: int, largest: int = 4) -> tuple[int, ...]:
    """A random shape."""
    return tuple(rng.randint(1, largest) for _ in range(rank))


def window(rng: Random, largest: int = 3, *, dilated: bool = True) -> dict[str, Any]:
    """Options of a sliding window with explicit padding."""
    size = (rng.randint(1, largest), rng.randint(1, largest))
    return {
        "kernel": size,
        "stride": (rng.randint(1, 3), rng.randint(1, 2)),
        "dilation": (rng.choice([1, 1, 2]), 1) if dilated else (1, 1),
        "padding": tuple(rng.randint(0, k - 1) for k in (*size, *size)),
    }


def operand(rng: Random, size: tuple[int, ...], axis: int, count: int) -> tuple[TensorType, Array]:
    """A real tensor on a grid of 1 to 8 bits, `count` scales along `axis`: its type and value."""
    bits = rng.randint(1, 8)
    scales = tuple(scale(rng, -6, 0) for _ in range(count))
    point = rng.choice([0, 0, rng.randint(0, 2**bits - 1)])
    drawn = [rng.randint(0, 2**bits - 1) - point for _ in range(int(np.prod(size)))]
    spread = [-1 if k == axis else 1 for k in range(len(size))]
    steps = np.array(scales, np.float32).reshape(spread if count > 1 else ())
    value = np.array(drawn, np.float32).reshape(size) * steps
    return kind(size, "float32", scales, point, axis=axis, bits=bits), value
