"""What every quantizer is: reals to integer codes and back, and which element has which step."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import BadConfig, IllegalValues

Array: TypeAlias = NDArray[Any]
Reals: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True)
class Layout:
    """Which element has which parameter (scale, zero point, end of a range).

    One for the tensor; one per index of `axis` (a channel); or, with `group_size`, one per block of
    so many neighbours along `group_axis`, within each channel where there is an `axis`. The last
    block may be shorter. Parameters lie in a row: channel by channel, its blocks in order.
    """

    axis: int | None = None
    group_axis: int | None = None
    group_size: int = 0

    def __post_init__(self) -> None:
        if (self.group_axis is None) != (self.group_size == 0) or self.group_size < 0:
            raise BadConfig(
                f"groups need a group_axis and a group_size of 1 or more; found {self.group_axis} "
                f"and {self.group_size}"
            )
        if self.group_size and self.axis == self.group_axis:
            raise BadConfig(f"channels and groups need axes of their own; found {self.axis} twice")

    def count(self, shape: tuple[int, ...]) -> int:
        """Number of parameters of a tensor of this shape."""
        channels, length = self._sizes(shape)
        return channels * (-(-length // self.group_size) if self.group_size else 1)

    def spread(self, values: Array, shape: tuple[int, ...]) -> Array:
        """One value for all or one per parameter, in a shape that broadcasts against `shape`."""
        values = np.asarray(values).reshape(-1)
        if values.size == 1:
            return values.reshape(())
        if values.size != self.count(shape):
            raise IllegalValues(
                f"{values.size} parameters for a tensor of shape {shape}, which has "
                f"{self.count(shape)} by {self}"
            )
        channels, length = self._sizes(shape)
        sides = [1] * len(shape)
        if self.group_axis is None:
            assert self.axis is not None
            sides[self.axis] = channels
            return values.reshape(sides)
        blocks = np.repeat(values.reshape(channels, -1), self.group_size, axis=1)[:, :length]
        sides[self.group_axis] = length
        if self.axis is None:
            return blocks.reshape(sides)
        sides[self.axis] = channels
        first = self.axis % len(shape) < self.group_axis % len(shape)
        return (blocks if first else blocks.T).reshape(sides)

    def reduce(self, ufunc: np.ufunc, x: Array) -> Array:
        """`ufunc` (np.add, np.minimum, ...) over the elements of each parameter, (count,)."""
        if x.size == 0:
            raise IllegalValues(f"a range needs values; found a tensor of shape {x.shape}")
        channels, length = self._sizes(x.shape)
        kept = [a for a in (self.axis, self.group_axis) if a is not None]
        rows = np.moveaxis(x, kept, range(len(kept))).reshape(channels, length, -1)
        each = ufunc.reduce(rows, axis=2)
        starts = np.arange(0, length, self.group_size or length)
        return np.asarray(ufunc.reduceat(each, starts, axis=1)).reshape(-1)

    def _sizes(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """(channels, length of the grouped axis; 1 without groups)."""
        channels = 1 if self.axis is None else shape[self.axis]
        return channels, 1 if self.group_axis is None else shape[self.group_axis]


PER_TENSOR: Final = Layout()


def per_channel(axis: int) -> Layout:
    """One parameter per index of `axis`."""
    return Layout(axis)


def per_group(axis: int | None, group_axis: int, group_size: int) -> Layout:
    """One parameter per channel of `axis` and block of `group_size` along `group_axis`."""
    return Layout(axis, group_axis, group_size)


class Quantizer(ABC):
    """Reals to integer codes and back."""

    @abstractmethod
    def quantize(self, x: Array) -> Codes:
        """The code of every value, the shape of x; values out of range saturate.

        Raises IllegalValues for NaN.
        """

    @abstractmethod
    def dequantize(self, codes: Array) -> Reals:
        """The real value of every code, rounded once to float64."""

    def fake_quantize(self, x: Array) -> Reals:
        """The real value of the code of every value: x on the grid."""
        return self.dequantize(self.quantize(x))


def reals(x: Array) -> Reals:
    """X in float64, which holds every float32 and code exactly; raises IllegalValues for NaN."""
    wide = np.asarray(x, dtype=np.float64)
    if np.isnan(wide).any():
        raise IllegalValues("NaN has no code; find where the tensor gets it")
    return wide
