"""Measurements as a problem to fit: what any values of the parameters predict of them.

Machines that run one operator after another are rows of numbers, of which a parameter sets some
columns. A platform is built anew for each vector of values: where an operator runs may change.
Read next: `analysis.calibrate`, which searches for the values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from analysis.measurements import Measurement
from analysis.parameters import Parameter, is_count, typed
from simulator.designs import evaluate_rows, work_rows
from simulator.document import Document
from simulator.errors import BadConfig, BitlaneError
from simulator.machines.actions import TOTAL_CYCLES, TOTAL_REFUSAL
from simulator.machines.base import FRACTION, Machine
from simulator.machines.platform import Platform
from simulator.machines.registry import machine_from
from simulator.platforms import evaluate_platforms

Floats = NDArray[np.float64]
STEP: Final = 1e-3
PLATFORM_STEP: Final = 1e-2
"""Larger: most of a link's or a unit's cycles are hidden behind those of another."""
Overrides: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Problem:
    """What is fitted.

    cycles : measured, float64 [M].
    machine_of : the machine of each measurement, of those that differ, int64 [M].
    touched : for each parameter the machines that it enters.
    counts : which parameters are whole numbers, bool [P].
    step : of the logarithm of a value for slopes, well above what whole cycles hide.
    predict : from vectors of values, float64 [V, P], the cycles of each, float64 [V, M].
    """

    cycles: Floats
    machine_of: NDArray[np.int64]
    touched: tuple[frozenset[int], ...]
    counts: NDArray[np.bool_]
    step: float
    predict: Callable[[Floats], Floats]


def problem_of(
    bases: Mapping[str, Document],
    measurements: Sequence[Measurement],
    parameters: Sequence[Parameter],
) -> Problem:
    """Build each distinct machine once, and find where each parameter enters it.

    Raises BadConfig for a parameter that no measurement depends on.
    """
    keys = list(dict.fromkeys((m.machine, m.overrides) for m in measurements))
    built = [_built(bases[name], overrides, name, measurements) for name, overrides in keys]
    kinds = {type(machine) for machine in built}
    if len(kinds) != 1:
        raise BitlaneError("machines of one kind only can be calibrated together")
    machine_of = np.array([keys.index((m.machine, m.overrides)) for m in measurements])
    step = STEP
    if kinds == {Platform}:
        step = PLATFORM_STEP
        predict: Callable[[Floats], Floats] = partial(
            _predict_platforms, bases, keys, measurements, machine_of, parameters
        )
        touched = _moved_by(predict, machine_of, parameters)
    else:
        places = tuple(_places(bases, keys, built, p) for p in parameters)
        predict = partial(_predict_rows, _rows(kinds.pop(), built, measurements), places)
        touched = tuple(frozenset(index for index, _, _ in found) for found in places)
    for p, machines in zip(parameters, touched, strict=True):
        if not machines:
            raise BadConfig(
                f"{bases[p.machines[0]].label}: {p.path}: no measurement depends on it; "
                "do not fit it, or add measurements of what it describes"
            )
    counts = np.array([is_count(bases[p.machines[0]], p.path) for p in parameters], np.bool_)
    cycles = np.array([m.cycles for m in measurements])
    return Problem(cycles, machine_of, touched, counts, step, predict)


def determined(problem: Problem, kept: NDArray[np.bool_]) -> bool:
    """Whether every parameter of a measurement left out is one of a measurement kept."""
    inside = set(problem.machine_of[kept].tolist())
    outside = set(problem.machine_of[~kept].tolist())
    return all(inside & machines or not outside & machines for machines in problem.touched)


def _built(
    base: Document, overrides: Overrides, name: str, measurements: Sequence[Measurement]
) -> Machine:
    try:
        return machine_from(base, overrides)
    except BitlaneError as error:
        place = next(m.place for m in measurements if (m.machine, m.overrides) == (name, overrides))
        raise type(error)(f"{place}: {error}") from None


def _refuse_to_run(measurement: Measurement) -> BitlaneError:
    model = measurement.model
    named = f"{measurement.place}: model: {model}" if measurement.place else model
    return BitlaneError(
        f"{named}: does not run on the machine to calibrate; bitlane estimate says why"
    )


@dataclass(frozen=True)
class _Rows:
    """Distinct machines as rows [N, columns], each network's works and its measurements."""

    kind: type[Machine]
    rows: NDArray[np.int64]
    technology: Floats
    uses: tuple[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], ...]
    measurements: tuple[Measurement, ...]


