"""Many designs at once: the arrays of a sweep, and of an estimate, which is a sweep of one.

Every design goes through the `evaluate` of its machine's kind, which calls that kind's scalar
cost functions; there is no second model.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import Unsupported
from simulator.machine_set import Floats, MachineSet, machine_set
from simulator.machine_set import Ints as Ints
from simulator.machines.actions import (
    ACTIONS,
    COMPONENTS,
    TOO_MANY,
    TOTAL_CYCLES,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
    TOTALS,
)
from simulator.machines.base import CLOCK_HZ, FRACTION, PRICED_ALONE, Machine
from simulator.work import W_MORE, WORK_FIELDS, Work

Limits: TypeAlias = tuple[tuple[int, int, int], int | None, int]
"""What multiplies counts into cycles, bytes of the smallest SRAM if any, bits of a scale."""
_CHUNK: Final = 512
_MOST: Final = 1 << 60
"""Of a count in 1/65536: room for sums and for traffic that repeats below 2^63."""


@dataclass(frozen=True)
class Evaluation:
    """Costs of P designs on L layers, in the order of the designs.

    totals : int64 [P, TOTALS], columns as `simulator.machines.actions.TOTAL_NAMES`; a refused
        design has -1 in all but its refusal columns.
    area_mm2 : float64 [P].
    latency_s : float64 [P], NaN where refused.
    actions : int64 [P, L, ACTIONS], or [0, 0, ACTIONS] where layers were not asked for.
    energy_fj : int64 [P, L, COMPONENTS], likewise.
    """

    totals: Ints
    area_mm2: Floats
    latency_s: Floats
    actions: Ints
    energy_fj: Ints

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Which designs cannot run the graph: bool [P]."""
        return np.asarray(self.totals[:, TOTAL_REFUSAL] != 0)


def batched(work: Work, batch: int) -> Work:
    """The work of `batch` inferences run together: weights and biases are read once."""
    return replace(
        work,
        n=work.n * batch,
        input_elements=work.input_elements * batch,
        output_elements=work.output_elements * batch,
        elementwise=work.elementwise * batch,
        requantizations=work.requantizations * batch,
        lookups=work.lookups * batch,
        real_multiplications=work.real_multiplications * batch,
        real_additions=work.real_additions * batch,
        kept_inputs=work.kept_inputs * batch,
        kept_outputs=work.kept_outputs * batch,
    )


def batched_works(works: Sequence[Work], batch: int) -> list[Work]:
    """Each of the works `batched`; raises Unsupported for a batch below 1."""
    if batch < 1:
        raise Unsupported(f"batch must be >= 1; found {batch}")
    return [batched(work, batch) for work in works]


def work_rows(works: Sequence[Work], batch: int = 1) -> Ints:
    """The works as int64 [L, len(WORK_FIELDS)]; raises Unsupported for a batch below 1."""
    rows = [work.row() for work in batched_works(works, batch)]
    return np.stack(rows) if rows else np.zeros((0, len(WORK_FIELDS)), np.int64)


def largest_count(work: Work, machine: Machine) -> tuple[int, int, str]:
    """Of a layer's exact counts the one nearest its limit, that limit, and its name.

    Up to the limit no product of the cost functions passes 2^63. Counts are operations and bits
    moved; where neither operand fits on chip, one is fetched again for each part of the other.
    """
    return _largest(work, limits_of(machine))


def limits_of(machine: Machine) -> Limits:
    """What of a machine decides which counts stay exact on it."""
    smallest = min(machine.srams().values(), default=None)
    return machine.cycle_scales, smallest, machine.datapath.scale_bits


