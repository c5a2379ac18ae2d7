"""How wide an accumulator must be: proved from weights, observed on data, and what is lost else."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.rounding import saturate, wrap

# Columns of what `_observe` keeps per channel.
FINAL_LOW, FINAL_HIGH, PREFIX_LOW, PREFIX_HIGH = range(4)


@njit
def _observe(x: Any, w: Any, bias: Any, dot_width: int, extremes: Any) -> None:
    # Exact int64 sums; prefixes are taken after the bias and after each group of `dot_width` taps.
    taps = x.shape[1]
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            acc = np.int64(bias[channel])
            low, high = acc, acc
            for start in range(0, taps, dot_width):
                for k in range(start, min(start + dot_width, taps)):
                    acc += np.int64(x[row, k]) * np.int64(w[channel, k])
                low, high = min(low, acc), max(high, acc)
            seen = extremes[channel]
            seen[FINAL_LOW] = min(seen[FINAL_LOW], acc)
            seen[FINAL_HIGH] = max(seen[FINAL_HIGH], acc)
            seen[PREFIX_LOW] = min(seen[PREFIX_LOW], low)
            seen[PREFIX_HIGH] = max(seen[PREFIX_HIGH], high)


@njit
def _count_overflows(x: Any, w: Any, bias: Any, dot_width: int, bits: int, counts: Any) -> None:
    # counts (channels, 3): sums that leave `bits` when saturating, when wrapping, and outputs
    # whose final sum differs when saturating.
    taps = x.shape[1]
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            exact = np.int64(bias[channel])
            clamped, wrapped = saturate(exact, bits), wrap(exact, bits)
            saturations = np.int64(clamped != exact)
            wraps = np.int64(wrapped != exact)
            for start in range(0, taps, dot_width):
                dot = np.int64(0)
                for k in range(start, min(start + dot_width, taps)):
                    dot += np.int64(x[row, k]) * np.int64(w[channel, k])
                exact += dot
                saturations += np.int64(saturate(clamped + dot, bits) != clamped + dot)
                wraps += np.int64(wrap(wrapped + dot, bits) != wrapped + dot)
                clamped = saturate(clamped + dot, bits)
                wrapped = wrap(wrapped + dot, bits)
            counts[channel, 0] += saturations
            counts[channel, 1] += wraps
            counts[channel, 2] += np.int64(clamped != exact)


def signed_bits(low: int, high: int) -> int:
    """The smallest two's complement width that holds both values."""
    above = high.bit_length() if high > 0 else 0
    below = (-low - 1).bit_length() if low < 0 else 0
    return 1 + max(above, below)


@dataclass(frozen=True)
class Extremes:
    """Exact sums seen or possible in each channel: (channels, 4) int64, columns named above."""

    values: NDArray[np.int64]

    @property
    def final_bits(self) -> NDArray[np.int64]:
        """Smallest safe width of each channel's final sum: enough where the accumulator wraps."""
        return self._bits(FINAL_LOW, FINAL_HIGH)

    @property
    def prefix_bits(self) -> NDArray[np.int64]:
        """Smallest safe width of every prefix: needed where the accumulator saturates."""
        return self._bits(PREFIX_LOW, PREFIX_HIGH)

    def merge(self, other: "Extremes") -> "Extremes":
        """The extremes of both."""
        merged = self.values.copy()
        for low, high in ((FINAL_LOW, FINAL_HIGH), (PREFIX_LOW, PREFIX_HIGH)):
            np.minimum(merged[:, low], other.values[:, low], out=merged[:, low])
            np.maximum(merged[:, high], other.values[:, high], out=merged[:, high])
        return Extremes(merged)

    def _bits(self, low: int, high: int) -> NDArray[np.int64]:
        pairs = self.values[:, (low, high)]
        return np.array([signed_bits(int(a), int(b)) for a, b in pairs], dtype=np.int64)


def observe(
    x: NDArray[np.int16], w: NDArray[np.int16], bias: NDArray[Any], dot_width: int
) -> Extremes:
    """The extremes that bias + x @ w.T reaches on this data, channel by channel."""
    info = np.iinfo(np.int64)
    extremes = np.empty((w.shape[0], 4), dtype=np.int64)
    extremes[:, (FINAL_LOW, PREFIX_LOW)] = info.max
    extremes[:, (FINAL_HIGH, PREFIX_HIGH)] = info.min
    _observe(x, w, bias, dot_width, extremes)
    return Extremes(extremes)


def prove(
    w: NDArray[np.int16], bias: NDArray[Any], low: int, high: int, dot_width: int
) -> Extremes:
    """The extremes that any activations in [low, high] can reach, for this order of taps.

    Each bound is attained: every tap takes the end of the range that its weight's sign asks for. A
    prefix of k groups is extreme where its own taps are, so its bound is a running sum.
    """
    w64 = w.astype(np.int64)
    b64 = bias.astype(np.int64)[:, None]
    down = b64 + np.minimum(w64 * low, w64 * high).cumsum(axis=1)
    up = b64 + np.maximum(w64 * low, w64 * high).cumsum(axis=1)
    ends = np.arange(dot_width - 1, w.shape[1], dot_width)
    if w.shape[1] and (not ends.size or ends[-1] != w.shape[1] - 1):
        ends = np.append(ends, w.shape[1] - 1)
    prefixes_down = np.concatenate([b64, down[:, ends]], axis=1)
    prefixes_up = np.concatenate([b64, up[:, ends]], axis=1)
    final = (prefixes_down[:, -1], prefixes_up[:, -1])
    columns = (*final, prefixes_down.min(axis=1), prefixes_up.max(axis=1))
    return Extremes(np.stack(columns, axis=1))


def count_overflows(
    x: NDArray[np.int16], w: NDArray[np.int16], bias: NDArray[Any], dot_width: int, bits: int
) -> NDArray[np.int64]:
    """Per channel at `bits` bits: saturating sums, wrapping sums, outputs changed by saturation."""
    counts = np.zeros((w.shape[0], 3), dtype=np.int64)
    _count_overflows(x, w, bias, dot_width, bits, counts)
    return counts