def _rows(
    kind: type[Machine], built: Sequence[Machine], measurements: Sequence[Measurement]
) -> _Rows:
    keys = list(dict.fromkeys((m.machine, m.overrides) for m in measurements))
    uses = []
    for model in dict.fromkeys(m.model for m in measurements):
        which = [i for i, m in enumerate(measurements) if m.model == model]
        at = [keys.index((measurements[i].machine, measurements[i].overrides)) for i in which]
        uses.append((work_rows(measurements[which[0]].works), np.array(which), np.array(at)))
    return _Rows(
        kind,
        np.stack([machine.row() for machine in built]),
        built[0].technology.row()[None],
        tuple(uses),
        tuple(measurements),
    )


def _places(
    bases: Mapping[str, Document],
    keys: Sequence[tuple[str, Overrides]],
    built: Sequence[Machine],
    p: Parameter,
) -> tuple[tuple[int, int, int], ...]:
    """Where a parameter enters the rows of the machines: (row, column, units of 1/scale)."""
    found: list[tuple[int, int, int]] = []
    for index, (name, overrides) in enumerate(keys):
        if name in p.machines:
            found += _columns(bases[name], overrides, p, index, built[index].row())
    return tuple(found)


def _columns(
    base: Document, overrides: Overrides, p: Parameter, index: int, row: NDArray[np.int64]
) -> list[tuple[int, int, int]]:
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


def _predict_rows(
    problem: _Rows, places: Sequence[Sequence[tuple[int, int, int]]], values: Floats
) -> Floats:
    """Cycles at each of V vectors of values [V, P]: float64 [V, M]."""
    count = len(values)
    rows = np.repeat(problem.rows[None], count, axis=0)
    for number, found in enumerate(places):
        for row, column, scale in found:
            rows[:, row, column] = np.maximum(1, np.rint(values[:, number] * scale))
    predicted = np.zeros((count, len(problem.measurements)))
    for works, which, at in problem.uses:
        distinct, back = np.unique(at, return_inverse=True)
        designs = rows[:, distinct].reshape(-1, rows.shape[2])
        technology_of = np.zeros(len(designs), np.int64)
        result = evaluate_rows(problem.kind, works, designs, problem.technology, technology_of)
        refused = result.totals[:, TOTAL_REFUSAL].reshape(count, len(distinct))[0, back] != 0
        if refused.any():
            raise _refuse_to_run(problem.measurements[which[refused][0]])
        cycles = result.totals[:, TOTAL_CYCLES].reshape(count, len(distinct))
        predicted[:, which] = cycles[:, back]
    return predicted


def _predict_platforms(
    bases: Mapping[str, Document],
    keys: Sequence[tuple[str, Overrides]],
    measurements: Sequence[Measurement],
    machine_of: NDArray[np.int64],
    parameters: Sequence[Parameter],
    values: Floats,
) -> Floats:
    """As `_predict_rows`, in cycles of the host: each platform is built with the values in it."""
    predicted = np.zeros((len(values), len(measurements)))
    for index, (name, overrides) in enumerate(keys):
        platforms = [
            cast(Platform, machine_from(bases[name], [*overrides, *pairs]))
            for pairs in (_pairs(bases[name], name, parameters, vector) for vector in values)
        ]
        which: list[int] = np.flatnonzero(machine_of == index).tolist()
        for model in dict.fromkeys(measurements[i].model for i in which):
            same = [i for i in which if measurements[i].model == model]
            graph = measurements[same[0]].graph
            if graph is None:
                raise BitlaneError(f"{model}: a platform is fitted to graphs, not to works alone")
            totals = evaluate_platforms(graph, platforms).evaluation.totals
            if (totals[:, TOTAL_REFUSAL] != 0).any():
                raise _refuse_to_run(measurements[same[0]])
            predicted[:, same] = totals[:, TOTAL_CYCLES, None]
    return predicted


def _pairs(
    base: Document, name: str, parameters: Sequence[Parameter], values: Floats
) -> list[tuple[str, float | int]]:
    return [
        (path, typed(base, path, float(value)))
        for p, value in zip(parameters, values, strict=True)
        if name in p.machines
        for path in (p.path, *p.ties)
    ]


def _moved_by(
    predict: Callable[[Floats], Floats],
    machine_of: NDArray[np.int64],
    parameters: Sequence[Parameter],
) -> tuple[frozenset[int], ...]:
    """For each parameter the machines of which a measurement changes at one of its bounds."""
    start = np.array([p.start for p in parameters])
    plain = predict(start[None])[0]
    found = []
    for number, p in enumerate(parameters):
        ends = np.repeat(start[None], 2, axis=0)
        ends[:, number] = (p.low, p.high)
        moved = (predict(ends) != plain).any(axis=0)
        found.append(frozenset(machine_of[moved].tolist()))
    return tuple(found)
