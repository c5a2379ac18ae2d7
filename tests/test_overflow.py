"""Overflows counted: each register on Python integers, and the audit's counts where both count."""

from random import Random
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.numeric.audit import count_overflows
from simulator.numeric.datapath import Datapath, Overflow, Stage
from simulator.numeric.overflow import overflows, sums_made
from tests.oracle.primitives import saturate, wrap

FIT: Final = {"wrap": wrap, "trap": wrap, "saturate": saturate}
SHAPES: Final = ((1, 1, 1), (3, 4, 20), (40, 3, 18), (7, 40, 9), (1, 9, 33), (600, 1, 5), (2, 2, 0))
"""Rows, channels, taps: either side by side."""


def drawn(shape: tuple[int, int, int], seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    rows, channels, taps = shape
    x = rng.integers(-255, 256, (rows, taps)).astype(np.int16)
    w = rng.integers(-128, 128, (channels, taps)).astype(np.int16)
    return x, w, rng.integers(-40000, 40000, channels).astype(np.int32)


def counted(
    x: NDArray[Any], w: NDArray[Any], bias: NDArray[Any], path: Datapath
) -> tuple[int, int]:
    """(sums that do not fit, sums made) in the registers of a datapath, tap by tap."""
    stages = [(s.fan_in, s.bits, FIT[s.overflow]) for s in path.stages]
    group = 1 if stages else path.dot_width
    last = (path.accumulator_bits, FIT[path.overflow])
    over = made = 0

    def kept(value: int, bits: int, fit: Any) -> int:
        nonlocal over, made
        made += 1
        over += fit(value, bits) != value
        return int(fit(value, bits))

    for row in x.tolist():
        for weights, start in zip(w.tolist(), bias.tolist(), strict=True):
            total = kept(start, *last)
            products = [a * b for a, b in zip(row, weights, strict=True)]
            inputs = [sum(products[k : k + group]) for k in range(0, len(products), group)]
            for fan_in, bits, fit in stages:
                chunks = [inputs[k : k + fan_in] for k in range(0, len(inputs), fan_in)]
                inputs = [kept(sum(chunk), bits, fit) for chunk in chunks]
            for value in inputs:
                total = kept(total + value, *last)
    return over, made


def datapaths(seed: int) -> list[Datapath]:
    """Accumulators from far too narrow to wide enough, with and without stages."""
    random = Random(seed)
    found = []
    overflow: Overflow
    for overflow in ("wrap", "saturate", "trap"):
        for bits in (8, 13, 17, 20, 31, 40, 64):
            stages = tuple(
                Stage(
                    random.randint(1, 4),
                    random.randint(10, 20),
                    random.choice(["wrap", "saturate"]),
                )
                for _ in range(random.randint(0, 2))
            )
            width = random.choice([1, 2, 3, 64])
            found.append(Datapath(8, 8, width, bits, overflow, stages=stages))
            found.append(Datapath(8, 8, width, bits, overflow))
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_register_is_counted(shape: tuple[int, int, int]) -> None:
    x, w, bias = drawn(shape, sum(shape))
    seen = 0
    for path in datapaths(sum(shape)):
        over, made = counted(x, w, bias, path)
        assert overflows(x, w, bias, path) == over, path
        assert shape[0] * shape[1] * sums_made(shape[2], path) == made, path
        seen += over
    assert seen > 0


def test_the_audit_counts_the_same() -> None:
    x, w, bias = drawn((30, 6, 40), 5)
    for bits in (12, 16, 18):
        for width in (1, 4):
            saturated, wrapped, _ = count_overflows(x, w, bias, width, bits).sum(axis=0).tolist()
            assert overflows(x, w, bias, Datapath(8, 8, width, bits, "saturate")) == saturated > 0
            assert overflows(x, w, bias, Datapath(8, 8, width, bits, "wrap")) == wrapped > 0


def test_operands_too_large_for_int32_lanes() -> None:
    x = np.full((3, 50), 2**15 - 1, np.int16)
    w = np.full((2, 50), -(2**15), np.int16)
    bias = np.array([0, 2**31 - 1], np.int32)
    for bits in (16, 30, 33, 36):
        for overflow in ("wrap", "saturate"):
            path = Datapath(16, 16, 1, bits, overflow)
            assert overflows(x, w, bias, path) == counted(x, w, bias, path)[0]
