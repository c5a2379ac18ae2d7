"""What a tensor is: shape, storage type, width and grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalGraph

Array: TypeAlias = NDArray[Any]

DTYPE_BITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "int4": 4,
        "int8": 8,
        "uint8": 8,
        "int16": 16,
        "int32": 32,
        "int64": 64,
        "float32": 32,
        "float64": 64,
        "bool": 8,
    }
)

STORAGE: Final[Mapping[str, str]] = MappingProxyType(
    {name: {"int4": "int8"}.get(name, name) for name in DTYPE_BITS}
)
"""The NumPy dtype that holds each: one narrower than a byte lies in a byte."""


@dataclass(frozen=True)
class QuantParams:
    """The grid of a quantized tensor: real = scale * (q - zero_point).

    `scale` holds one float32 value exactly (as double) per tensor, or one per index along `axis`.
    Not a range: the range follows from the dtype and these.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise IllegalGraph(
                f"quantization: {len(self.scale)} scales against {len(self.zero_point)} "
                "zero points; give one of each per channel, or one for the tensor"
            )
        if not all(np.isfinite(s) and s > 0 for s in self.scale):
            bad = next(s for s in self.scale if not (np.isfinite(s) and s > 0))
            raise IllegalGraph(f"quantization: scale must be positive and finite; found {bad}")


@dataclass(frozen=True)
class TensorType:
    """Shape, storage type and grid of a tensor; `bits` is the width its values need (1-64).

    `limits` are the least and greatest code where they are not those of the width: a tensor that
    was given more bits keeps its real range, for the end of a range may stand for a RELU.
    """

    shape: tuple[int, ...]
    dtype: str
    bits: int
    quant: QuantParams | None = None
    limits: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.quant is None or self.dtype not in DTYPE_BITS or self.dtype.startswith("f"):
            return
        signed = not self.dtype.startswith("u")
        low = -(1 << (DTYPE_BITS[self.dtype] - 1)) if signed else 0
        high = low + (1 << DTYPE_BITS[self.dtype]) - 1
        for zero_point in self.quant.zero_point:
            if not low <= zero_point <= high:
                raise IllegalGraph(
                    f"quantization: zero point must be a value of {self.dtype}; found {zero_point}"
                )

    @property
    def elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return prod(self.shape)
