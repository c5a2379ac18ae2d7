"""AdaRound's loss against its definition, and its gradient against finite differences."""

from math import inf
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.numeric.bounds import Bounds
from workloads.quantize.ptq.adaround_loss import (
    SoftWeights,
    inverse_sigmoid,
    loss_and_gradient,
    rectified_sigmoid,
    regularizer,
)

Doubles = NDArray[np.float64]
BOUNDS: tuple[Bounds, ...] = ((-inf, inf), (0.0, inf), (0.0, 6.0), (-1.0, 1.0))


def problem(seed: int, groups: int, bounds: Bounds) -> tuple[Doubles, SoftWeights, Any, Any]:
    """V, weights, inputs and targets of 3 outputs, 4 taps and 8 rows a group."""
    rng = np.random.default_rng(seed)
    shape = (groups, 3, 4)
    soft = SoftWeights(
        floor=rng.standard_normal(shape) / 2,
        step=rng.uniform(0.2, 0.6, shape) * (rng.uniform(size=shape) < 0.8),
        bias=rng.standard_normal((groups, 1, 3)) / 2,
        bounds=bounds,
        gain=rng.uniform(0.5, 2),
    )
    v = rng.uniform(-4, 4, shape)
    x, target = rng.standard_normal((groups, 8, 4)), rng.standard_normal((groups, 8, 3))
    return v, soft, x, target


def by_definition(
    v: Doubles, soft: SoftWeights, x: Doubles, target: Doubles, weight: float, beta: float
) -> float:
    """The loss in loops: Nagel et al. 2020 eq. 21 to 25, h and the regularizer spelled out."""
    total = 0.0
    for g, o in np.ndindex(*v.shape[:2]):
        w = []
        for k in range(v.shape[2]):
            h = min(max(1.2 / (1 + np.exp(-v[g, o, k])) - 0.1, 0.0), 1.0)
            total += weight * (1 - abs(2 * h - 1) ** beta)
            w.append(soft.floor[g, o, k] + soft.step[g, o, k] * h)
        for row in range(x.shape[1]):
            y = soft.bias[g, 0, o] + sum(a * b for a, b in zip(w, x[g, row], strict=True))
            y = min(max(y, soft.bounds[0]), soft.bounds[1])
            total += soft.gain * (y - target[g, row, o]) ** 2 / x.shape[1]
    return float(total)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize(("weight", "beta"), [(0.0, 20.0), (0.01, 20.0), (0.5, 7.3), (1.0, 2.0)])
def test_the_gradient_is_that_of_the_definition(
    bounds: Bounds, groups: int, weight: float, beta: float
) -> None:
    worst = 0.0
    for seed in range(5):
        v, soft, x, target = problem(seed, groups, bounds)
        squared, penalty, gradient = loss_and_gradient(v, soft, x, target, weight, beta)
        value = by_definition(v, soft, x, target, weight, beta)
        assert squared + penalty == pytest.approx(value, rel=1e-12)
        assert (penalty == 0) == (weight == 0)
        step, numeric = 1e-5, np.zeros_like(v)
        for at in np.ndindex(v.shape):
            moved = []
            # Four points: the error of the difference is of the order step^4.
            for k in (-2, -1, 1, 2):
                shifted = v.copy()
                shifted[at] += k * step
                moved.append(by_definition(shifted, soft, x, target, weight, beta))
            numeric[at] = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * step)
        assert np.abs(numeric).max() > 1e-3
        worst = max(worst, float(np.abs(gradient - numeric).max() / np.abs(numeric).max()))
    print(f"bounds {bounds}, groups {groups}, beta {beta}: worst relative error {worst:.1e}")
    assert worst <= 1e-6


def test_h_starts_at_the_fraction_and_ends_at_0_or_1() -> None:
    fraction = np.linspace(0, 1, 101)
    h, slope = rectified_sigmoid(inverse_sigmoid(fraction))
    assert h == pytest.approx(fraction, abs=1e-15)
    assert (slope[1:-1] > 0).all()
    cut, flat = rectified_sigmoid(np.array([-40.0, -3.0, 3.0, 40.0]))
    assert cut.tolist() == [0, 0, 1, 1]
    assert flat.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", [1.0, 2.0, 5.5, 20.0])
def test_the_regularizer_vanishes_at_0_and_1_alone(dtype: str, beta: float) -> None:
    h = np.array([0, 0.25, 0.5, 0.75, 1], dtype)
    value, slope = regularizer(h, beta)
    assert value == pytest.approx([0, 1 - 0.5**beta, 1, 1 - 0.5**beta, 0], abs=1e-6)
    assert slope[[0, 1, 3, 4]] == pytest.approx(
        2 * beta * np.array([1, 0.5 ** (beta - 1), -(0.5 ** (beta - 1)), -1]), rel=1e-5
    )
    assert value.dtype == slope.dtype == np.dtype(dtype)
