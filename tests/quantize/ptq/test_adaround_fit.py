"""The neighbours of a weight by rational arithmetic, and the fit against every choice there is."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from math import floor, inf
from typing import Any

import numpy as np
import pytest

from simulator.errors import BadConfig
from workloads.quantize import PER_TENSOR, Grid, Layout, per_channel, per_group
from workloads.quantize.ptq.adaround_fit import (
    AdaRoundSettings,
    Fit,
    Neighbours,
    fit,
    mean_squared_error,
    schedule,
)
from workloads.quantize.ptq.adaround_rows import Rows

FAST = AdaRoundSettings(iterations=1500)
LAYOUTS = (PER_TENSOR, per_channel(0), per_channel(1), per_group(0, 1, 2))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ends", [(-8, 7), (-2, 1), (0, 15)])
def test_neighbours_are_the_exact_floor_and_ceiling(layout: Layout, ends: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    shape, (low, high) = (4, 6), ends
    count = layout.count(shape)
    scale = tuple(rng.uniform(0.05, 0.3, count).tolist())
    zero = tuple(rng.integers(low, high + 1, count).tolist())
    grid = Grid(scale, zero, low, high, layout=layout)
    codes = rng.integers(low - 3, high + 4, shape)
    weights = grid.dequantize(codes)
    off = rng.uniform(size=shape) < 0.7
    weights[off] += rng.uniform(-0.2, 0.2, off.sum())
    found = Neighbours.of(weights, grid)
    for at in np.ndindex(*shape):
        exact = Fraction(float(weights[at])) / Fraction(float(found.scale[at])) + int(
            found.zero[at]
        )
        below = min(max(floor(exact), low), high)
        above = min(max(-floor(-exact), low), high)
        assert found.below[at] == below
        assert found.free[at] == (above > below)
        if above > below:
            assert found.fraction[at] == pytest.approx(float(exact - below), abs=1e-12)
    nearest = grid.quantize(weights)
    assert found.real((found.fraction > 0.5) & found.free) == pytest.approx(
        grid.dequantize(nearest), abs=0
    )


def test_a_weight_on_the_grid_has_no_choice() -> None:
    grid, codes = Grid((0.125,), (0,), -8, 7), np.arange(-8, 8)[None]
    found = Neighbours.of(grid.dequantize(codes), grid)
    assert not found.free.any()
    assert (found.below == codes).all()


def small(seed: int, bounds: tuple[float, float]) -> tuple[Neighbours, Any, Rows]:
    """Two outputs of seven taps each on a grid of 3 bits, inputs that depend on each other."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((1, 2, 7))
    mixed = rng.standard_normal((1, 400, 7)) @ rng.standard_normal((7, 7))
    bias = rng.standard_normal((1, 2))
    target = np.clip(mixed @ weights.transpose(0, 2, 1) + bias[:, None], *bounds)
    rows = Rows(mixed.astype(np.float32), target.astype(np.float32))
    return Neighbours.of(weights, Grid((0.5,), (0,), -4, 3)), bias, rows


@pytest.mark.parametrize("bounds", [(-inf, inf), (0.0, inf)])
def test_the_choice_is_near_the_best_of_all(bounds: tuple[float, float]) -> None:
    """Every output alone has 2^7 choices; the best of them is known by trying."""
    gaps = []
    for seed in range(10):
        weights, bias, rows = small(seed, bounds)
        found = fit(weights, bias, bounds, rows, FAST)
        nearest = (weights.fraction > 0.5) & weights.free
        got, plain = (
            mean_squared_error(weights.real(up), bias, bounds, rows) for up in (found.up, nearest)
        )
        best = float(np.mean([min(_all_errors(weights, bias, bounds, rows, o)) for o in (0, 1)]))
        gaps.append((got - best) / (plain - best))
        print(f"seed {seed}: nearest {plain:.4f}, AdaRound {got:.4f}, the best of all {best:.4f}")
        assert best - 1e-6 <= got < plain
        assert found.undecided == 0
    print(f"left of the way from nearest to the best: {np.mean(gaps):.3f}, at most {max(gaps):.3f}")
    assert np.mean(gaps) < 0.5


