"""Fused multiply-adds against exact rationals, at and around the ties that a double sum hides."""

from fractions import Fraction
from random import Random

import numpy as np
import pytest

from simulator.numeric.float32 import fused_multiply_add
from simulator.numeric.float_sums import SumOrder, block_of, multiply_add
from simulator.numeric.softmax import interleaved_sum


def nearest(value: Fraction) -> np.float32:
    """The float32 nearest to a rational, ties to even."""
    near = np.float32(float(value))
    around = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    gaps = [abs(Fraction(float(v)) - value) for v in around]
    best = min(gaps)
    closest = [v for v, gap in zip(around, gaps, strict=True) if gap == best]
    return min(closest, key=lambda v: int(v.view(np.int32)) & 1)


def hard_case(rng: Random) -> tuple[np.float32, np.float32, np.float32]:
    """Operands with a b + c at or just off the middle of two float32 values."""
    c = np.float32((2**23 + rng.getrandbits(23)) * 2.0 ** rng.randint(-3, 3))
    half = float(np.spacing(c)) / 2
    tiny = rng.choice([0, 1, -1]) * 2.0 ** -rng.randint(24, 46)
    a = np.float32(half * (1 + 2.0**-23 * rng.randint(0, 3)))
    b = np.float32(rng.choice([1, -1, 1 + 2.0**-23, 1 - 2.0**-24]) + tiny)
    return a, b, c


@pytest.mark.parametrize("seed", range(4))
def test_fused_multiply_add_is_rounded_once(seed: int) -> None:
    rng = Random(seed)
    for _ in range(400):
        a, b, c = hard_case(rng)
        exact = nearest(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))
        got = fused_multiply_add(np.asarray(a), np.asarray(b), np.asarray(c))
        assert got == exact
        row = np.array([[1, a]], np.float32)
        column = np.array([[c], [b]], np.float32)
        assert multiply_add(row, column, SumOrder("fused"))[0, 0] == exact


def test_factor_is_fused_with_the_start() -> None:
    rng = Random(0)
    for _ in range(200):
        a, b, c = hard_case(rng)
        exact = nearest(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))
        one = np.array([[1]], np.float32)
        got = multiply_add(one, one * b, SumOrder("fused"), np.array([[c]]), a)
        assert got[0, 0] == exact


def test_only_fused_sums_have_a_factor() -> None:
    one = np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match="lanes has no factor"):
        multiply_add(one, one, SumOrder("lanes"), None, np.float32(2))


@pytest.mark.parametrize(
    ("columns", "taps", "block"),
    [(1024, 27, 32), (1024, 144, 128), (64, 576, 256), (10, 64, 1024), (256, 490, 128)],
)
def test_blocks(columns: int, taps: int, block: int) -> None:
    """sgemm.cpp: deeper slices where there are few columns."""
    assert block_of(columns, taps) == block


def test_four_sums_take_every_fourth_element() -> None:
    """By hand: 2^24 swallows a 1 that meets it alone, not a 2 of two 1s that met before."""
    big, one = np.float32(2**24), np.float32(1)
    row = np.array([[big, one, 0, one, 0, 0, 0, 0, 0.5]], dtype=np.float32)
    # (big + 0, 1 + 1) are the halves' sums: big + 2, and the half after them is lost on that.
    assert interleaved_sum(row, 4)[0] == 2**24 + 2
    # In order, every 1 is lost.
    assert interleaved_sum(row, 1)[0] == 2**24
    # Packets 0 and 2 meet first, then 1: 2^24 - 2^24, and what is left is kept.
    twelve = np.array([[big, 0, 0, 0, one, 0, 0, 0, -big, 0, 0, 0]], dtype=np.float32)
    # Two whole packets are paired, the third is added to their sum: 2^24 + 1 is 2^24.
    assert interleaved_sum(twelve, 4)[0] == 0
    assert interleaved_sum(twelve[:, [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7]], 4)[0] == 1
