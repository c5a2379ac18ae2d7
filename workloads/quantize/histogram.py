"""A histogram of a stream: bins that double in width as the range grows, with their moments."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from workloads.quantize.quantizer import Array, Reals

LARGEST: Final = 1e150
"""The greatest magnitude that is binned: squares must stay finite."""
_SMALLEST_EXPONENT: Final = -1000
_BLOCK: Final = 1 << 20
"""Values that are brought to float64 at a time."""
_FINEST: Final = 40
"""A bin is at least 2^-40 of the greatest magnitude, so that its number is exact."""


@dataclass
class Histogram:
    """Counts, sums and sums of squares of the values in each bin, a row per channel.

    Bin i of channel c is [i, i + 1) * 2^exponent[c], i from first[c] on. The width is the least
    power of two at which `bins` bins, laid at its multiples, hold all values so far. So the bins do
    not depend on how the stream was cut into batches, nor on their order.
    """

    bins: int
    counts: Reals = field(default_factory=lambda: np.zeros((0, 0)))
    sums: Reals = field(default_factory=lambda: np.zeros((0, 0)))
    squares: Reals = field(default_factory=lambda: np.zeros((0, 0)))
    exponent: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    first: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    low: Reals = field(default_factory=lambda: np.zeros(0))
    high: Reals = field(default_factory=lambda: np.zeros(0))

    def add(self, rows: Array) -> None:
        """Take in (channels, values), finite and below 1e150 in magnitude."""
        low, high = (end.astype(np.float64) for end in (rows.min(axis=1), rows.max(axis=1)))
        if max(-low.min(), high.max()) > LARGEST:
            raise IllegalValues(f"a value above {LARGEST:g} cannot be binned")
        if not self.low.size:
            self.low, self.high = low, high
            self.counts, self.sums, self.squares = np.zeros((3, len(rows), self.bins))
            self.exponent = self._fitting()
            self.first = _bin(self.low, self.exponent)
        else:
            self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
            self._widen()
        step = max(_BLOCK // len(rows), 1)
        for start in range(0, rows.shape[1], step):
            self._count(rows[:, start : start + step].astype(np.float64))

    @property
    def width(self) -> Reals:
        """Width of the bins, (channels,)."""
        return np.ldexp(1.0, self.exponent)

    def edges(self) -> tuple[Reals, Reals]:
        """The lower and upper ends of the bins, (channels, bins), within what was seen."""
        number = self.first[:, None] + np.arange(self.bins)
        below = np.ldexp(number.astype(np.float64), self.exponent[:, None])
        above = below + self.width[:, None]
        low, high = self.low[:, None], self.high[:, None]
        return np.clip(below, low, high), np.clip(above, low, high)

    def quantile(self, share: float) -> Reals:
        """The value below which `share` of the values lie, (channels,), to the width of a bin.

        Straight within a bin; 0 and 1 give the least and greatest value.
        """
        below, above = self.edges()
        running = self.counts.cumsum(axis=1)
        target = share * running[:, -1:]
        bin_ = np.argmax((running >= target) & (self.counts > 0), axis=1)[:, None]
        inside = np.take_along_axis(self.counts, bin_, 1)
        part = 1 - (np.take_along_axis(running, bin_, 1) - target) / inside
        start, end = (np.take_along_axis(e, bin_, 1) for e in (below, above))
        return np.asarray(start + np.clip(part, 0.0, 1.0) * (end - start))[:, 0]

    def _count(self, rows: Reals) -> None:
        index = _bin(rows, self.exponent[:, None]) - self.first[:, None]
        self.counts += self._gathered(index, None)
        self.sums += self._gathered(index, rows)
        self.squares += self._gathered(index, np.square(rows))

    def _fitting(self) -> NDArray[np.int64]:
        """The exponent of the least width that holds low to high, (channels,)."""
        span = self.high / self.bins - self.low / self.bins
        largest = np.maximum(np.abs(self.low), np.abs(self.high))
        exponent = np.maximum(_exponent(span) - 2, _exponent(largest) - _FINEST)
        while True:
            short = _bin(self.high, exponent) - _bin(self.low, exponent) >= self.bins
            if not short.any():
                return exponent
            exponent += short

    def _widen(self) -> None:
        exponent = self._fitting()
        first = _bin(self.low, exponent)
        if (exponent == self.exponent).all() and (first == self.first).all():
            return
        # Bins start at multiples of their width: one of the old lies within one of the new.
        shift = np.minimum(exponent - self.exponent, 62)[:, None]
        number = self.first[:, None] + np.arange(self.bins)
        index = np.clip((number >> shift) - first[:, None], 0, self.bins - 1)
        self.counts, self.sums, self.squares = (
            self._gathered(index, held) for held in (self.counts, self.sums, self.squares)
        )
        self.exponent, self.first = exponent, first

    def _gathered(self, index: NDArray[np.int64], weights: Reals | None) -> Reals:
        """The weights (or ones) added up by bin, (channels, bins)."""
        flat = (index + np.arange(len(index))[:, None] * self.bins).reshape(-1)
        total = np.bincount(
            flat, None if weights is None else weights.reshape(-1), len(index) * self.bins
        )
        return total.reshape(len(index), self.bins).astype(np.float64)


def _exponent(x: Reals) -> NDArray[np.int64]:
    """The least e with x < 2^e, for x of 0 or more; at least _SMALLEST_EXPONENT."""
    exponent = np.where(x > 0, np.frexp(x)[1], _SMALLEST_EXPONENT)
    return np.maximum(exponent, _SMALLEST_EXPONENT).astype(np.int64)


def _bin(x: Reals, exponent: NDArray[np.int64]) -> NDArray[np.int64]:
    """floor(x / 2^exponent), exactly."""
    with np.errstate(under="ignore"):
        number = np.floor(x * np.ldexp(1.0, -exponent)).astype(np.int64)
    # What underflows to -0 is below 0 all the same.
    return np.where(x < 0, np.minimum(number, -1), number)