def _all_errors(
    weights: Neighbours, bias: Any, bounds: tuple[float, float], rows: Rows, output: int
) -> list[float]:
    target, found = rows.targets[0, :, output], list[float]()
    for ups in product((0, 1), repeat=7):
        real = weights.real(np.array(ups)[None, None] * weights.free)[0, output]
        y = np.clip(rows.inputs[0] @ real + bias[0, output], *bounds)
        found.append(float(np.square(y - target).mean()))
    return found


def test_inputs_that_do_not_depend_on_each_other_leave_nearest_best() -> None:
    """The error is then the sum of those of single weights: Nagel et al. 2020, section 3.1."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        real, x = rng.standard_normal((1, 8, 20)), rng.standard_normal((1, 20_000, 20))
        target, bias = x @ real.transpose(0, 2, 1), np.zeros((1, 8))
        weights = Neighbours.of(real, Grid((0.3,), (0,), -8, 7))
        rows = Rows(x.astype(np.float32), target.astype(np.float32))
        found = fit(weights, bias, (-inf, inf), rows, FAST)
        nearest = (weights.fraction > 0.5) & weights.free
        moved = np.abs(weights.fraction[found.up != nearest] - 0.5)
        print(f"seed {seed}: {moved.size} of {real.size} flipped, {moved.max(initial=0):.3f}")
        assert moved.size <= 0.1 * real.size
        assert moved.max(initial=0) < 0.1


def test_a_seed_gives_one_answer_in_any_unit() -> None:
    """Outputs and weights a thousandfold change nothing: the error is measured in variances."""
    weights, bias, rows = small(3, (0.0, inf))
    first, again = (fit(weights, bias, (0.0, inf), rows, FAST) for _ in range(2))
    assert (first.up == again.up).all()
    grown = replace(weights, scale=weights.scale * 1024)
    in_thousands = Rows(rows.inputs, rows.targets * 1024)
    same = fit(grown, bias * 1024, (0.0, inf), in_thousands, FAST)
    assert (first.up == same.up).all()


def test_nothing_to_choose_and_nothing_to_fit() -> None:
    weights, bias, rows = small(0, (-inf, inf))
    settled = replace(weights, free=np.zeros_like(weights.free))
    assert not fit(settled, bias, (-inf, inf), rows, FAST).up.any()
    constant = Rows(rows.inputs, rows.targets * 0)
    found: Fit = fit(weights, bias * 0, (-inf, 0.0), constant, FAST)
    assert found.up.shape == weights.below.shape


def test_the_schedule_warms_up_and_falls_along_a_cosine() -> None:
    settings = AdaRoundSettings(iterations=1000)
    assert [schedule(i, settings) for i in (0, 199)] == [(0.0, 20.0)] * 2
    weight, beta = zip(*(schedule(i, settings) for i in range(200, 1000)), strict=True)
    assert set(weight) == {0.1}
    assert beta[0] == 20
    assert beta[400] == pytest.approx(11)
    assert beta[-1] == pytest.approx(2, abs=1e-3)
    assert all(a >= b for a, b in pairwise(beta))


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"iterations": 0}, "iterations must be 1 or more; found 0"),
        ({"batch": -1}, "batch must be 1 or more"),
        ({"warm_up": 1.0}, r"warm_up must be in \[0, 1\)"),
        ({"held_out": -0.1}, "held_out must be in"),
        ({"rate": 0.0}, "rate must be above 0"),
        ({"weight": -1.0}, "weight must be 0 or more"),
        ({"beta": (20.0, 0.5)}, "beta must be 1 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: Any, rule: str) -> None:
    with pytest.raises(BadConfig, match=rule):
        AdaRoundSettings(**fields)