def _largest(work: Work, limits: Limits) -> tuple[int, int, str]:
    (per_mac, per_element, per_output), smallest, scale_bits = limits
    bits = {
        "input": work.input_elements * work.activation_bits,
        "weight": work.weight_elements * work.weight_bits,
        "bias": work.bias_elements * work.bias_bits + work.requantizer_scales * scale_bits,
        "output": work.output_elements * work.output_bits,
    }
    # Where no SRAM is priced by size, a search has bounded its own traffic by the MACs.
    room = max(bits["input"], 1) if smallest is None else smallest
    again = bits["input"] * bits["weight"] // (4 * room)
    once = [
        (work.macs, _MOST // per_mac, "multiply-accumulates"),
        (work.elementwise, _MOST // per_element, "elementwise operations"),
        (work.requantizations, _MOST // per_output, "requantizations"),
        *((count, _MOST // FRACTION, f"{name} bits") for name, count in bits.items()),
        (again, 16 * _MOST // FRACTION, "bits fetched again"),
    ]
    counts = [(count * work.times, most, what) for count, most, what in once]
    return max(counts, key=lambda count: Fraction(count[0], count[1]))


@lru_cache(maxsize=1024)
def _countable(works: tuple[Work, ...], limits: Limits, batch: int) -> tuple[bool, ...]:
    """Whether the counts of each layer stay exact on machines of these limits."""
    found = (_largest(batched(work, batch), limits) for work in works)
    return tuple(count <= most for count, most, _ in found)


def counted(machine: Machine, works: tuple[Work, ...], batch: int = 1) -> tuple[bool, ...]:
    """Whether the counts of each layer stay exact on a machine."""
    return _countable(works, limits_of(machine), batch)


def uncountable(machine: Machine, works: tuple[Work, ...], batch: int = 1) -> int:
    """The first layer whose counts are too large to stay exact on a machine; -1 without one."""
    fits = counted(machine, works, batch)
    return -1 if all(fits) else fits.index(False)


def evaluate_designs(
    works: Sequence[Work],
    machines: Sequence[Machine] | MachineSet,
    batch: int = 1,
    per_layer: bool = False,
    nests: Ints | None = None,
) -> Evaluation:
    """Cost a graph's works on many machines of any kinds, in the order given.

    Works of one operator in several parts (`more`) count as one layer. A machine that cannot run
    them is marked refused, not raised. Memory grows with the number of
    designs alone unless `per_layer` keeps every layer's actions and energies. `nests`, int64
    [P, L, NEST] for `spatial` machines alone, takes the nests that were costed.
    """
    machines, works = machine_set(machines), tuple(works)
    whole = [layer for layer, work in enumerate(works) if not work.more]
    kept = (len(machines), len(whole)) if per_layer else (0, 0)
    result = Evaluation(
        totals=np.zeros((len(machines), TOTALS), np.int64),
        area_mm2=np.zeros(len(machines)),
        latency_s=np.zeros(len(machines)),
        actions=np.zeros((*kept, ACTIONS), np.int64),
        energy_fj=np.zeros((*kept, COMPONENTS), np.int64),
    )
    refused = machines.column(np.int64, uncountable, works, batch)
    for layer in np.unique(refused).tolist():
        ours = np.flatnonzero(refused == layer)
        some = machines if len(ours) == len(machines) else machines.take(ours)
        for family in some.families():
            places = ours[family.places]
            part = evaluate_rows(
                family.kind,
                # Refused for a count: no layer goes through int64, and the area is known anyway.
                work_rows(works if layer < 0 else (), batch),
                family.rows,
                family.technologies,
                family.technology_of,
                per_layer and layer < 0,
                nests if layer < 0 else None,
            )
            for name in ("totals", "area_mm2", "latency_s", "actions", "energy_fj"):
                if getattr(part, name).shape[0]:
                    getattr(result, name)[places] = getattr(part, name)
            if layer >= 0:
                result.totals[places] = -1
                result.totals[places, TOTAL_REFUSAL] = TOO_MANY
                result.totals[places, TOTAL_REFUSED_LAYER] = sum(at < layer for at in whole)
                result.latency_s[places] = np.nan
    return result


def evaluate_rows(
    kind: type[Machine],
    works: Ints,
    machines: Ints,
    technologies: Floats,
    technology_of: Ints,
    per_layer: bool = False,
    nests: Ints | None = None,
) -> Evaluation:
    """Cost works [L, W] on machine rows [P, M] of one kind, over the available processors.

    `technologies` [T, K] are rows of `Technology.row`, `technology_of` [P] says which is whose.
    """
    designs, layers = machines.shape[0], int((works[:, W_MORE] == 0).sum())
    kept = (designs, layers) if per_layer else (0, 0)
    totals = np.zeros((designs, TOTALS), np.int64)
    area_mm2 = np.zeros(designs)
    actions = np.zeros((*kept, ACTIONS), np.int64)
    energy = np.zeros((*kept, COMPONENTS), np.int64)
    order = None if nests is not None else _counted_together(machines, technology_of)
    rows, whose = machines, technology_of
    if order is not None:
        rows, whose = machines[order], technology_of[order]

    def run(start: int) -> None:
        part = slice(start, start + _CHUNK)
        ours = (totals[part], area_mm2[part], actions[part], energy[part])
        mapped = () if nests is None else (nests[part],)
        kind.evaluate(works, rows[part], technologies, whose[part], *ours, *mapped)

    starts = range(0, designs, _CHUNK)
    if len(starts) == 1:
        run(0)
    else:
        # The kernels hold no lock, so plain threads share the work; the first compiles.
        with ThreadPoolExecutor(_processors()) as pool:
            list(pool.map(run, starts))
    if order is not None:
        back = np.argsort(order)
        totals, area_mm2 = totals[back], area_mm2[back]
        if per_layer:
            actions, energy = actions[back], energy[back]
    refused = totals[:, TOTAL_REFUSAL] != 0
    latency = np.where(refused, np.nan, totals[:, TOTAL_CYCLES] / machines[:, CLOCK_HZ])
    return Evaluation(totals, area_mm2, latency, actions, energy)


def _counted_together(machines: Ints, technology_of: Ints) -> Ints | None:
    """An order in which designs that differ in prices alone are neighbours; None where none do.

    A kind's `evaluate` counts the actions of such neighbours once.
    """
    varies = (machines != machines[:1]).any(axis=0)
    priced = varies[list(PRICED_ALONE)].any() or (technology_of != technology_of[:1]).any()
    if not priced:
        return None
    varies[list(PRICED_ALONE)] = False
    keys = [technology_of, *(machines[:, column] for column in np.flatnonzero(varies))]
    return np.asarray(np.lexsort(keys))


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)
