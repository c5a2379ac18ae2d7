"""Fit a few rates of a machine to measured latencies; say how far off each is when left out.

Least squares on the logarithms of the latencies: an error is relative, and a rate stays positive.
Each rate is held near its start by a prior as wide as `width`, so that a rate on which the
measurements are silent keeps its documented value instead of an arbitrary one.
Read next: `analysis.problems`, what any values predict.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from analysis.measurements import Measurement
from analysis.parameters import Parameter, typed
from analysis.problems import Floats, Problem, determined, problem_of
from simulator.document import Document

NOISE: Final = 0.05
"""Relative error that a measurement and the model's form are trusted with."""
WIDTH: Final = math.log(2)
"""Width of the prior on the logarithm of a rate: a factor of two."""
COUNT_STEP: Final = 2.0
"""Step of a whole number for slopes, at least."""


@dataclass(frozen=True)
class Fit:
    """Fitted values in the order of the parameters, and the cycles they predict."""

    parameters: tuple[Parameter, ...]
    values: Floats
    predicted: Floats


def error_percent(predicted: Floats, measurements: Sequence[Measurement]) -> Floats:
    """Relative errors of predicted cycles in percent, signed: float64 [measurements]."""
    measured = np.array([m.cycles for m in measurements])
    return np.asarray(100 * (predicted / measured - 1), np.float64)


def mape(errors: Floats) -> float:
    """The mean absolute error of those that are not NaN; NaN where all are."""
    known = np.abs(errors[~np.isnan(errors)])
    return float(known.mean()) if known.size else math.nan


def fit(
    bases: Mapping[str, Document],
    measurements: Sequence[Measurement],
    parameters: Sequence[Parameter],
    width: float = WIDTH,
) -> Fit:
    """The values that minimise squared relative errors and the distances from the start.

    `bases` are documents by the name that measurements and parameters use for them. `width` is
    the prior's, in logarithm; `math.inf` trusts the measurements alone.
    """
    problem = problem_of(bases, measurements, parameters)
    values = _solve(problem, parameters, np.ones(len(measurements), bool), width)
    return Fit(tuple(parameters), values, problem.predict(values[None])[0])


def left_out(
    bases: Mapping[str, Document],
    measurements: Sequence[Measurement],
    parameters: Sequence[Parameter],
    groups: Sequence[str],
    width: float = WIDTH,
) -> Floats:
    """Cycles of each measurement predicted by a fit without any of its group: float64 [M].

    NaN where nothing that remains depends on a parameter that the group does depend on: then its
    prediction would be the start, not a measurement's.
    """
    problem = problem_of(bases, measurements, parameters)
    labels = np.array(groups)
    predicted = np.full(len(measurements), math.nan)
    everything = _solve(problem, parameters, np.ones(len(measurements), bool), width)
    for label in dict.fromkeys(groups):
        kept = labels != label
        if kept.any() and determined(problem, kept):
            values = _solve(problem, parameters, kept, width, everything)
            predicted[~kept] = problem.predict(values[None])[0, ~kept]
    return predicted


def _solve(
    problem: Problem,
    parameters: Sequence[Parameter],
    kept: NDArray[np.bool_],
    width: float,
    first: Floats | None = None,
) -> Floats:
    """Fitted values; `first` is where the search begins, the prior's centre where None."""
    start = np.log([p.start for p in parameters])
    low, high = (np.log([getattr(p, end) for p in parameters]) for end in ("low", "high"))
    measured = np.log(problem.cycles[kept])

    def errors(logs: Floats) -> Floats:
        predicted = np.log(problem.predict(np.exp(logs))[:, kept])
        return np.hstack([(predicted - measured) / NOISE, (logs - start) / width])

    def slopes(logs: Floats) -> Floats:
        # Steps well above a value's last digit: what is predicted is whole cycles.
        wide = np.where(
            problem.counts, np.maximum(problem.step, COUNT_STEP / np.exp(logs)), problem.step
        )
        steps = np.where(logs + wide <= high, wide, -wide)
        found = errors(np.vstack([logs, logs + np.diag(steps)]))
        return np.asarray((found[1:] - found[0]).T / steps, np.float64)

    margin = 1e-9
    begin = start if first is None else np.log(first)
    found = least_squares(
        lambda logs: errors(logs[None])[0],
        np.clip(begin, low, high),
        jac=slopes,
        bounds=(low - margin, high + margin),
        ftol=1e-5,
        xtol=1e-5,
    )
    return np.asarray(np.exp(np.clip(found.x, low, high)), np.float64)


def with_values(base: Document, name: str, found: Fit) -> Document:
    """A base with the fitted values in it, to four digits, and nothing else changed."""
    from simulator.config import override

    pairs = [
        (path, typed(base, path, float(f"{value:.4g}")))
        for p, value in zip(found.parameters, found.values, strict=True)
        if name in p.machines
        for path in (p.path, *p.ties)
    ]
    return override(base, pairs)
