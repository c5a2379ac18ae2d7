"""Fit a few rates of a machine to measured latencies; say how far off each is when left out.

Least squares on the logarithms of the latencies: an error is relative, and a rate stays positive.
Each rate is held near its start by a prior as wide as `width`, so that a rate on which the
measurements are silent keeps its documented value instead of an arbitrary one.
Read next: `analysis.measurements`, what is fitted to.
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
from simulator.designs import evaluate_rows, work_rows
from simulator.document import Document
from simulator.errors import BadConfig, BitlaneError
from simulator.machines.actions import TOTAL_CYCLES, TOTAL_REFUSAL
from simulator.machines.base import FRACTION, Machine
from simulator.machines.registry import machine_from

Floats = NDArray[np.float64]

NOISE: Final = 0.05
"""Relative error that a measurement and the model's form are trusted with."""
WIDTH: Final = math.log(2)
"""Width of the prior on the logarithm of a rate: a factor of two."""
STEP: Final = 1e-3
"""Step of the logarithm of a rate for slopes."""


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


@dataclass(frozen=True)
class _Problem:
    """Measurements as rows: what is costed on what, and where each parameter enters."""

    kind: type[Machine]
    works: tuple[NDArray[np.int64], ...]
    rows: NDArray[np.int64]
    technology: Floats
    places: tuple[tuple[tuple[int, int, int], ...], ...]
    uses: tuple[tuple[int, NDArray[np.int64], NDArray[np.int64]], ...]
    cycles: Floats
    named: tuple[str, ...]


def _problem(
    bases: Mapping[str, Document],
    measurements: Sequence[Measurement],
    parameters: Sequence[Parameter],
) -> _Problem:
    """Build each distinct machine once; find the columns of its row that each parameter sets."""
    keys = list(dict.fromkeys((m.machine, m.overrides) for m in measurements))
    built = [_built(bases[name], overrides, name, measurements) for name, overrides in keys]
    kinds = {type(machine) for machine in built}
    if len(kinds) != 1:
        raise BitlaneError("machines of one kind only can be calibrated together")
    rows = np.stack([machine.row() for machine in built])
    places = []
    for p in parameters:
        found = []
        for index, (name, overrides) in enumerate(keys):
            if name in p.machines:
                found += _columns(bases[name], overrides, p, index, rows[index])
        if not found:
            raise BadConfig(
                f"{bases[p.machines[0]].label}: {p.path}: no measurement depends on it; "
                "do not fit it, or add measurements of what it describes"
            )
        places.append(tuple(found))
    models = list(dict.fromkeys(m.model for m in measurements))
    uses = []
    for number, model in enumerate(models):
        which = [i for i, m in enumerate(measurements) if m.model == model]
        at = [keys.index((measurements[i].machine, measurements[i].overrides)) for i in which]
        uses.append((number, np.array(which), np.array(at)))
    works = {m.model: work_rows(m.works) for m in measurements}
    return _Problem(
        kinds.pop(),
        tuple(works[model] for model in models),
        rows,
        built[0].technology.row()[None],
        tuple(places),
        tuple(uses),
        np.array([m.cycles for m in measurements]),
        tuple(f"{m.place}: model: {m.model}" if m.place else m.model for m in measurements),
    )


def _built(
    base: Document,
    overrides: tuple[tuple[str, str], ...],
    name: str,
    measurements: Sequence[Measurement],
) -> Machine:
    try:
        return machine_from(base, overrides)
    except BitlaneError as error:
        place = next(m.place for m in measurements if (m.machine, m.overrides) == (name, overrides))
        raise type(error)(f"{place}: {error}") from None


def _columns(
    base: Document,
    overrides: tuple[tuple[str, str], ...],
    p: Parameter,
    index: int,
    row: NDArray[np.int64],
) -> list[tuple[int, int, int]]:
    """Where a parameter enters a machine's row: (row, column, units of 1/scale)."""
    other = p.high if p.high / p.start > p.start / p.low else p.low
    try:
        pairs = [(path, typed(base, path, other)) for path in (p.path, *p.ties)]
        moved = machine_from(base, [*overrides, *pairs]).row()
    except BadConfig:
        return []
    found = []
    for column in np.flatnonzero(moved != row):
        scale = FRACTION if moved[column] == max(1, round(other * FRACTION)) else 1
        if scale == 1 and moved[column] != round(other):
            raise BadConfig(
                f"{base.label}: {p.path}: is no rate that the cost function reads as it stands; "
                "fit one of those it is made of"
            )
        found.append((index, int(column), scale))
    return found


def _predict(problem: _Problem, values: Floats) -> Floats:
    """Cycles at each of V vectors of values [V, P]: float64 [V, measurements]."""
    count = len(values)
    rows = np.repeat(problem.rows[None], count, axis=0)
    for number, places in enumerate(problem.places):
        for row, column, scale in places:
            rows[:, row, column] = np.maximum(1, np.rint(values[:, number] * scale))
    predicted = np.zeros((count, len(problem.cycles)))
    for number, which, at in problem.uses:
        distinct, back = np.unique(at, return_inverse=True)
        designs = rows[:, distinct].reshape(-1, rows.shape[2])
        technology_of = np.zeros(len(designs), np.int64)
        result = evaluate_rows(
            problem.kind, problem.works[number], designs, problem.technology, technology_of
        )
        refused = result.totals[:, TOTAL_REFUSAL].reshape(count, len(distinct))[0, back] != 0
        if refused.any():
            raise BitlaneError(
                f"{problem.named[which[refused][0]]}: does not run on the machine to calibrate; "
                "bitlane estimate says why"
            )
        cycles = result.totals[:, TOTAL_CYCLES].reshape(count, len(distinct))
        predicted[:, which] = cycles[:, back]
    return predicted


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
    problem = _problem(bases, measurements, parameters)
    values = _solve(problem, parameters, np.ones(len(measurements), bool), width)
    return Fit(tuple(parameters), values, _predict(problem, values[None])[0])


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
    problem = _problem(bases, measurements, parameters)
    labels = np.array(groups)
    predicted = np.full(len(measurements), math.nan)
    everything = _solve(problem, parameters, np.ones(len(measurements), bool), width)
    for label in dict.fromkeys(groups):
        kept = labels != label
        if kept.any() and _determined(problem, kept):
            values = _solve(problem, parameters, kept, width, everything)
            predicted[~kept] = _predict(problem, values[None])[0, ~kept]
    return predicted


def _determined(problem: _Problem, kept: NDArray[np.bool_]) -> bool:
    """Whether every parameter of a measurement left out is one of a measurement kept."""
    row_of = np.zeros(len(problem.cycles), np.int64)
    for _, which, at in problem.uses:
        row_of[which] = at
    inside, outside = set(row_of[kept].tolist()), set(row_of[~kept].tolist())
    return all(
        inside & {row for row, _, _ in places} or not outside & {row for row, _, _ in places}
        for places in problem.places
    )


def _solve(
    problem: _Problem,
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
        predicted = np.log(_predict(problem, np.exp(logs))[:, kept])
        return np.hstack([(predicted - measured) / NOISE, (logs - start) / width])

    def slopes(logs: Floats) -> Floats:
        # Steps well above a rate's last digit: what is predicted is whole cycles.
        steps = np.where(logs + STEP <= high, STEP, -STEP)
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
