"""Corner cases of a layer: extremes of its sums, and every tie and clamp of its requantizer."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array
from simulator.mac import Product
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul
from simulator.numeric.requantize import Requantize, requantize_array


def corner_accumulators(requantize: Requantize, bits: int) -> NDArray[np.int64]:
    """Accumulators (cases, channels) at every extreme, sign, clamp and rounding tie nearby.

    For each channel: 0, +-1, both ends of the accumulator; around each output clamp, zero and one
    step either side of it, the accumulators whose real result is a half-integer or next to one;
    and, of either sign, exact ties of each rounding step where the accumulator can hold one.
    Columns that have fewer cases repeat 0.
    """
    high = (1 << (min(bits, _exact_bits(requantize)) - 1)) - 1
    columns = []
    for channel, scale in enumerate(requantize.scale):
        values = {0, 1, -1, high, -high - 1}
        for real in _half_steps(requantize):
            accumulator = real / scale if scale else 0.0
            if abs(accumulator) < high:
                values |= {int(accumulator) + d for d in (-1, 0, 1)}
        values |= set(_ties(requantize, channel))
        columns.append(sorted(v for v in values if -high - 1 <= v <= high))
    length = max(len(c) for c in columns)
    padded = [c + [0] * (length - len(c)) for c in columns]
    return np.array(padded, dtype=np.int64).T


def corner_outputs(requantize: Requantize, accumulators: NDArray[np.int64]) -> Array:
    """What the requantizer makes of them, on an int64 carrier."""
    return requantize_array(accumulators, requantize, "int64")


def _exact_bits(requantize: Requantize) -> int:
    """The widest accumulator whose product with the multiplier is exact in 64 bits."""
    wide = requantize.rounding in ("q15_round", "float64_away", "float32_even")
    return 48 if wide else 32


def _half_steps(requantize: Requantize) -> Iterator[float]:
    """Half-integers around each output clamp and zero, as results before the zero point."""
    for step in (requantize.low, requantize.high, requantize.zero_point):
        for half in (-1.5, -0.5, 0.5, 1.5):
            yield step - requantize.zero_point + half


def _ties(requantize: Requantize, channel: int) -> Iterator[int]:
    """Accumulators that fall exactly between two values at a rounding step, smallest first.

    accumulator * m is a tie of a shift by t where it is 2^(t-1) modulo 2^t; for m = 2^v odd those
    are the odd multiples of 2^(t-1-v). Those of the second rounding are found from its own input.
    """
    multiplier, shift = requantize.multiplier[channel], requantize.shift[channel]
    if requantize.rounding in ("float64_away", "float32_even", "none") or not multiplier:
        return
    twice = requantize.rounding in ("double_round", "double_round_up")
    total = 31 - min(shift, 0) * (not twice) - max(shift, 0)
    if requantize.rounding == "q15_round":
        multiplier = min((multiplier + (1 << 15)) >> 16, 0x7FFF)
        total -= 16
    trailing = (multiplier & -multiplier).bit_length() - 1
    if total - 1 >= trailing:
        first = 1 << (total - 1 - trailing)
        yield from (first, -first, 3 * first, -3 * first)
    if twice and shift < 0:
        for real in _half_steps(requantize):
            # The value after the first rounding is half a step of 2^-shift.
            tie = round(real * 2**-shift)
            near = round(tie * 2**31 / multiplier)
            yield from (
                n for n in (near - 1, near, near + 1) if (n * multiplier + 2**30) >> 31 == tie
            )


def corner_operands(block: Product, low: int, high: int) -> NDArray[np.int16]:
    """Activations as they enter the multiplier, (cases, taps), that drive sums to their ends.

    All at `low`, all at `high`, all 0, low and high in turn; then those that take the channel with
    the heaviest weights to its greatest and to its least sum.
    """
    taps = block.w.shape[1]
    heaviest = block.w[np.abs(block.w.astype(np.int64)).sum(axis=1).argmax()]
    turns = np.arange(taps) % 2 == 0
    rows = [
        np.full(taps, low),
        np.full(taps, high),
        np.zeros(taps),
        np.where(turns, low, high),
        np.where(heaviest > 0, high, low),
        np.where(heaviest > 0, low, high),
    ]
    return np.array(rows, dtype=np.int16)


def corner_steps(
    activations: tuple[int, int],
    weights: tuple[int, int],
    lanes: int,
    datapath: Datapath,
    bits: int,
) -> tuple[Array, Array, Array, Array]:
    """One step of the accumulator at the ends of all its operands: (before, x, w, after).

    `x` and `w` are (cases, lanes), the products that enter together; `bits` is the reference's
    accumulator. A 64-bit accumulator starts within 62 bits: the sums here are exact.
    """
    width = bits if datapath.graph else datapath.accumulator_bits
    high = (1 << (min(width, 62) - 1)) - 1
    starts = np.array([-high - 1, -high, -1, 0, 1, high - 1, high], dtype=np.int64)
    values = _ends(weights)
    w = np.repeat(np.array(values, dtype=np.int16), len(starts))[:, None].repeat(lanes, axis=1)
    before = np.tile(starts, len(values))
    found = [
        (x, matmul(np.full((1, lanes), x, dtype=np.int16), w, before, datapath, bits)[0])
        for x in _ends(activations)
    ]
    operands = np.repeat(np.array([x for x, _ in found], dtype=np.int16), len(before))
    return (
        np.tile(before, len(found)),
        operands[:, None].repeat(lanes, axis=1),
        np.tile(w, (len(found), 1)),
        np.concatenate([after for _, after in found]),
    )


def _ends(bounds: tuple[int, int]) -> Sequence[int]:
    low, high = bounds
    return sorted({low, high, *(v for v in (-1, 0, 1) if low <= v <= high)})
