"""Where a learned basis starts: the paper's rule, or the best uniform grid.

A basis of powers of two makes a uniform grid: mid-rise on {-1, 1} (no zero), from 0 on {0, 1}. A
QEM step started there never ends above that grid's error, since no half of a step raises it.
"""

from math import sqrt
from typing import Final

import numpy as np

from simulator.errors import BadConfig, IllegalValues
from simulator.numeric.levels import CodeSet
from workloads.quantize.lq import WIDEST, LqGrid
from workloads.quantize.quantizer import PER_TENSOR, Array, Layout, Reals, reals

QUARTILE: Final = 0.6745
"""Half of a normal distribution lies within so many deviations."""
STEPS: Final = 100
"""Steps of a uniform grid that a search tries, equally far apart up to the widest."""
_POLISH: Final = 12
"""Rounds of encoding and fitting the one step of the best of them."""


def published_weights(bits: int, fan_out: int) -> LqGrid:
    """The published program's first basis of weights: v_j = 2^j 0.6745 sqrt(2 / n) / 2^(K - 1).

    n is `fan_out`, kernel height times width times output channels. For one channel or all alike.
    """
    _check(bits)
    if fan_out < 1:
        raise BadConfig(f"fan_out must be at least 1; found {fan_out}")
    scale = QUARTILE * sqrt(2.0 / fan_out) / 2 ** (bits - 1)
    return uniform(2 * scale, bits, "bipolar")


def published_activations(bits: int) -> LqGrid:
    """The published program's first basis of activations: v_j = 2^j 2 0.6745 / (2^K - 1)."""
    _check(bits)
    return uniform(2 * QUARTILE / (2**bits - 1), bits, "binary")


def uniform(
    step: Array | float, bits: int, code_set: CodeSet, layout: Layout = PER_TENSOR
) -> LqGrid:
    """Levels `step` apart, one step or one a parameter: mid-rise on {-1, 1}, from 0 on {0, 1}."""
    _check(bits)
    powers = 2.0 ** np.arange(bits) / (2 if code_set == "bipolar" else 1)
    basis = np.atleast_1d(np.asarray(step, dtype=np.float64))[:, np.newaxis] * powers
    return LqGrid.of(basis, code_set, layout)


def best_uniform(x: Array, bits: int, code_set: CodeSet, layout: Layout = PER_TENSOR) -> LqGrid:
    """The uniform grid of least squared error, each parameter for itself.

    The best of `STEPS` steps up to the one whose greatest level is the greatest magnitude, then of
    as many between its neighbours, then fitted at its codes as long as that helps. A parameter of
    zeros gets step 1.
    """
    _check(bits)
    wide = reals(x)
    if wide.size == 0:
        raise IllegalValues(f"a grid needs values; found a tensor of shape {x.shape}")
    most = layout.reduce(np.maximum, np.abs(wide) if code_set == "bipolar" else wide)
    top = (2**bits - 1) / 2 if code_set == "bipolar" else 2**bits - 1
    widest = np.where(most > 0, most / top, 1.0)
    best = np.copy(widest)
    error = uniform(best, bits, code_set, layout).squared_error(wide)
    for k in range(1, STEPS):
        best, error = _better(wide, widest * k / STEPS, best, error, (bits, code_set, layout))
    middle, reach = best, np.minimum(widest / STEPS, best / 2)
    for k in range(1, STEPS):
        step = middle + reach * (2 * k / STEPS - 1)
        best, error = _better(wide, step, best, error, (bits, code_set, layout))
    for _ in range(_POLISH):
        grid = uniform(best, bits, code_set, layout)
        best, error = _better(wide, _step(wide, grid), best, error, (bits, code_set, layout))
    return uniform(best, bits, code_set, layout)


def _step(x: Reals, grid: LqGrid) -> Reals:
    """The step of least squares at a grid's codes: its own, times sum x q over sum q^2."""
    found = grid.fake_quantize(x)
    product = grid.layout.reduce(np.add, x * found)
    square = grid.layout.reduce(np.add, np.square(found))
    own = grid.array[:, 0] * (2 if grid.code_set == "bipolar" else 1)
    factor = np.divide(product, square, out=np.ones_like(square), where=square > 0)
    return np.asarray(own * np.where(factor > 0, factor, 1.0))


def _better(
    x: Reals, step: Reals, best: Reals, error: Reals, family: tuple[int, CodeSet, Layout]
) -> tuple[Reals, Reals]:
    found = uniform(step, *family).squared_error(x)
    return np.where(found < error, step, best), np.minimum(found, error)


def _check(bits: int) -> None:
    if not 1 <= bits <= WIDEST:
        raise BadConfig(f"a learned quantizer has 1 to {WIDEST} bits; found {bits}")
