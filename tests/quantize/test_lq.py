"""The learned quantizer of LQ-Nets: levels, fits, starts against rationals and numpy's solver."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.errors import BadConfig, IllegalValues
from simulator.numeric.levels import CodeSet
from workloads.quantize.lq import RIDGE, LqGrid, moving_average, qem
from workloads.quantize.lq_start import (
    best_uniform,
    published_activations,
    published_weights,
    uniform,
)
from workloads.quantize.quantizer import per_channel

Reals = NDArray[np.float64]
SETS: tuple[CodeSet, ...] = ("bipolar", "binary")
ROUNDING = 1e-12
"""A sum of squares, relative to itself."""

families = pytest.mark.parametrize("code_set", SETS)
widths = pytest.mark.parametrize("bits", [1, 2, 3, 4])


def sample(name: str, code_set: CodeSet, count: int = 4000) -> Reals:
    """Seeded values; of weights for {-1, 1}, behind a ReLU for {0, 1}."""
    rng = np.random.default_rng(len(name))
    if name == "uniform":
        x = rng.uniform(-1.0, 1.0, count)
    else:
        x = rng.normal(size=count) if name == "normal" else rng.laplace(size=count)
    return np.asarray(x if code_set == "bipolar" else np.maximum(x, 0.0), dtype=np.float64)


def sign(bit: int, code_set: CodeSet) -> int:
    return bit if code_set == "binary" else 2 * bit - 1


def true_levels(basis: tuple[float, ...], code_set: CodeSet) -> dict[int, Fraction]:
    """The level of every code, in rationals."""
    found = {}
    for bits in product((0, 1), repeat=len(basis)):
        code = sum(bit << j for j, bit in enumerate(bits))
        terms = zip(basis, bits, strict=True)
        found[code] = sum((Fraction(v) * sign(b, code_set) for v, b in terms), Fraction(0))
    return found


def solved(rows: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """The solution of a regular system, by elimination."""
    size = len(right)
    system = [[*row, value] for row, value in zip(rows, right, strict=True)]
    for k in range(size):
        pivot = next(i for i in range(k, size) if system[i][k])
        system[k], system[pivot] = system[pivot], system[k]
        system[k] = [v / system[k][k] for v in system[k]]
        for i in range(size):
            if i != k:
                system[i] = [
                    a - system[i][k] * b for a, b in zip(system[i], system[k], strict=True)
                ]
    return [row[-1] for row in system]


def true_fit(x: Any, codes: Any, old: Any, code_set: CodeSet, ridge: float) -> list[Fraction]:
    """(B'B + ridge I) v = B'x + ridge v_old, in rationals."""
    size, epsilon = len(old), Fraction(ridge)
    square = [[epsilon * (i == j) for j in range(size)] for i in range(size)]
    right = [epsilon * Fraction(v) for v in old]
    for value, code in zip(x, codes, strict=True):
        signs = [sign(code >> j & 1, code_set) for j in range(size)]
        for i in range(size):
            right[i] += Fraction(value) * signs[i]
            for j in range(size):
                square[i][j] += signs[i] * signs[j]
    return solved(square, right)


@families
@widths
def test_codes_are_of_the_nearest_level_and_ties_go_down(bits: int, code_set: CodeSet) -> None:
    """On dyadic bases of any sign, at, just above and just below every threshold."""
    rng = np.random.default_rng(bits)
    for _ in range(20):
        basis = tuple((rng.integers(-64, 64, bits) / 16).tolist())
        grid = LqGrid((basis,), code_set)
        reached = sorted(set(true_levels(basis, code_set).values()))
        between = [(a + b) / 2 for a, b in pairwise(reached)]
        places = [float(v) for v in (*reached, *between)]
        values = [v for p in places for v in (p, np.nextafter(p, 99), np.nextafter(p, -99))]
        codes = grid.quantize(np.array(values))
        reals = grid.dequantize(codes).tolist()
        for value, real in zip(values, reals, strict=True):
            ranked = sorted(reached, key=lambda v: (abs(v - Fraction(value)), v))
            assert Fraction(real) == ranked[0], (basis, value)
        exact = true_levels(basis, code_set)
        assert [exact[code] for code in codes.tolist()] == [Fraction(r) for r in reals]


@families
@widths
@pytest.mark.parametrize("name", ["normal", "laplace", "uniform"])
@pytest.mark.parametrize("ridge", [0.0, RIDGE, 50.0])
def test_no_half_of_a_step_raises_the_error(
    name: str, bits: int, code_set: CodeSet, ridge: float
) -> None:
    """Encoding, then fitting, thirty times, from a poor start; the moving average likewise."""
    x = sample(name, code_set)
    grid = uniform(0.1, bits, code_set)
    for _ in range(30):
        codes = grid.quantize(x)
        at_codes = grid.squared_error(x, codes)
        new = grid.fitted(x, codes, ridge)
        fitted, averaged = new.squared_error(x, codes), moving_average(grid, new)
        assert fitted <= at_codes * (1 + ROUNDING)
        assert averaged.squared_error(x, codes) <= at_codes * (1 + ROUNDING)
        encoded = new.squared_error(x)
        assert encoded <= fitted * (1 + ROUNDING)
        grid = new
    assert encoded < at_codes * (1 + ROUNDING)


@families
@widths
@pytest.mark.parametrize("name", ["normal", "laplace", "uniform"])
def test_never_above_the_best_uniform_grid_it_starts_from(
    name: str, bits: int, code_set: CodeSet
) -> None:
    """Nor above the least of a finer search of uniform grids by their own formula."""
    x = sample(name, code_set)
    start = best_uniform(x, bits, code_set)
    learned = qem(x, start, alternations=50)
    assert learned.squared_error(x) <= start.squared_error(x) * (1 + ROUNDING)
    half = 0.5 if code_set == "bipolar" else 0.0
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if half else (0, 2**bits - 1)

    def error(step: float) -> float:
        places = np.clip(np.rint(x / step - half), low, high)
        return float(np.square(x - (places + half) * step).sum())

    finest = min(error(step) for step in np.linspace(0.002, 4.0, 2000).tolist())
    assert start.squared_error(x)[0] == pytest.approx(error(start.basis[0][0] * (2 if half else 1)))
    assert start.squared_error(x)[0] <= finest
    assert learned.squared_error(x)[0] <= finest


@families
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_strictly_better_than_uniform_on_laplace(bits: int, code_set: CodeSet) -> None:
    """On each of five seeds."""
    gains = []
    for seed in range(5):
        x = np.random.default_rng(seed).laplace(size=20_000)
        x = x if code_set == "bipolar" else np.maximum(x, 0.0)
        start = best_uniform(x, bits, code_set)
        learned = qem(x, start, alternations=50)
        gains.append(float(start.squared_error(x)[0] / learned.squared_error(x)[0]))
    spread = f"{min(gains):.3f} to {max(gains):.3f}"
    print(f"\n{code_set} {bits} bits: uniform error {spread} times the learned")
    assert min(gains) > 1.005


def test_what_a_step_reaches_is_local() -> None:
    """From the paper's first basis, four bits of normal weights end above the other start's end."""
    x = sample("normal", "bipolar", 20_000) * np.sqrt(2.0 / 576)
    ends = [
        qem(x, start, alternations=300).squared_error(x)[0]
        for start in (published_weights(4, 576), best_uniform(x, 4, "bipolar"))
    ]
    assert ends[0] > ends[1]


@families
@pytest.mark.parametrize("ridge", [0.0, RIDGE, 0.5])
@widths
def test_fits_are_those_of_rational_elimination(bits: int, ridge: float, code_set: CodeSet) -> None:
    rng = np.random.default_rng(bits)
    x = np.concatenate([rng.normal(size=60), np.linspace(-3, 3, 2**bits * 2)])
    grid = uniform(0.7, bits, code_set)
    codes = np.concatenate([grid.quantize(x[:60]), np.arange(2**bits * 2) % 2**bits])
    true = true_fit(x.tolist(), codes.tolist(), grid.basis[0], code_set, ridge)
    found = grid.fitted(x, codes, ridge).basis[0]
    np.testing.assert_allclose(found, [float(v) for v in true], rtol=1e-11, atol=1e-13)
    if not ridge:
        matrix = np.array([[sign(c >> j & 1, code_set) for j in range(bits)] for c in codes])
        least = np.linalg.lstsq(matrix.astype(float), x, rcond=None)[0]
        np.testing.assert_allclose(found, least, rtol=1e-10, atol=1e-13)


def test_a_direction_that_no_code_uses_stays() -> None:
    """One code alone: what it reaches is fitted, and the rest moves as little as it can."""
    grid = LqGrid(((1.0, 2.0, 4.0),), "binary")
    found = grid.fitted(np.array([4.0, 5.0]), np.array([3, 3]))
    np.testing.assert_allclose(found.basis[0], (1.75, 2.75, 4.0), rtol=1e-14)
    held = grid.fitted(np.zeros(2), np.array([0, 0]), RIDGE)
    np.testing.assert_allclose(held.basis[0], (1.0, 2.0, 4.0), rtol=1e-14)


def test_the_moving_average_is_nine_parts_of_the_old() -> None:
    old, new = LqGrid(((1.0, 2.0),), "binary"), LqGrid(((2.0, -3.0),), "binary")
    np.testing.assert_allclose(moving_average(old, new).basis[0], (1.1, 1.5), rtol=1e-15)
    with pytest.raises(BadConfig, match=r"\[0, 1\); found 1"):
        moving_average(old, new, 1.0)


@families
def test_channels_are_quantized_each_for_itself(code_set: CodeSet) -> None:
    """Any axis; a channel's basis is what its values alone give."""
    x = np.random.default_rng(4).laplace(size=(5, 4, 3)) * np.array([0.1, 1, 3, 20])[:, None]
    layout = per_channel(1)
    start = best_uniform(x, 2, code_set, layout)
    made = qem(x, start, alternations=3, ridge=RIDGE)
    for c in range(4):
        alone = qem(x[:, c], best_uniform(x[:, c], 2, code_set), alternations=3, ridge=RIDGE)
        np.testing.assert_allclose(made.basis[c], alone.basis[0], rtol=1e-12)
        assert np.array_equal(made.quantize(x)[:, c], alone.quantize(x[:, c]))
        assert np.allclose(made.fake_quantize(x)[:, c], alone.fake_quantize(x[:, c]), rtol=1e-12)


def test_published_starts_by_their_formulas() -> None:
    for bits in (1, 2, 3, 4):
        weights, activations = published_weights(bits, 3 * 3 * 64), published_activations(bits)
        assert (weights.code_set, activations.code_set) == ("bipolar", "binary")
        for j in range(bits):
            scale = 0.6745 * (2 / 576) ** 0.5 / 2 ** (bits - 1)
            assert weights.basis[0][j] == pytest.approx(2**j * scale, rel=1e-14)
            step = 2 * 0.6745 / (2**bits - 1)
            assert activations.basis[0][j] == pytest.approx(2**j * step, rel=1e-14)


def test_what_is_refused() -> None:
    refused: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: LqGrid(((1.0,), (1.0, 2.0)), "binary"), "1 to 8 reals a parameter"),
        (lambda: LqGrid(((float("nan"),),), "binary"), "must be finite"),
        (lambda: uniform(1.0, 9, "binary"), "1 to 8 bits; found 9"),
        (lambda: published_weights(2, 0), "fan_out must be at least 1"),
        (lambda: qem(np.ones(3), uniform(1.0, 1, "binary"), alternations=0), "1 or more"),
    )
    for make, message in refused:
        with pytest.raises(BadConfig, match=message):
            make()
    with pytest.raises(IllegalValues, match="NaN has no code"):
        uniform(1.0, 1, "binary").quantize(np.array([np.nan]))
    with pytest.raises(IllegalValues, match="2 bases for a tensor of shape"):
        LqGrid(((1.0,), (2.0,)), "binary").quantize(np.ones(4))
