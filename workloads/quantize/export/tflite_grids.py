"""The grids that integer TFLite knows, and what a plan's become on them.

Rules: the TFLite 8-bit quantization specification (ai.google.dev/edge/litert,
"quantization_spec"); those of 16 bits and of int4 are LiteRT's kernels'. Codes are shifted by a
constant where that makes them legal, which changes no real value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isinf
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.decode import DTYPE_RANGE, activation_range, refuse
from simulator.numeric.bounds import Bounds
from simulator.real_bounds import ACTIVATIONS
from workloads.quantize.grid import Grid, single
from workloads.quantize.ptq.plan import BIAS_BITS, WIDE_BIAS_BITS, Weights


@dataclass(frozen=True)
class FileGrid:
    """real = scale * (code - zero_point), codes all those of `dtype`: int8 or int16."""

    dtype: str
    scale: float
    zero_point: int

    @property
    def limits(self) -> tuple[int, int]:
        """The least and greatest code."""
        return DTYPE_RANGE[self.dtype]

    def quantize(self, x: NDArray[Any]) -> NDArray[Any]:
        """The codes of real values, ties to even, saturated."""
        steps = Grid((self.scale,), (self.zero_point,), *self.limits)
        return steps.quantize(x).astype(self.dtype)


FIXED: Final[Mapping[tuple[str, str], FileGrid]] = MappingProxyType(
    {
        ("LOGISTIC", "int8"): FileGrid("int8", 2.0**-8, -128),
        ("LOGISTIC", "int16"): FileGrid("int16", 2.0**-15, 0),
        ("LOG_SOFTMAX", "int8"): FileGrid("int8", 2.0**-4, 127),
        ("SOFTMAX", "int8"): FileGrid("int8", 2.0**-8, -128),
        ("SOFTMAX", "int16"): FileGrid("int16", 2.0**-15, 0),
        ("TANH", "int8"): FileGrid("int8", 2.0**-7, 0),
        ("TANH", "int16"): FileGrid("int16", 2.0**-15, 0),
    }
)
"""The one output grid of an operator, by the dtype of its input."""


def file_grid(grid: Grid, place: str) -> FileGrid:
    """The grid of an activation in a file; raises Unsupported for codes that no dtype has."""
    held = single(grid)
    levels = grid.high - grid.low + 1
    dtype = {2**8: "int8", 2**16: "int16"}.get(levels)
    if dtype is None:
        refuse(
            place,
            "activations use all codes of int8 or int16",
            f"{grid.low} to {grid.high}",
            "Quantize activations to 8 or 16 bits, not restricted.",
        )
    least, most = DTYPE_RANGE[dtype]
    zero = held.zero_point[0] - grid.low + least
    if dtype == "int16" and zero != 0:
        refuse(
            place,
            "int16 activations have zero point 0",
            zero,
            "Quantize activations of 16 bits on symmetric signed grids.",
        )
    if not least <= zero <= most:
        refuse(place, "the zero point must be a code", zero, "Let the range hold 0.")
    return FileGrid(dtype, held.scale[0], zero)


@dataclass(frozen=True, eq=False)
class FileWeights:
    """Codes of `dtype` (int8 or int4, held as int8) with one scale, or one a filter; zero is 0."""

    codes: NDArray[np.int8]
    scales: tuple[float, ...]
    dtype: str


def file_weights(held: Weights, x: FileGrid, place: str) -> FileWeights:
    """A layer's weights; int4 where the grid has 4 bits or fewer and activations are int8.

    Raises Unsupported for zero points, groups, and codes that the dtype or the specification
    (-127 to 127) leaves out.
    """
    grid, codes = single(held.grid), held.codes
    if grid.layout.group_size:
        refuse(place, "weights have one scale, or one a filter", "groups", "Quantize per channel.")
    if any(grid.zero_point):
        found = next(z for z in grid.zero_point if z)
        refuse(place, "weights have zero point 0", found, "Quantize weights symmetrically.")
    if x.dtype == "int8" and grid.low >= -8 and grid.high <= 7:
        return FileWeights(codes.astype(np.int8), grid.scale, "int4")
    least, most = int(codes.min(initial=0)), int(codes.max(initial=0))
    if least < -127 or most > 127:
        way_out = "Quantize weights to 8 bits, symmetric and restricted."
        refuse(place, "codes of weights are -127 to 127", f"{least} to {most}", way_out)
    return FileWeights(codes.astype(np.int8), grid.scale, "int8")


def fused_activation(bounds: Bounds, grid: FileGrid, place: str) -> tuple[str, tuple[int, int]]:
    """The fused activation whose clamp is that of `bounds` on a grid, and that clamp.

    Bounds beyond the grid's ends cut nothing. The name is empty where no activation has the clamp.
    """
    wanted = code_bounds(bounds, grid)
    own = [name for name, ends in ACTIVATIONS.items() if ends == bounds]
    for name in (*own, *ACTIVATIONS):
        if activation_range(place, name, grid.scale, grid.zero_point, grid.limits) == wanted:
            return name, wanted
    return "", wanted


def code_bounds(bounds: Bounds, grid: FileGrid) -> tuple[int, int]:
    """The least and greatest code of values cut to real bounds."""
    least, most = grid.limits
    low, high = (
        None if isinf(b) else int(grid.quantize(np.array(b, dtype=np.float64))) for b in bounds
    )
    ends = (least if low is None else low, most if high is None else high)
    return (least, most) if bounds == (-inf, inf) else ends


def file_bias(
    weights: FileWeights, bias: NDArray[Any], x: FileGrid, filter_axis: int, place: str
) -> NDArray[Any]:
    """The codes of a bias (filters,) on s_x s_w: int32, int64 beside int16.

    Raises Unsupported where bias and sum of products may leave 32 bits (beside int16 the 48 that
    LiteRT rescales).
    """
    wide = x.dtype == "int16"
    most = 2 ** ((WIDE_BIAS_BITS if wide else BIAS_BITS) - 1) - 1
    scales = np.broadcast_to(np.array(weights.scales), bias.shape)
    rows = np.abs(np.moveaxis(weights.codes, filter_axis, 0).astype(np.int64))
    farthest = max(abs(end - x.zero_point) for end in x.limits)
    steps = _steps(bias, x.scale, scales)
    for k, row in enumerate(rows):
        reach = abs(steps[k]) + int(row.sum()) * farthest
        if reach > most:
            rule = f"bias and sum of products of filter {k} stay in {most} steps"
            refuse(place, rule, reach, "Split the layer.")
    return np.array(steps, dtype=np.int64 if wide else np.int32)


def _steps(bias: NDArray[Any], x_scale: float, scales: NDArray[np.float64]) -> list[int]:
    """round(bias / (s_x s_w)), ties to even, exact; not saturated."""
    return [
        round(Fraction(float(b)) / (Fraction(x_scale) * Fraction(float(s))))
        for b, s in zip(bias.tolist(), scales.tolist(), strict=True)
    ]
