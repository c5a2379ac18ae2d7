"""The search for the range with the least error, never worse than the range it starts from."""

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from simulator.errors import BadConfig
from workloads.quantize.forms import Form
from workloads.quantize.quantizer import PER_TENSOR, Array, Layout, Reals, reals

Search: TypeAlias = Literal["grid", "golden"]
RangeError: TypeAlias = Callable[[Reals, Reals], Reals]
"""The error of each parameter's range: (low, high) -> errors, all (parameters,)."""

STEPS: Final = 100
"""Ranges of a grid search, a hundredth of the whole apart."""
_GOLDEN: Final = (np.sqrt(5.0) - 1) / 2
_NARROWINGS: Final = 24
"""Golden sections: 0.618^24 < 1e-5 of the range."""
_MOVES: Final = ((True, True), (True, False), (False, True))
"""Both ends, then each alone: a one-sided tail wants one end moved."""
_MARGIN: Final = 1 - 1e-9
"""A range is left only for one that is better by more than the rounding of a sum."""


def mse_range(
    x: Array, form: Form, *, layout: Layout = PER_TENSOR, search: Search = "grid"
) -> tuple[Reals, Reals]:
    """(low, high) per parameter that minimise sum (x - x^)^2 on the grids of a form.

    Nagel et al. 2021 (arXiv 2106.08295) section 3.1: min-max shrunk, both ends together, then each
    alone. For tensors at hand, such as weights; `Mse` is for streams. The error is at most
    that of min-max for every parameter, on rules that round to nearest.
    """
    wide = reals(x)
    low, high = layout.reduce(np.minimum, wide), layout.reduce(np.maximum, wide)

    def error(low: Reals, high: Reals) -> Reals:
        return form(low, high, layout=layout).squared_error(wide)

    return search_range(error, low, high, search)


def search_range(
    error: RangeError, low: Reals, high: Reals, search: Search = "grid"
) -> tuple[Reals, Reals]:
    """The best of the ranges tried, each parameter for itself.

    (low, high) itself, extended to hold 0, where none is better. `grid` tries each hundredth of the
    range; `golden` narrows down by golden sections, which finds the least of an error with one
    valley in a third of the evaluations.
    """
    if search not in get_args(Search):
        raise BadConfig(f"search must be one of {', '.join(get_args(Search))}; found {search!r}")
    # Every form has 0 on its grid: this changes no grid, and keeps shrunk ends in order.
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    best = error(low, high)
    for moves in _MOVES:
        factor, best = _FACTORS[search](partial(_error_at, error, low, high, moves), best)
        low, high = _moved(low, high, moves, factor)
    return low, high


def _moved(low: Reals, high: Reals, moves: tuple[bool, bool], factor: Reals) -> tuple[Reals, Reals]:
    return low * factor if moves[0] else low, high * factor if moves[1] else high


def _error_at(
    error: RangeError, low: Reals, high: Reals, moves: tuple[bool, bool], factor: Reals
) -> Reals:
    return error(*_moved(low, high, moves, factor))


def _by_grid(error: Callable[[Reals], Reals], best: Reals) -> tuple[Reals, Reals]:
    """The best factor of each parameter and its error, from 1 and `best` on."""
    kept = np.ones_like(best)
    for step in range(STEPS - 1, 0, -1):
        kept, best = _better(error, np.full_like(best, step / STEPS), kept, best)
    return kept, best


def _by_golden(error: Callable[[Reals], Reals], best: Reals) -> tuple[Reals, Reals]:
    kept = np.ones_like(best)
    left, right = np.zeros_like(best), np.ones_like(best)
    a, b = right - _GOLDEN * (right - left), left + _GOLDEN * (right - left)
    at_a, at_b = error(a), error(b)
    for _ in range(_NARROWINGS):
        lower = at_a < at_b
        left, right = np.where(lower, left, a), np.where(lower, b, right)
        new = np.where(lower, right - _GOLDEN * (right - left), left + _GOLDEN * (right - left))
        at_new = error(new)
        a, b = np.where(lower, new, b), np.where(lower, a, new)
        at_a, at_b = np.where(lower, at_new, at_b), np.where(lower, at_a, at_new)
    for factor in (a, b):
        kept, best = _better(error, factor, kept, best)
    return kept, best


def _better(
    error: Callable[[Reals], Reals], factor: Reals, kept: Reals, best: Reals
) -> tuple[Reals, Reals]:
    found = error(factor)
    better = found < best * _MARGIN
    return np.where(better, factor, kept), np.where(better, found, best)


_FACTORS: Final = {"grid": _by_grid, "golden": _by_golden}
